"""Helpers around plain `compile` and `fit`, and recipes for whole trainings."""

from moe_keras.training.builders import BUILDERS as BUILDERS
from moe_keras.training.calibrate import fit_isotonic as fit_isotonic
from moe_keras.training.calibrate import fit_temperature as fit_temperature
from moe_keras.training.checkpoint import CheckpointError as CheckpointError
from moe_keras.training.checkpoint import (
    remove_checkpoints as remove_checkpoints,
)
from moe_keras.training.expert_view import (
    with_expert_outputs as with_expert_outputs,
)
from moe_keras.training.finite import FiniteWeights as FiniteWeights
from moe_keras.training.gate_fit import fit_gate as fit_gate
from moe_keras.training.gate_fit import predict_experts as predict_experts
from moe_keras.training.gate_fit import (
    predict_out_of_fold as predict_out_of_fold,
)
from moe_keras.training.input_pipeline import InputPipeline as InputPipeline
from moe_keras.training.prior import estimate_prior as estimate_prior
from moe_keras.training.prior import fit_prior as fit_prior
from moe_keras.training.progress import ProgressBar as ProgressBar
from moe_keras.training.recipe import Recipe as Recipe
from moe_keras.training.recipe_file import RecipeError as RecipeError
from moe_keras.training.recipe_file import load_recipe as load_recipe
from moe_keras.training.recipe_parts import Augmentation as Augmentation
from moe_keras.training.recipe_parts import Baseline as Baseline
from moe_keras.training.recipe_parts import Builder as Builder
from moe_keras.training.recipe_parts import Data as Data
from moe_keras.training.recipe_parts import Loss as Loss
from moe_keras.training.recipe_parts import Monitor as Monitor
from moe_keras.training.recipe_parts import Optimizer as Optimizer
from moe_keras.training.recipe_parts import OutOfFold as OutOfFold
from moe_keras.training.recipe_parts import Schedule as Schedule
from moe_keras.training.resumable import FitRecord as FitRecord
from moe_keras.training.resumable import fit_resumable as fit_resumable
from moe_keras.training.risk import RiskFit as RiskFit
from moe_keras.training.risk import RiskPlan as RiskPlan
from moe_keras.training.risk import fit_risk_moe as fit_risk_moe
from moe_keras.training.routing_log import RoutingLog as RoutingLog
from moe_keras.training.schedule import RecipeSchedule as RecipeSchedule
from moe_keras.training.smoothed_cross_entropy import (
    SmoothedCrossEntropy as SmoothedCrossEntropy,
)
from moe_keras.training.stage import DEFAULT_STAGES as DEFAULT_STAGES
from moe_keras.training.stage import Stage as Stage
from moe_keras.training.stages import StagesHistory as StagesHistory
from moe_keras.training.stages import fit_stages as fit_stages
