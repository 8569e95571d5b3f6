"""The router of a smaller mixture, as far as it depends on its experts."""

from collections.abc import Sequence
from typing import Any

from moe_keras.layers.gate import Gate


def have_weight(gate: Gate, indices: Sequence[int]) -> bool:
    """Whether a gate whose weights are given can do with these experts."""
    weights = getattr(gate.find_router(), "given_weights", None)
    return weights is None or any(weights[index] > 0 for index in indices)


class SmallerRouters:
    """The routers of subsets, made once for all that are alike.

    Args:
        gate: of the whole mixture.
    """

    def __init__(self, gate: Gate):
        self._router: Any = gate.find_router()
        self._known: dict[tuple[int, ...], Any] = {}

    def key(self, indices: Sequence[int]) -> tuple[int, ...]:
        """The same for subsets whose routers are made alike."""
        if getattr(self._router, "given_weights", None) is not None:
            return tuple(indices)
        return tuple(range(len(indices)))

    def of(self, indices: Sequence[int]) -> Any:
        """The router of a subset, without its weights."""
        key = self.key(indices)
        if key not in self._known:
            self._known[key] = self._router.keep(key)
        return self._known[key]
