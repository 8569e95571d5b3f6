"""A mixture's routing figures in the log of `fit`, on every backend."""

from typing import Any

import keras

from moe_keras.layers import MixtureOfExperts


class RoutingLog(keras.callbacks.Callback):
    """Add each sparse mixture's load, entropy and drops to the epoch's log.

    TensorFlow and PyTorch show them without it; on JAX it is needed. It also
    keeps a training from going on while choices are dropped.

    Args:
        max_dropped: float in [0, 1] or None: end the training with an error
            when a mixture's dropped share is above it at the end of an epoch.
    """

    def __init__(self, max_dropped: float | None = None):
        super().__init__()
        self._max_dropped = max_dropped

    def on_epoch_end(
        self, epoch: int, logs: dict[str, Any] | None = None
    ) -> None:
        logs = {} if logs is None else logs
        for layer in self.model._flatten_layers():
            if not isinstance(layer, MixtureOfExperts) or not layer.stats:
                continue
            for figure, value in layer.stats.read().items():
                logs[f"{layer.name}_{figure}"] = float(
                    keras.ops.convert_to_numpy(value)
                )
            dropped = logs[f"{layer.name}_dropped"]
            if self._max_dropped is not None and dropped > self._max_dropped:
                raise ValueError(
                    f"RoutingLog: {layer.name} dropped more choices than "
                    f"allowed; raise its `capacity_factor`. Received: "
                    f"dropped={dropped:.4f}, max_dropped={self._max_dropped}"
                )
