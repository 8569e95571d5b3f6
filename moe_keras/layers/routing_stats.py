"""What a sparse mixture's router did lately, kept in weights of the layer."""

from typing import Any

import keras
from keras import ops

# Of each batch's figures in the running means: the last ten or so batches.
MOMENTUM = 0.9
# An expert is called dead below this share of an even load.
DEAD = 1 / 4


class RoutingStats:
    """Running means of load, entropy and dropped share, written in training.

    On TensorFlow and PyTorch they show in `fit`'s log by themselves. JAX hands
    a compiled step copies of the weights, so there the callback
    `moe_keras.training.RoutingLog` reads them at the end of each epoch.

    Args:
        layer: the mixture; the weights and metrics become its own.
        num_experts: int, E.
    """

    def __init__(self, layer: keras.layers.Layer, num_experts: int) -> None:
        self._num_experts = num_experts
        # Whether the layer was last called, or traced, in training.
        self.in_training = False
        self.load = self._add(layer, "load", (num_experts,), 1 / num_experts)
        self.entropy = self._add(layer, "entropy", (), 0.0)
        self.dropped = self._add(layer, "dropped", (), 0.0)

    def _add(
        self, layer: Any, name: str, shape: tuple[int, ...], start: float
    ) -> Any:
        return layer.add_weight(
            shape,
            keras.initializers.Constant(start),
            dtype="float32",
            trainable=False,
            autocast=False,
            name=name,
        )

    def note(self, gates: Any, dropped: Any, training: bool | None) -> None:
        """Take in a batch, if it is one of training; see `update`."""
        self.in_training = bool(training)
        if training:
            self.update(gates, dropped)

    def update(self, gates: Any, dropped: Any) -> None:
        """Take in a batch.

        Args:
            gates: float `(N, E)`; rows of zeros and of NaN are left out.
            dropped: float scalar, or None where nothing can be dropped.
        """
        gates = ops.stop_gradient(ops.cast(gates, "float32"))
        total = ops.sum(gates, axis=-1, keepdims=True)
        # NaN is not above 0.
        real = total > 0
        shares = ops.where(real, gates / ops.where(real, total, 1.0), 0.0)
        chosen = ops.cast(shares > 0, "float32")
        load = ops.sum(chosen, axis=0)
        logs = ops.log(ops.where(shares > 0, shares, 1.0))
        entropies = -ops.sum(shares * logs, axis=-1)
        count = ops.maximum(ops.sum(ops.cast(real, "float32")), 1.0)
        self._move(self.load, load / ops.maximum(ops.sum(load), 1.0))
        self._move(self.entropy, ops.sum(entropies) / count)
        if dropped is not None:
            self._move(self.dropped, ops.cast(dropped, "float32"))

    def _move(self, weight: Any, value: Any) -> None:
        weight.assign(MOMENTUM * weight + (1 - MOMENTUM) * value)

    def read(self) -> dict[str, Any]:
        """The figures as scalars.

        Returns:
            `max_load`: the busiest expert's load over the mean load, 1 when
            even; `dead`: number of experts below a quarter of the mean load;
            `entropy` of a row's gates in nats; `dropped` share of choices.
        """
        relative = self.load * self._num_experts
        return {
            "max_load": ops.max(relative),
            "dead": ops.sum(ops.cast(relative < DEAD, "float32")),
            "entropy": ops.convert_to_tensor(self.entropy),
            "dropped": ops.convert_to_tensor(self.dropped),
        }


class RoutingMetric(keras.metrics.Metric):
    """The figures as a metric without a state of its own.

    Only training's log has them: in `evaluate` they would be old figures, and
    would break `loss, accuracy = model.evaluate(...)`.
    """

    def __init__(self, stats: RoutingStats, prefix: str):
        super().__init__(name=f"{prefix}_routing")
        self._stats = stats
        self._prefix = prefix

    def update_state(self, *args: Any, **kwargs: Any) -> None:
        """Nothing: the layer writes, this reads."""

    def reset_state(self) -> None:
        """Nothing: a running mean goes on from epoch to epoch."""

    def result(self) -> dict[str, Any]:
        if not self._stats.in_training:
            return {}
        figures = self._stats.read()
        return {f"{self._prefix}_{name}": figures[name] for name in figures}
