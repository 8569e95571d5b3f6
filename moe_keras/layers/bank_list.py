"""Several banks of different kinds as one: their expert axes joined."""

from collections.abc import Sequence
from typing import Any

from keras import ops

from moe_keras.errors import require
from moe_keras.layers.expert_bank import ExpertBank
from moe_keras.ops import kernels
from moe_keras.ops.cost import Cost

EXAMPLE = "DenseExpert(64, num_experts=4)"


def read_banks(
    owner: str, experts: Any, such_as: str = EXAMPLE, single: bool = False
) -> list[ExpertBank]:
    """`experts` as a list of banks.

    Args:
        owner: class named in errors.
        experts: one bank, or, unless there must be a single one, several.
        such_as: an example, for errors.
        single: whether there must be one.

    Raises:
        ValueError: for what is no bank, with the way from a model to one.
    """
    listed = isinstance(experts, list | tuple) and not single
    banks = list(experts) if listed else [experts]
    require(
        banks and all(isinstance(bank, ExpertBank) for bank in banks),
        owner,
        f"`experts` must be {'a bank' if single else 'one or more banks'}, "
        f"such as {such_as}; a model is one as ModelExpert(model), a layer as "
        "ModelExpert(keras.Sequential([layer])).",
        experts=experts,
    )
    return banks


class BankList:
    """The banks behind one gate, in order; expert numbers run through.

    Args:
        banks: of `read_banks`; the list itself is kept.
        owner: class named in errors.
    """

    def __init__(self, banks: list[ExpertBank], owner: str) -> None:
        self.banks = banks
        self._owner = owner

    @property
    def num_experts(self) -> int:
        """E, over all banks."""
        return sum(bank.num_experts for bank in self.banks)

    @property
    def reads_samples(self) -> bool:
        """Whether an expert of some bank reads a whole sample."""
        return any(bank.reads_samples for bank in self.banks)

    @property
    def keeps_rows(self) -> bool:
        """Whether some bank reads rows that are not cast."""
        return any(bank.keeps_rows for bank in self.banks)

    def build(self, inputs_shape: Any, leading: Any) -> None:
        """Build the banks for gates `(*leading, E)`."""
        for bank in self.banks:
            if not bank.built:
                bank.build(inputs_shape, (*leading, bank.num_experts))
            # Whether XLA can compile them is for the mixture to say.
            bank.supports_jit = True

    def run_all(self, rows: Any, mask: Any, training: bool | None) -> Any:
        """Every expert on every row, `(N, *row) -> (N, E, *R)`.

        For banks that read whole samples.
        """
        outputs = [
            bank(rows, mask=mask, training=training) for bank in self.banks
        ]
        if len(outputs) == 1:
            return outputs[0]
        return ops.concatenate(outputs, axis=1)

    def run_dense(
        self,
        inputs: Any,
        gates: Any,
        mask: Any,
        training: bool | None,
        dispatch: str = "dense",
    ) -> list[Any]:
        """Every expert on every row: for each bank `(P..., E_b, *R)`.

        With `dispatch="auto"`, where shapes may depend on data, on those rows
        whose gate is not 0.
        """
        return [
            bank(
                inputs,
                gates[..., start:end],
                mask=mask,
                dispatch=dispatch,
                training=training,
            )
            for bank, start, end in self._spans()
        ]

    def run_groups(
        self, rows: Any, group_sizes: Any, mask: Any, training: bool | None
    ) -> Any:
        """Expert e on run e of the rows, `(M, *row) -> (M, *R)`."""
        if len(self.banks) == 1:
            (bank,) = self.banks
            return bank(
                rows, group_sizes=group_sizes, mask=mask, training=training
            )
        sizes = [group_sizes[start:end] for _, start, end in self._spans()]
        totals = ops.stack([ops.sum(run) for run in sizes])
        count = len(sizes)
        parts = kernels.split_rows(rows, totals, count)
        masks = (
            [None] * count
            if mask is None
            else kernels.split_rows(mask, totals, count)
        )
        outputs = [
            bank(part, group_sizes=run, mask=part_mask, training=training)
            for bank, part, run, part_mask in zip(
                self.banks, parts, sizes, masks, strict=True
            )
        ]
        return ops.concatenate(outputs, axis=0)

    @property
    def can_pick(self) -> bool:
        """Whether `run_picked` works: one bank, with kernels to fetch."""
        return len(self.banks) == 1 and self.banks[0].can_pick

    def run_slots(self, slots: Any, mask: Any, training: bool | None) -> Any:
        """Expert e on its buffer, `(E, C, *row) -> (E, C, *R)`."""
        outputs = [
            bank(
                slots[start:end],
                mask=None if mask is None else mask[start:end],
                dispatch="slots",
                training=training,
            )
            for bank, start, end in self._spans()
        ]
        if len(outputs) == 1:
            return outputs[0]
        return ops.concatenate(outputs, axis=0)

    def run_picked(self, rows: Any, experts: Any, training: bool | None) -> Any:
        """Chosen experts on each row, `(N, *row), (N, K) -> (N, K, *R)`."""
        require(
            self.can_pick,
            "MixtureOfExperts",
            "dispatch='gather' needs one bank of DenseExpert.",
            experts=[bank.name for bank in self.banks],
        )
        (bank,) = self.banks
        return bank(rows, experts=experts, training=training)

    def output_shapes(self, inputs_shape: Any, leading: Any) -> list[Any]:
        """For each bank `(*leading, E_b, *R)`, with one R for all."""
        shapes = [
            bank.compute_output_shape(
                inputs_shape, (*leading, bank.num_experts)
            )
            for bank in self.banks
        ]
        ends = [tuple(shape[len(leading) + 1 :]) for shape in shapes]
        require(
            all(end == ends[0] for end in ends),
            self._owner,
            "`experts` must be banks with outputs of one shape; `output_units` "
            "brings them to one width.",
            experts=[
                (bank.name, end)
                for bank, end in zip(self.banks, ends, strict=True)
            ],
        )
        return shapes

    def count_cost(self, inputs_shape: Any, leading: Any, load: Any) -> Cost:
        """Multiply-adds per example; see `ExpertBank.count_cost`."""
        cost = Cost(0, 0)
        for bank, start, end in self._spans():
            shapes = [inputs_shape, (*leading, bank.num_experts)]
            cost += bank.count_cost(
                shapes, None if load is None else load[start:end]
            )
        return cost

    def split(
        self, indices: Sequence[int]
    ) -> list[tuple[ExpertBank, list[int]]]:
        """The banks that hold some of these experts, with their own numbers.

        Args:
            indices: numbers in 0..E-1, ascending.
        """
        found = [
            (bank, [index - start for index in indices if start <= index < end])
            for bank, start, end in self._spans()
        ]
        return [(bank, own) for bank, own in found if own]

    def _spans(self) -> list[tuple[ExpertBank, int, int]]:
        """Each bank with its first expert and the one behind its last."""
        spans, start = [], 0
        for bank in self.banks:
            spans.append((bank, start, start + bank.num_experts))
            start += bank.num_experts
        return spans
