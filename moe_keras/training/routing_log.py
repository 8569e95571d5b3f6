"""A mixture's routing figures in the log of `fit`, on every backend."""

from collections.abc import Iterator
from typing import Any

import keras

from moe_keras.layers import Gate, MixtureOfExperts
from moe_keras.layers.training_figures import Figures, named


class RoutingLog(keras.callbacks.Callback):
    """Add each sparse mixture's load, entropy and drops to the epoch's log.

    And each router's losses. TensorFlow and PyTorch show them without it; on
    JAX it is needed, also for the warning of experts without rows. It also
    keeps a training from going on while choices are dropped.

    Args:
        max_dropped: float in [0, 1] or None: end the training with an error
            when a mixture's dropped share is above it at the end of an epoch.
    """

    def __init__(self, max_dropped: float | None = None):
        super().__init__()
        self._max_dropped = max_dropped

    def on_epoch_begin(
        self, epoch: int, logs: dict[str, Any] | None = None
    ) -> None:
        # Elsewhere Keras does, as an epoch begins, and before it validates.
        if keras.backend.backend() == "jax":
            for _, figures in self._find():
                figures.begin_epoch()

    def on_epoch_end(
        self, epoch: int, logs: dict[str, Any] | None = None
    ) -> None:
        logs = {} if logs is None else logs
        for layer, figures in self._find():
            for name, value in named(figures, layer.name).items():
                if name not in logs:
                    logs[name] = float(keras.ops.convert_to_numpy(value))
            dropped = logs.get(f"{layer.name}_dropped", 0.0)
            if self._max_dropped is not None and dropped > self._max_dropped:
                raise ValueError(
                    f"RoutingLog: {layer.name} dropped more choices than "
                    f"allowed; raise its `capacity_factor`. Received: "
                    f"dropped={dropped:.4f}, max_dropped={self._max_dropped}"
                )

    def _find(self) -> Iterator[tuple[Any, Figures]]:
        """The layers that have figures, and these."""
        for layer in self.model._flatten_layers():
            if isinstance(layer, MixtureOfExperts) and layer.stats:
                yield layer, layer.stats
            elif isinstance(layer, Gate) and layer.loss_parts:
                yield layer, layer.loss_parts
