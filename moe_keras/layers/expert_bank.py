"""What all banks of experts share: E functions of one row, run on many rows."""

from typing import Any

import keras
from keras import ops

from moe_keras.errors import missing_method, require_counts
from moe_keras.layers.calls import freeze, join_axes
from moe_keras.layers.fixed_arguments import FixedArguments
from moe_keras.layers.input_checks import (
    ReadsOneTensor,
    check_bank_gates,
    check_floats,
    check_mask,
)
from moe_keras.layers.keeping import KeepsExperts
from moe_keras.ops import kernels
from moe_keras.ops.cost import Cost
from moe_keras.ops.cost_rules import size_of
from moe_keras.ops.dispatch import SortedPlan, map_groups


class ExpertBank(
    ReadsOneTensor, FixedArguments, KeepsExperts, keras.layers.Layer
):
    """Base class of the banks: `num_experts` functions of one kind.

    A subclass says what one expert does to rows `(N, *row)`: `build_bank`,
    `split_bank`, `run_expert`, `row_output_shape`, `count_expert`, and, where
    one call can serve all experts, `run_all` or `run_groups`.

    A row is what an expert reads at once. Without gates it is the last
    `row_rank` axes of the input (all but the batch where `row_rank` is None);
    with gates `(P..., E)`, the axes behind those that the gates share with the
    input.

    Args:
        num_experts: int > 0. E.
        **kwargs: `keras.layers.Layer` arguments.

    Call arguments:
        inputs: `(P..., *row)`.
        gates: float `(P..., E)` or None.
        group_sizes: int `(E,)` or None; with it, `inputs` are rows `(M, *row)`
            sorted by expert, and the result is `(M, *R)`.
        mask: bool or None, for experts that read sequences.
        dispatch: `"auto"` or `"dense"`, with gates: whether only the chosen
            rows are computed, or all, and those not chosen are cleared (all
            that JAX can do, whose shapes are static). `"slots"`: `inputs` are
            buffers `(E, C, *row)`, one per expert; the result is `(E, C, *R)`.
        experts: int `(N, K)` or None; with it, `inputs` are rows `(N, *row)`
            and the result is `(N, K, *R)`, of the experts of each row (where
            `can_pick`; E marks "no expert", whose output is arbitrary).

    Returns:
        `(P..., E, *R)`, zeros where the gate is 0.
    """

    row_rank: int | None = None
    # Whether an expert reads a whole sample, not one position of it.
    reads_samples = True
    # Whether `run_picked` is there.
    can_pick = False
    # Whether an expert computes with its inputs, and cannot read identifiers.
    needs_floats = False
    # Whether rows must come as they are, not in the compute dtype.
    keeps_rows = False

    def __init__(self, num_experts: int = 1, **kwargs: Any):
        super().__init__(**kwargs)
        require_counts(type(self).__name__, num_experts=num_experts)
        self.num_experts = num_experts

    # --- what a subclass implements ---

    def build_bank(self, row_shape: tuple[int | None, ...]) -> None:
        """Make every weight, for rows of this shape."""
        raise self._lacks(
            "build_bank", "It makes every weight, for rows of `row_shape`."
        )

    def split_bank(self) -> list[Any]:
        """The E experts, each as what `run_expert` needs to run it."""
        raise self._lacks(
            "split_bank",
            "It returns a list of E experts, each as `run_expert` takes it.",
        )

    def run_expert(
        self,
        expert: Any,
        rows: Any,
        mask: Any = None,
        training: bool | None = None,
    ) -> Any:
        """One item of `split_bank` on its rows, `(N, *row) -> (N, *R)`."""
        raise self._lacks(
            "run_expert",
            "It runs one expert on its rows, `(N, *row) -> (N, *R)`.",
        )

    def row_output_shape(
        self, row_shape: tuple[int | None, ...]
    ) -> tuple[int | None, ...]:
        """The shape R of one expert's output for one row."""
        raise self._lacks(
            "row_output_shape",
            "It returns the shape of one expert's output for one row.",
        )

    def count_expert(self, row_shape: tuple[int, ...]) -> int:
        """Multiply-adds of one expert on one row."""
        raise self._lacks(
            "count_expert",
            "It returns the multiply-adds of one expert on one row.",
        )

    def count_active(self, row_shape: tuple[int, ...]) -> float:
        """Of these, those that a row reaches in an expert that it reaches."""
        return self.count_expert(row_shape)

    def widths(self) -> dict[str, Any]:
        """The arguments that set an expert's size, not its output's.

        Each is an int or a tuple of them. Where there is none, `dense_twin`
        cannot make an expert of another size.
        """
        return {}

    def scaled_widths(self, factor: float) -> dict[str, Any]:
        """The same arguments, each width times a factor; at least 1."""

        def scale(width: Any) -> Any:
            if isinstance(width, tuple):
                return tuple(map(scale, width))
            return max(1, round(factor * width))

        return {name: scale(width) for name, width in self.widths().items()}

    def single_expert(self, factor: float = 1.0) -> "ExpertBank":
        """One dense expert of this kind, new, its widths times a factor."""
        config = {**self.get_config(), **self.scaled_widths(factor)}
        return type(self).from_config({**config, "num_experts": 1})

    def find(self, name: str) -> "ExpertBank | None":
        """The bank of this name: itself, or one made of a part of it."""
        return self if self.name == name else None

    def run_all(
        self, rows: Any, mask: Any = None, training: bool | None = None
    ) -> Any:
        """Every expert on every row, `(N, *row) -> (N, E, *R)`."""
        outputs = [
            self.run_expert(expert, rows, mask, training)
            for expert in self.split_bank()
        ]
        return ops.stack(outputs, axis=1)

    def run_groups(
        self,
        rows: Any,
        group_sizes: Any,
        mask: Any = None,
        training: bool | None = None,
    ) -> Any:
        """Expert e on run e of the rows, `(M, *row) -> (M, *R)`."""

        def run(expert: Any, *group: Any) -> Any:
            return self.run_group(expert, group, training)

        parts = (rows,) if mask is None else (rows, mask)
        return map_groups(run, self.split_bank(), parts, group_sizes)

    def run_slots(self, slots: Any, mask: Any, training: bool | None) -> Any:
        """Expert e on slice e, `(E, C, *row) -> (E, C, *R)`."""
        masks = [None] * self.num_experts if mask is None else mask
        outputs = [
            self.run_expert(expert, slots[e], masks[e], training)
            for e, expert in enumerate(self.split_bank())
        ]
        return ops.stack(outputs, axis=0)

    def run_picked(self, rows: Any, experts: Any, training: bool | None) -> Any:
        """Chosen experts on each row, `(N, *row), (N, K) -> (N, K, *R)`."""
        raise self._lacks(
            "run_picked",
            "It runs chosen experts, `(N, *row), (N, K) -> (N, K, *R)`.",
        )

    def run_group(self, expert: Any, group: Any, training: bool | None) -> Any:
        """One expert on its rows, and their mask if there is one.

        An expert without rows runs on one row of zeros, whose result is thrown
        away: not every operation is right on an empty batch (a convolution of
        TensorFlow with oneDNN returns the wrong number of channels).
        """
        return kernels.run_nonempty(
            lambda *padded: self.run_expert(expert, *padded, training=training),
            group,
        )

    # --- the same for every bank ---

    def call(
        self,
        inputs: Any,
        gates: Any = None,
        group_sizes: Any = None,
        mask: Any = None,
        dispatch: str = "auto",
        experts: Any = None,
        training: bool | None = None,
    ) -> Any:
        mask = mask if self.supports_masking else None
        if self.needs_floats:
            check_floats(type(self).__name__, inputs)
        if experts is not None:
            return self.run_picked(inputs, experts, training)
        if dispatch == "slots":
            return self.run_slots(inputs, mask, training)
        if group_sizes is not None:
            return self.run_groups(inputs, group_sizes, mask, training)
        if gates is None:
            depth = self._leading_axes(inputs.shape)
        else:
            self._check_gates(inputs.shape, gates.shape)
            depth = len(gates.shape) - 1
        shape = inputs.shape
        check_mask(type(self).__name__, mask, shape, len(shape) - depth)
        leading = ops.shape(inputs)[:depth]
        rows, mask = join_axes(inputs, depth), join_axes(mask, depth)
        if gates is None:
            outputs = self.run_all(rows, mask, training)
        else:
            gates = ops.reshape(gates, (-1, self.num_experts))
            sparse = dispatch != "dense" and kernels.DYNAMIC_SHAPES
            run = self._run_chosen if sparse else self._run_and_clear
            outputs = run(rows, gates, mask, training)
        if depth == 1:
            return outputs
        return ops.reshape(outputs, (*leading, *ops.shape(outputs)[1:]))

    def _run_chosen(
        self, rows: Any, gates: Any, mask: Any, training: Any
    ) -> Any:
        plan = SortedPlan.from_gates(gates)
        mask = None if mask is None else plan.dispatch(mask)
        rows = plan.dispatch(rows)
        outputs = self.run_groups(rows, plan.group_sizes, mask, training)
        return plan.combine(outputs)

    def _run_and_clear(
        self, rows: Any, gates: Any, mask: Any, training: Any
    ) -> Any:
        outputs = self.run_all(rows, mask, training)
        trailing = (1,) * (len(outputs.shape) - 2)
        chosen = ops.reshape(gates != 0, (-1, self.num_experts, *trailing))
        return ops.where(chosen, outputs, ops.zeros_like(outputs))

    def build(
        self,
        inputs_shape: Any,
        gates_shape: Any = None,
        group_sizes_shape: Any = None,
    ) -> None:
        if gates_shape is not None:
            self._check_gates(inputs_shape, gates_shape)
            # XLA wants static shapes; so does JAX, which runs all experts.
            self.supports_jit = keras.backend.backend() != "tensorflow"
        self.build_bank(self._row_shape(inputs_shape, gates_shape))
        if not self.trainable:
            freeze(self)

    def compute_output_shape(
        self,
        inputs_shape: Any,
        gates_shape: Any = None,
        group_sizes_shape: Any = None,
    ) -> tuple[int | None, ...]:
        row_shape = self._row_shape(inputs_shape, gates_shape)
        outputs = self.row_output_shape(row_shape)
        if group_sizes_shape is not None:
            return (inputs_shape[0], *outputs)
        leading = inputs_shape[: len(inputs_shape) - len(row_shape)]
        return (*leading, self.num_experts, *outputs)

    def count_cost(self, shapes: Any, load: Any = None) -> Cost:
        """Multiply-adds per example; see `moe_keras.ops.cost`.

        Args:
            shapes: those of `inputs` and, if there are, of `gates`.
            load: `(E,)` share of the rows that reach each expert; None for all.
        """
        inputs_shape, gates_shape = (*shapes, None)[:2]
        row_shape = self._row_shape(inputs_shape, gates_shape)
        rows = size_of(inputs_shape[1 : len(inputs_shape) - len(row_shape)])
        size_of(row_shape)
        reached = self.num_experts if load is None else sum(load)
        return Cost(
            rows * self.count_expert(row_shape) * self.num_experts,
            rows * self.count_active(row_shape) * reached,
        )

    def compute_mask(self, inputs: Any, mask: Any = None) -> None:
        """None: the expert axis stands between the positions and the values."""
        return None

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "num_experts": self.num_experts}

    def _lacks(self, method: str, what: str) -> NotImplementedError:
        return missing_method(type(self).__name__, method, what)

    def _leading_axes(self, shape: Any) -> int:
        return max(1, len(shape) - (self.row_rank or len(shape)))

    def _row_shape(
        self, inputs_shape: Any, gates_shape: Any
    ) -> tuple[int | None, ...]:
        if gates_shape is None:
            return tuple(inputs_shape[self._leading_axes(inputs_shape) :])
        return tuple(inputs_shape[len(gates_shape) - 1 :])

    def _check_gates(self, inputs_shape: Any, gates_shape: Any) -> None:
        check_bank_gates(
            type(self).__name__, inputs_shape, gates_shape, self.num_experts
        )
