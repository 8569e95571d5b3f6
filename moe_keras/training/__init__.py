"""Helpers around plain `compile` and `fit`, and recipes for whole trainings."""

from moe_keras.training.builders import BUILDERS as BUILDERS
from moe_keras.training.progress import ProgressBar as ProgressBar
from moe_keras.training.recipe import Recipe as Recipe
from moe_keras.training.recipe_file import RecipeError as RecipeError
from moe_keras.training.recipe_file import load_recipe as load_recipe
from moe_keras.training.routing_log import RoutingLog as RoutingLog
