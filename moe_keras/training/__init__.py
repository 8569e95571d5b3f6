"""Helpers around plain `compile` and `fit`."""

from moe_keras.training.progress import ProgressBar as ProgressBar
from moe_keras.training.routing_log import RoutingLog as RoutingLog
