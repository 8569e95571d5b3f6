"""Banks of experts that are products with kernels and element-wise maps."""

import math
from typing import Any

from keras import ops

from moe_keras.layers.expert_bank import ExpertBank
from moe_keras.layers.input_checks import known_width
from moe_keras.ops import kernels
from moe_keras.ops.dispatch import FEW_CHOICES, experts_of_runs


class ProductBank(ExpertBank):
    """Base class of banks that read the last axis, by one formula.

    The formula, `formula`, is written once, for one expert; all ways to run the
    bank hand it their product of rows and kernel, and weights that fit. A
    subclass implements it, `weight_banks`, and what `ExpertBank` asks for
    besides `split_bank` and the ways to run.
    """

    row_rank = 1
    reads_samples = False
    can_pick = True
    needs_floats = True

    def weight_banks(self) -> list[Any]:
        """The weights, each with the experts in front.

        Kernels are `(E, D, U)`; `(E, U)` are vectors, such as biases.
        """
        raise NotImplementedError

    def formula(
        self, rows: Any, weights: list[Any], product: Any, training: Any
    ) -> Any:
        """One expert's formula, whatever its product of rows and kernel.

        Args:
            rows: float `(..., D)`.
            weights: one expert's, in the order of `weight_banks`; vectors
                broadcast to the rows.
            product: called as `product(rows, kernel)`.
            training: bool or None.
        """
        raise NotImplementedError

    def build(
        self,
        inputs_shape: Any,
        gates_shape: Any = None,
        group_sizes_shape: Any = None,
    ) -> None:
        known_width(type(self).__name__, inputs_shape)
        super().build(inputs_shape, gates_shape, group_sizes_shape)

    def split_bank(self) -> list[Any]:
        """E tuples: the weights of one expert."""
        return self._split(kernels.unstack)

    def _split(self, parts_of: Any) -> list[Any]:
        parts = map(parts_of, self._tensors())
        return list(zip(*parts, strict=True))

    def _tensors(self) -> list[Any]:
        return [ops.convert_to_tensor(bank) for bank in self.weight_banks()]

    def run_expert(
        self,
        expert: Any,
        rows: Any,
        mask: Any = None,
        training: bool | None = None,
    ) -> Any:
        return self.formula(rows, expert, kernels.product, training)

    def run_all(
        self, rows: Any, mask: Any = None, training: bool | None = None
    ) -> Any:
        outputs = self.run_slots(ops.expand_dims(rows, 0), mask, training)
        return ops.swapaxes(outputs, 0, 1)

    def run_slots(self, slots: Any, mask: Any, training: bool | None) -> Any:
        # (E or 1, C, ..., D) @ (E, 1.., D, U): one product for all experts.
        extra = (1,) * (len(slots.shape) - 3)

        def spread(bank: Any) -> Any:
            middle = extra if len(bank.shape) > 2 else (1, *extra)
            return ops.reshape(
                bank, (self.num_experts, *middle, *bank.shape[1:])
            )

        weights = [spread(bank) for bank in self.weight_banks()]
        return self.formula(slots, weights, ops.matmul, training)

    def run_picked(self, rows: Any, experts: Any, training: bool | None) -> Any:
        picks = ops.minimum(experts, self.num_experts - 1)
        top_k, row_shape = experts.shape[1], tuple(rows.shape[1:])
        shape = (-1, top_k, *self.row_output_shape(row_shape))
        count = rows.shape[0]
        # On JAX it may be a symbol, which compares with no number.
        if isinstance(count, int) and 0 < count * top_k <= FEW_CHOICES:
            flat = ops.reshape(picks, (-1,))
            chosen = self._split(lambda bank: kernels.fetch(bank, flat))
            outputs = [
                self.run_expert(
                    expert, rows[i // top_k : i // top_k + 1], None, training
                )
                for i, expert in enumerate(chosen)
            ]
            return ops.reshape(ops.concatenate(outputs, axis=0), shape)
        # (N, 1, T, D) @ (N, K, D, U), T the positions of a row.
        rows = ops.reshape(
            rows, (-1, 1, math.prod(row_shape[:-1]), row_shape[-1])
        )

        def fetch(bank: Any) -> Any:
            taken = ops.take(bank, picks, axis=0)
            return taken if len(bank.shape) > 2 else ops.expand_dims(taken, 2)

        weights = [fetch(bank) for bank in self.weight_banks()]
        outputs = self.formula(rows, weights, ops.matmul, training)
        return ops.reshape(outputs, shape)

    def run_group(self, expert: Any, group: Any, training: bool | None) -> Any:
        # A product with no rows is right as it is.
        return self.run_expert(expert, *group, training=training)

    def run_groups(
        self,
        rows: Any,
        group_sizes: Any,
        mask: Any = None,
        training: bool | None = None,
    ) -> Any:
        banks = self._tensors()
        shapes = [bank.shape for bank in banks if len(bank.shape) > 2]
        if not all(kernels.in_one_product(rows, shape) for shape in shapes):
            return super().run_groups(rows, group_sizes, mask, training)
        if len(rows.shape) > 2:
            # Every position of a row is a row of the products.
            positions = math.prod(rows.shape[1:-1])
            flat = ops.reshape(rows, (-1, rows.shape[-1]))
            outputs = self.run_groups(
                flat, group_sizes * positions, None, training
            )
            return ops.reshape(outputs, (*rows.shape[:-1], outputs.shape[-1]))
        # One product for all experts, and their vectors spread over the rows.
        experts = experts_of_runs(group_sizes, rows.shape[0])
        weights = [
            bank if len(bank.shape) > 2 else ops.take(bank, experts, axis=0)
            for bank in banks
        ]
        return self.formula(
            rows,
            weights,
            lambda x, kernel: kernels.grouped_matmul(x, kernel, group_sizes),
            training,
        )
