"""A mixture with fewer experts, part by part."""

from collections.abc import Sequence
from typing import Any

from moe_keras.errors import require
from moe_keras.layers.gate import Gate
from moe_keras.layers.keeping import (
    KeepsExperts,
    serialize_kept,
    serialize_unbuilt,
)


class KeepsParts(KeepsExperts):
    """What a `MixtureOfExperts` adds to `KeepsExperts`: it has parts.

    A bank that loses all its experts disappears. Fusion and shared path stay as
    they are. The running figures of the routing start anew.
    """

    def kept_config(self, indices: Sequence[int]) -> dict[str, Any]:
        mixture: Any = self
        require(
            isinstance(mixture.gate, Gate),
            type(mixture).__name__,
            "to keep some experts, the gate must be a Gate, such as "
            "GatingLayer.",
            gate=mixture.gate,
        )
        return {
            **mixture.get_config(),
            "experts": [
                serialize_kept(bank, own)
                for bank, own in mixture.banks.split(indices)
            ],
            "gate": serialize_kept(mixture.gate, indices),
            "fusion": serialize_unbuilt(mixture.fusion),
            "shared": serialize_unbuilt(mixture.shared),
        }

    def inside(
        self, indices: Sequence[int]
    ) -> list[tuple[Any, Sequence[int] | None]]:
        mixture: Any = self
        return [(mixture.gate, indices), *mixture.banks.split(indices)]

    def copy_own(self, source: Any, indices: Sequence[int]) -> None:
        """Nothing: old figures are of another routing."""

    def count_own(self, indices: Sequence[int]) -> int:
        """Load by expert, entropy and dropped share, of a sparse gate."""
        mixture: Any = self
        sparse = mixture.gate.find_router().keep(indices).is_sparse
        return len(indices) + 2 if sparse else 0
