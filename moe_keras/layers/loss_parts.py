"""The parts of a router's loss, for the log: loss = task + sum of parts."""

from collections.abc import Sequence
from typing import Any

from keras import ops

from moe_keras.layers.counts import add_count, add_to


class LossParts:
    """Means over an epoch's rows of the losses that a router adds.

    They are weighted as `fit` weighs its `loss`, by the rows of each batch, so
    that it is the task's loss plus these.

    Args:
        names: of the losses.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self.in_training = False
        self._rows = add_count((), "rows")
        self._sums = {name: add_count((), name) for name in names}

    def counts(self) -> list[Any]:
        return [self._rows, *self._sums.values()]

    def __contains__(self, name: str) -> bool:
        return name in self._sums

    def begin(self, rows: Any) -> None:
        """A batch of training of so many rows comes."""
        add_to(self._rows, rows)

    def add(self, name: str, loss: Any, rows: Any) -> None:
        """Take in a batch's loss, times its coefficient."""
        add_to(self._sums[name], loss * ops.cast(rows, loss.dtype))

    def begin_epoch(self) -> None:
        for count in self.counts():
            count.assign(ops.zeros(count.shape))

    def read(self) -> dict[str, Any]:
        """The mean of each, 0 before the first row."""
        rows = ops.maximum(self._rows, 1.0)
        return {name: self._sums[name] / rows for name in self._sums}
