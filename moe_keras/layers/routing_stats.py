"""What a sparse mixture's router did lately, kept in weights of the layer."""

import warnings
from typing import Any

import keras
import numpy as np
from keras import ops

from moe_keras.layers.counts import add_count
from moe_keras.ops import service
from moe_keras.ops.scaling import scale_to_sum

# Of each batch's figures in the running means: the last ten or so batches.
MOMENTUM = 0.9
# An expert is called dead below this share of an even load.
DEAD = 1 / 4
# Steps on end without a row, after which an expert is spoken of.
IDLE_STEPS = 200


class RoutingStats:
    """Running means of load, entropy and dropped share, written in training.

    On TensorFlow and PyTorch they show in `fit`'s log by themselves. JAX hands
    a compiled step copies of the weights, so there the callback
    `moe_keras.training.RoutingLog` reads them at the end of each epoch.

    A mean that starts at 0 is too small at first, by the factor
    1 - MOMENTUM^steps. A batch's load sums to 1, so this is what the load's
    running means sum to, and all figures are divided by it.

    Args:
        layer: the mixture; the weights become its own.
        num_experts: int, E.
        choices: int, K: the most experts that a row can have.
    """

    def __init__(
        self, layer: keras.layers.Layer, num_experts: int, choices: int
    ) -> None:
        self._layer = layer
        self._num_experts = num_experts
        self._choices = choices
        # Whether the layer was last called, or traced, in training.
        self.in_training = False
        self._can_drop = False
        self._has_warned = False
        self.load = self._add("load", (num_experts,))
        self.entropy = self._add("entropy", ())
        self.dropped = self._add("dropped", ())
        # Steps on end without a row.
        self._idle = add_count((num_experts,), "idle")

    def _add(self, name: str, shape: tuple[int, ...]) -> Any:
        return self._layer.add_weight(
            shape,
            "zeros",
            dtype="float32",
            trainable=False,
            autocast=False,
            name=name,
        )

    def counts(self) -> list[Any]:
        return [self._idle]

    def note(
        self,
        gates: Any,
        dropped: Any,
        training: bool | None,
        in_service: Any = None,
    ) -> None:
        """Take in a batch, if it is one of training; see `update`."""
        self.in_training = bool(training)
        if training:
            self._can_drop = dropped is not None
            self.update(gates, dropped, in_service)

    def update(self, gates: Any, dropped: Any, in_service: Any = None) -> None:
        """Take in a batch.

        Args:
            gates: float `(N, E)`; rows of zeros and of NaN are left out.
            dropped: float scalar, or None where nothing can be dropped.
            in_service: bool `(..., E)` or None. An expert that is out of
                service for all rows is not waiting for any.
        """
        gates = ops.stop_gradient(ops.cast(gates, "float32"))
        total = ops.sum(gates, axis=-1, keepdims=True)
        # NaN is not above 0.
        real = total > 0
        shares = ops.where(real, scale_to_sum(gates), 0.0)
        chosen = ops.cast(shares > 0, "float32")
        load = ops.sum(chosen, axis=0)
        logs = ops.log(ops.where(shares > 0, shares, 1.0))
        entropies = -ops.sum(shares * logs, axis=-1)
        rows = ops.sum(ops.cast(real, "float32"))
        count = ops.maximum(rows, 1.0)
        self._move(self.load, load / ops.maximum(ops.sum(load), 1.0))
        self._move(self.entropy, ops.sum(entropies) / count)
        if dropped is not None:
            self._move(self.dropped, ops.cast(dropped, "float32"))
        at_rest = load > 0
        if in_service is not None:
            flat = ops.reshape(in_service, (-1, self._num_experts))
            serving = ops.any(ops.cast(flat, "bool"), axis=0)
            at_rest = ops.logical_or(at_rest, ops.logical_not(serving))
        step = ops.cast(rows > 0, "float32")
        self._idle.assign(ops.where(at_rest, 0.0, self._idle + step))

    def _move(self, weight: Any, value: Any) -> None:
        weight.assign(MOMENTUM * weight + (1 - MOMENTUM) * value)

    def begin_epoch(self) -> None:
        """Warn, once, of experts that have had no row for long."""
        if self._has_warned:
            return
        idle = service.known_values(self._idle)
        if idle is None or not (idle >= IDLE_STEPS).any():
            return
        self._has_warned = True
        warnings.warn(
            f"{type(self._layer).__name__}: experts "
            f"{np.flatnonzero(idle >= IDLE_STEPS).tolist()} of "
            f"{self._layer.name!r} had no row in the last {IDLE_STEPS} steps "
            f"of training or more, and learn nothing. {self._find_cure()}",
            stacklevel=2,
        )

    def _find_cure(self) -> str:
        gate: Any = getattr(self._layer, "gate", None)
        router = gate.find_router() if hasattr(gate, "find_router") else gate
        balance = getattr(router, "balance_loss", None)
        if balance is None:
            return "Choose a gate that balances its load, or fewer experts."
        return (
            "Give the gate a larger `balance_loss` (0.1, say; now "
            f"{balance}), or the optimizer a lower learning rate."
        )

    def read(self) -> dict[str, Any]:
        """The figures as scalars; those that could never move are left out.

        Returns:
            `max_load`: the busiest expert's load over the mean load, 1 when
            even; `dead`: number of experts below a quarter of the mean load;
            `entropy` of a row's gates in nats, where a row can have several;
            `dropped` share of choices, under capacity dispatch.
        """
        seen = ops.sum(self.load)
        begun = seen > 0
        seen = ops.where(begun, seen, 1.0)
        relative = ops.where(begun, self.load / seen * self._num_experts, 1.0)
        figures = {
            "max_load": ops.max(relative),
            "dead": ops.sum(ops.cast(relative < DEAD, "float32")),
        }
        if self._choices > 1:
            figures["entropy"] = self.entropy / seen
        if self._can_drop:
            figures["dropped"] = self.dropped / seen
        return figures
