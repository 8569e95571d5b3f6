"""Banks behind something that all their experts share, as one bank."""

from collections.abc import Sequence
from typing import Any

import keras

from moe_keras.layers.bank_list import BankList, read_banks
from moe_keras.layers.calls import read_layers
from moe_keras.layers.expert_bank import ExpertBank
from moe_keras.layers.keeping import serialize_kept
from moe_keras.ops.cost import Cost


class WrappedBanks(ExpertBank):
    """Base class of a bank of banks that read what a shared part makes of rows.

    The inner expert axes are joined in the order of the list. Where experts are
    chosen, only their rows go through the shared part. A subclass implements
    `build_shared`, `prepare` and `prepared_shape`, and adds to `get_config`.

    Args:
        experts: `ExpertBank` or a list of them.
        such_as: str, a bank that errors name as an example.
        **kwargs: `keras.layers.Layer` arguments.
    """

    # The arguments of `__init__` that hold layers.
    layer_arguments: tuple[str, ...] = ("experts",)

    def __init__(self, experts: Any, such_as: str, **kwargs: Any):
        owner = type(self).__name__
        inner = BankList(read_banks(owner, experts, such_as), owner)
        super().__init__(inner.num_experts, **kwargs)
        self.experts = inner.banks
        self.banks = inner

    def build_shared(self, row_shape: tuple[int | None, ...]) -> None:
        """Make the weights of what the experts share."""
        raise NotImplementedError

    def prepare(
        self, rows: Any, mask: Any, training: bool | None
    ) -> tuple[Any, Any]:
        """What the inner banks read, and its mask, of rows `(..., *row)`."""
        raise NotImplementedError

    def prepared_shape(self, shape: Any) -> tuple[int | None, ...]:
        """The shape of what the inner banks read, of `(..., *row)`."""
        raise NotImplementedError

    def count_shared(self, inputs_shape: Any) -> int:
        """Multiply-adds of one pass through the shared part, per example."""
        return 0

    def build_bank(self, row_shape: tuple[int | None, ...]) -> None:
        self.build_shared(row_shape)
        self.banks.build((None, *self.prepared_shape(row_shape)), (None,))
        inside = [
            layer
            for bank in self.experts
            for layer in bank._flatten_layers(include_self=False)
        ]
        if not all(layer.supports_jit for layer in inside):
            self.supports_jit = False

    def run_all(
        self, rows: Any, mask: Any = None, training: bool | None = None
    ) -> Any:
        return self.banks.run_all(*self.prepare(rows, mask, training), training)

    def run_groups(
        self,
        rows: Any,
        group_sizes: Any,
        mask: Any = None,
        training: bool | None = None,
    ) -> Any:
        rows, mask = self.prepare(rows, mask, training)
        return self.banks.run_groups(rows, group_sizes, mask, training)

    def run_slots(self, slots: Any, mask: Any, training: bool | None) -> Any:
        slots, mask = self.prepare(slots, mask, training)
        return self.banks.run_slots(slots, mask, training)

    def run_picked(self, rows: Any, experts: Any, training: bool | None) -> Any:
        rows, _ = self.prepare(rows, None, training)
        return self.banks.run_picked(rows, experts, training)

    def row_output_shape(
        self, row_shape: tuple[int | None, ...]
    ) -> tuple[int | None, ...]:
        shape = (None, *self.prepared_shape(row_shape))
        return tuple(self.banks.output_shapes(shape, (None,))[0][2:])

    def count_cost(self, shapes: Any, load: Any = None) -> Cost:
        """Multiply-adds per example.

        What is shared counts once; where experts are chosen, as often as a row
        is brought to one.

        Args:
            shapes: those of `inputs` and, if there are, of `gates`.
            load: `(E,)` share of the rows that reach each expert; None for all.
        """
        inputs_shape, gates_shape = (*shapes, None)[:2]
        row_shape = self._row_shape(inputs_shape, gates_shape)
        leading = inputs_shape[: len(inputs_shape) - len(row_shape)]
        shared = self.count_shared(inputs_shape)
        passes = 1 if load is None else sum(load)
        inner = self.prepared_shape(inputs_shape)
        cost = Cost(round(max(1, passes) * shared), passes * shared)
        return cost + self.banks.count_cost(inner, leading, load)

    def kept_config(self, indices: Sequence[int]) -> dict[str, Any]:
        kept = self.banks.split(indices)
        experts = [serialize_kept(bank, own) for bank, own in kept]
        return {**self.get_config(), "experts": experts}

    def inside(
        self, indices: Sequence[int]
    ) -> list[tuple[Any, Sequence[int] | None]]:
        return list(self.banks.split(indices))

    def widths(self) -> dict[str, Any]:
        """Those of the first inner bank, which `single_expert` scales."""
        return self.experts[0].widths()

    def single_expert(self, factor: float = 1.0) -> ExpertBank:
        """One expert of the first inner bank, behind a shared part like this.

        Args:
            factor: float > 0, on its widths.
        """
        return self.with_bank(self.experts[0].single_expert(factor))

    def find(self, name: str) -> ExpertBank | None:
        """The bank of this name; an inner one comes with a shared part."""
        for bank in self.experts:
            found = bank.find(name)
            if found is not None:
                return self.with_bank(
                    type(found).from_config(found.get_config())
                )
        return super().find(name)

    def with_bank(self, bank: ExpertBank) -> "WrappedBanks":
        """A new layer like this around another bank."""
        config = {**self.get_config(), "experts": bank}
        return type(self)(**read_layers(config, *self.layer_arguments[1:]))

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        del config["num_experts"]
        serialize = keras.saving.serialize_keras_object
        return {**config, "experts": [serialize(bank) for bank in self.experts]}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "WrappedBanks":
        return cls(**read_layers(config, *cls.layer_arguments))
