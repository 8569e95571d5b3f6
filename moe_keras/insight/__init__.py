"""Looking at a mixture: its scores, its routing, and pictures of both."""

from moe_keras.insight.bootstrap import Difference as Difference
from moe_keras.insight.bootstrap import paired_bootstrap as paired_bootstrap
from moe_keras.insight.folds import FoldDifference as FoldDifference
from moe_keras.insight.folds import paired_folds as paired_folds
from moe_keras.insight.gated_model import GatedModel as GatedModel
from moe_keras.insight.plots import plot_calibration as plot_calibration
from moe_keras.insight.plots import plot_history as plot_history
from moe_keras.insight.plots import plot_routing as plot_routing
from moe_keras.insight.risk_scores import (
    risk_calibration_error as risk_calibration_error,
)
from moe_keras.insight.risk_scores import risk_scores as risk_scores
from moe_keras.insight.risk_scores import scores_by_group as scores_by_group
from moe_keras.insight.routing import collect_gates as collect_gates
from moe_keras.insight.routing import expert_by_class as expert_by_class
from moe_keras.insight.routing import expert_names as expert_names
from moe_keras.insight.scorecard import scorecard as scorecard
from moe_keras.insight.scores import Reliability as Reliability
from moe_keras.insight.scores import (
    classification_scores as classification_scores,
)
from moe_keras.insight.scores import (
    expected_calibration_error as expected_calibration_error,
)
from moe_keras.insight.scores import reliability as reliability
