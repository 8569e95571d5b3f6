"""Dispatch into buffers of a fixed size, for compilers that want one.

Every expert has C places. First choices are seated before second ones, and
within a choice rows in their order, or those with the largest gates first. What
finds no place is dropped: `kept` and `dropped_share` say what.

A place holds one choice, so that the gradients of both ways are gathers too.
Those that TensorFlow would make are indexed slices, whose selection has a size
that depends on data, which XLA may crash at.
"""

from typing import Any

from keras import ops

from moe_keras.ops import kernels
from moe_keras.ops.scaling import scale_to_sum, widen

# Capacity factors are read to a hundredth: symbolic sizes divide by integers.
HUNDREDTHS = 100


def capacity(rows: Any, top_k: int, num_experts: int, factor: float) -> Any:
    """C = ceil(factor * K * N / E), at least 1 and at most N.

    Args:
        rows: N, an int or, where the batch is open, an int tensor.
        top_k: int, K.
        num_experts: int, E.
        factor: float > 0, read to a hundredth; 1 is room for an even load, E/K
            room for every load.

    Returns:
        int or int tensor, as `rows`.

    Source: Lepikhin et al. (2020), GShard, arXiv:2006.16668, section 3.1; with
        K as in V-MoE, arXiv:2106.05974, section 2.4.
    """
    wanted = rows * top_k * round(factor * HUNDREDTHS)
    # Up by a division down, of nothing below 0: converters to other formats
    # make a division of integers one that is cut off towards 0.
    parts = num_experts * HUNDREDTHS
    places = (wanted + parts - 1) // parts
    if isinstance(rows, int):
        return max(1, min(places, rows))
    return ops.maximum(ops.minimum(places, rows), 1)


class CapacityPlan:
    """The rows of each expert, in buffers of C places.

    Args:
        experts: int `(N, K)`, the experts of each row, best first; E marks "no
            expert".
        weights: float `(N, K)`, their gates; NaN for a row that takes no place.
        num_experts: int, E.
        places: int or int tensor, C.
        batch_priority: whether rows with larger first gates are seated first,
            instead of rows that come first (Riquelme et al., 2021, V-MoE,
            arXiv:2106.05974, section 4.1).

    Attributes:
        kept: bool `(N, K)`, which choices found a place.
        dropped_share: float scalar, choices without a place over choices.
    """

    def __init__(
        self,
        experts: Any,
        weights: Any,
        num_experts: int,
        places: Any,
        batch_priority: bool = False,
    ) -> None:
        self._num_experts, self._places = num_experts, places
        experts = ops.cast(experts, "int32")
        # A broken row takes no place from the others.
        sound = ops.logical_not(ops.isnan(weights))
        experts = ops.where(sound, experts, num_experts)
        rows, top_k = ops.shape(experts)[0], experts.shape[1]
        if batch_priority:
            order = ops.argsort(-ops.where(sound, weights, 0.0)[:, 0])
            seats = _seats(ops.take(experts, order, axis=0), num_experts)
            seats = ops.take(seats, ops.argsort(order), axis=0)
        else:
            seats = _seats(experts, num_experts)
        real = experts < num_experts
        self.kept = ops.logical_and(real, seats < places)
        nowhere = num_experts * places
        self._slots = ops.where(self.kept, experts * places + seats, nowhere)
        chosen = ops.sum(ops.cast(real, "float32"))
        kept = ops.sum(ops.cast(self.kept, "float32"))
        self.dropped_share = 1 - kept / ops.maximum(chosen, 1.0)
        # Place -> choice + 1; 0 marks an empty place. Each place is written
        # once, but for the one behind the last, which collects what is dropped.
        numbers = ops.arange(1, rows * top_k + 1, dtype="int32")
        written = ops.scatter(
            ops.reshape(self._slots, (-1, 1)), numbers, (nowhere + 1,)
        )
        self._choices = written[:nowhere]
        self._rows = (self._choices + top_k - 1) // top_k

    def dispatch(self, inputs: Any) -> Any:
        """`(N, ...) -> (E, C, ...)`: zeros in the empty places."""
        return kernels.with_adjoint(
            lambda rows: self._seat(rows, self._rows),
            lambda gradient: ops.sum(self._unseat(gradient), axis=1),
            inputs,
        )

    def combine(self, outputs: Any) -> Any:
        """`(E, C, ...) -> (N, K, ...)`: zeros for what was dropped."""

        def adjoint(gradient: Any) -> Any:
            tail = ops.shape(gradient)[2:]
            flat = ops.reshape(gradient, (-1, *tail))
            return self._seat(flat, self._choices)

        return kernels.with_adjoint(self._unseat, adjoint, outputs)

    def _seat(self, inputs: Any, sources: Any) -> Any:
        """Input s - 1 at the place of source s, zeros where s is 0."""
        tail = ops.shape(inputs)[1:]
        blank = ops.zeros((1, *tail), dtype=inputs.dtype)
        padded = ops.concatenate([blank, inputs], axis=0)
        buffers = ops.take(padded, sources, axis=0)
        return ops.reshape(buffers, (self._num_experts, self._places, *tail))

    def _unseat(self, outputs: Any) -> Any:
        tail = ops.shape(outputs)[2:]
        blank = ops.zeros((1, *tail), dtype=outputs.dtype)
        flat = ops.reshape(outputs, (self._num_experts * self._places, *tail))
        padded = ops.concatenate([flat, blank], axis=0)
        return ops.take(padded, self._slots, axis=0)


def _seats(experts: Any, num_experts: int) -> Any:
    """Place of each choice in its expert's queue, `(N, K)`."""
    top_k = experts.shape[1]
    # All first choices stand before all second ones.
    queue = ops.reshape(ops.transpose(experts), (-1, 1))
    member = ops.cast(queue == ops.arange(num_experts, dtype="int32"), "int32")
    before = ops.cumsum(member, axis=0) - member
    seats = ops.sum(before * member, axis=-1)
    return ops.transpose(ops.reshape(seats, (top_k, -1)))


def keep_mass(weights: Any, kept: Any) -> Any:
    """Weights `(N, K)` of what was kept, with each row's sum as before.

    A row none of whose choices was kept gets zeros.
    """
    left = ops.where(kept, weights, ops.zeros_like(weights))
    total = ops.sum(widen(weights), axis=-1, keepdims=True)
    # A broken row keeps nothing, and is to be seen.
    return ops.where(ops.isnan(total), float("nan"), scale_to_sum(left, total))
