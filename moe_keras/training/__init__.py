"""Helpers around plain `compile` and `fit`."""

from moe_keras.training.progress import ProgressBar as ProgressBar
