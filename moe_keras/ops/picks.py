"""The sparse form of gates: K experts and K weights per row, not E."""

from collections.abc import Callable, Iterator
from functools import reduce
from typing import Any, NamedTuple

from keras import ops


class Picks(NamedTuple):
    """The experts of each row and their weights, best first.

    Attributes:
        experts: int `(..., K)`, K different experts in each row.
        weights: float `(..., K)`, the gates of these; all others are 0.
    """

    experts: Any
    weights: Any

    def spread(self, num_experts: int) -> Any:
        """The gates `(..., E)`."""
        gates: Any = 0.0
        for here, weight in _by_place(self.experts, num_experts, self.weights):
            gates = ops.where(here, weight, gates)
        return gates

    def spoiled(self, good: Any) -> "Picks":
        """NaN for the first K experts in the rows `(...)` that are not good."""
        good = ops.expand_dims(good, -1)
        first = ops.arange(self.experts.shape[-1], dtype=self.experts.dtype)
        return Picks(
            ops.where(good, self.experts, first),
            ops.where(good, self.weights, float("nan")),
        )

    def mapped(self, change: Callable[[Any], Any]) -> "Picks":
        """Both, changed in the same way."""
        return Picks(change(self.experts), change(self.weights))


def _by_place(
    experts: Any, num_experts: int, values: Any
) -> Iterator[tuple[Any, Any]]:
    """For each of K choices a mark `(..., E)` and the value `(..., 1)`."""
    numbers = ops.arange(num_experts, dtype=experts.dtype)
    # A comparison for each choice: `(..., K, E)` would take twice the time.
    for place in range(experts.shape[-1]):
        only = slice(place, place + 1)
        yield ops.equal(experts[..., only], numbers), values[..., only]


def mark(experts: Any, num_experts: int, kept: Any = None) -> Any:
    """Bool `(..., E)` from expert numbers `(..., K)`.

    Args:
        experts: int `(..., K)`.
        num_experts: int, E.
        kept: bool `(..., K)` or None; where it is False, there is no mark.
    """
    every = experts if kept is None else kept
    marks = [
        chosen if kept is None else ops.logical_and(chosen, keep)
        for chosen, keep in _by_place(experts, num_experts, every)
    ]
    return reduce(ops.logical_or, marks)
