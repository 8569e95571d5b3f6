"""The running mean of the weights, where the optimizer keeps one."""

from typing import Any

import keras
import numpy as np

from moe_keras.training.state import array_of


def mean_weights(model: keras.Model) -> list[tuple[Any, Any]]:
    """Each trainable variable with its running mean; empty without means."""
    optimizer = getattr(model.optimizer, "inner_optimizer", model.optimizer)
    if not getattr(optimizer, "use_ema", False):
        return []
    return list(
        zip(
            model.trainable_variables,
            optimizer._model_variables_moving_average,
            strict=True,
        )
    )


def evaluated_weights(model: keras.Model) -> list[np.ndarray]:
    """What `model.set_weights` needs for the model that was evaluated."""
    means = {id(variable): mean for variable, mean in mean_weights(model)}
    return [
        array_of(means.get(id(variable), variable))
        for variable in model.weights
    ]


class MeanWeights(keras.callbacks.Callback):
    """Evaluate with the running mean, and train on with the weights.

    Keras' `SwapEMAWeights` does it by adding and subtracting on TensorFlow,
    which rounds the weights at every evaluation; here they come back as they
    were.
    """

    def __init__(self) -> None:
        super().__init__()
        self._kept: list[np.ndarray] = []

    def on_test_begin(self, logs: dict[str, Any] | None = None) -> None:
        pairs = mean_weights(self.model)
        self._kept = [array_of(variable) for variable, _ in pairs]
        for variable, mean in pairs:
            # A copy: JAX gives a variable's memory away in the next step.
            variable.assign(array_of(mean))

    def on_test_end(self, logs: dict[str, Any] | None = None) -> None:
        pairs = mean_weights(self.model)
        for (variable, _), kept in zip(pairs, self._kept, strict=True):
            variable.assign(kept)
