"""Whole runs: a recipe and a seed in, a folder with a scored model out.

A run fits and scores, so this stands above `training` and `insight`, which do
not know each other.
"""

from moe_keras.runner.evaluate import Evaluation as Evaluation
from moe_keras.runner.evaluate import evaluate_run as evaluate_run
from moe_keras.runner.train import TrainedModel as TrainedModel
from moe_keras.runner.train import train_recipe as train_recipe
