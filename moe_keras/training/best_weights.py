"""Keep the weights of the best epoch, across interruptions too."""

import math
from typing import Any

import keras
import numpy as np

from moe_keras.errors import require
from moe_keras.training.mean_weights import evaluated_weights
from moe_keras.training.recipe_parts import Monitor
from moe_keras.training.state import Arrays, State


class BestWeights(keras.callbacks.Callback):
    """Remember the weights of the epoch with the best value of a metric.

    Of equal epochs the first counts. With `patience` the training ends after so
    many epochs without a better value.

    Args:
        monitor: `Monitor`: accuracy is best where highest, losses where lowest.
    """

    def __init__(self, monitor: Monitor):
        super().__init__()
        self._monitor = monitor
        self._sign = 1 if monitor.metric == "val_accuracy" else -1
        self._weights: list[np.ndarray] = []
        self._best: float | None = None
        self.epoch: int | None = None

    def on_epoch_end(
        self, epoch: int, logs: dict[str, Any] | None = None
    ) -> None:
        metric, found = self._monitor.metric, logs or {}
        require(
            metric in found,
            "BestWeights",
            "the monitored metric is not in the log.",
            metric=metric,
            log=sorted(found),
        )
        value = self._sign * float(found[metric])
        value = -math.inf if math.isnan(value) else value
        if self._best is None or value > self._best:
            self._best, self.epoch = value, epoch
            self._weights = evaluated_weights(self.model)
        waited = epoch - (self.epoch or 0)
        if self._monitor.patience and waited >= self._monitor.patience:
            self.model.stop_training = True

    def apply(self) -> None:
        """Give the model the best epoch's weights."""
        if self._weights:
            self.model.set_weights(self._weights)

    def get_state(self) -> State:
        return self._weights, {"best": self._best, "epoch": self.epoch}

    def set_state(self, arrays: Arrays, facts: Any) -> None:
        self._weights = list(arrays)
        self._best, self.epoch = facts["best"], facts["epoch"]
