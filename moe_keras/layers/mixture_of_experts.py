"""The mixture: gating, dispatch, experts and fusion, wired once."""

from typing import Any

import keras
from keras import ops

from moe_keras.errors import require
from moe_keras.layers.bank_list import BankList, read_banks
from moe_keras.layers.calls import (
    call_with,
    carried_mask,
    cast_floats,
    join_axes,
    read_layers,
)
from moe_keras.layers.counts import HasCounts
from moe_keras.layers.dispatches import (
    DISPATCHES,
    Choice,
    find_dispatch,
    most_choices,
)
from moe_keras.layers.experts_in_service import mask_of
from moe_keras.layers.fixed_arguments import FixedArguments
from moe_keras.layers.fusion.weighted_fusion import WeightedFusion
from moe_keras.layers.gate import Gate
from moe_keras.layers.gates_record import (
    note_gates,
    outputs_record,
    record_gates,
    record_picks,
)
from moe_keras.layers.input_checks import (
    ReadsOneTensor,
    check_gates,
    check_mask,
)
from moe_keras.layers.mixture_checks import (
    OWNER,
    check_capacity,
    check_parts,
    check_shared,
    check_width,
)
from moe_keras.layers.mixture_keeping import KeepsParts
from moe_keras.layers.registration import register
from moe_keras.layers.routing_stats import RoutingStats
from moe_keras.layers.training_figures import log_figures
from moe_keras.ops.cost import Cost, count_layer


@register
class MixtureOfExperts(
    ReadsOneTensor, FixedArguments, HasCounts, KeepsParts, keras.layers.Layer
):
    """y = sum_e g_e(x) f_e(x), plus a shared path if there is one.

    The banks may be of different kinds as long as one expert's output has the
    same shape in all of them; their expert axes are joined in the order of the
    list, and one gate spans them all.

    Args:
        experts: `ExpertBank` or a list of them.
        gate: layer from the inputs to gates `(..., E)`, a `GatingLayer` as a
            rule; with it, E must be the number of all experts.
        fusion: layer from `[outputs, gates]` to the result. `None` stands for
            `WeightedFusion()`. Defaults to `None`.
        shared: layer that sees every row, whose output is added; None for
            none. Defaults to `None`.
        dispatch: one of five ways with one result. `"dense"` runs every expert
            on every row. `"sorted"` sorts the rows by expert and runs only the
            chosen ones, dropping none. `"gather"` fetches the kernels of the
            chosen experts, for a few rows and one bank of `DenseExpert`.
            `"capacity"` gives each expert a buffer of fixed size, which XLA can
            compile; choices without a place are dropped. `"auto"` chooses: see
            the page on dispatch. The one argument that may change later; a
            compiled model keeps to the old way until `compile`. Defaults to
            `"auto"`.
        capacity_factor: float > 0. Places per expert in training, over those
            that an even load takes. Defaults to `1.25`.
        eval_capacity_factor: float > 0. The same in inference; with E/K nothing
            can be dropped. Defaults to `2.0`.
        batch_priority: bool. Under capacity, seat rows with larger gates first,
            instead of rows that come first. Defaults to `False`.
        overflow: `"report"` gives the gates of dropped choices to those that
            were kept, leaves rows without any to the shared path (zeros
            without one) and logs the dropped share; `"error"` stops instead.
            Defaults to `"report"`.
        **kwargs: `keras.layers.Layer` arguments.

    Call arguments:
        inputs: float `(B, ...)`, what the gate and all the banks read.
        mask: bool or None, padding; see `GatingLayer` and `RecurrentExpert`.
        expert_mask: bool `(E,)`, or with leading axes of the gates in front, as
            `(B, E)`, or None; experts that are False are out of service, as if
            the layer had been built without them. In a functional model it can
            be an input; see also `experts_in_service`.
        training: bool or None.

    Returns:
        float `(P..., R...)`: P the leading axes of the gates, R the shape of
        one expert's output.

    Source: Jacobs et al. (1991), Neural Computation 3(1); Shazeer et al.
        (2017), arXiv:1701.06538, eq. 1.

    Example:
    >>> moe = MixtureOfExperts(
    ...     DenseExpert(64, num_experts=8, hidden_units=256),
    ...     GatingLayer(8, top_k=2),
    ... )
    >>> moe(np.ones((32, 64), "float32")).shape
    TensorShape([32, 64])
    """

    # All ways have one result, where capacity drops nothing.
    changeable = frozenset({"dispatch"})

    def __init__(
        self,
        experts: Any,
        gate: keras.layers.Layer,
        fusion: keras.layers.Layer | None = None,
        shared: keras.layers.Layer | None = None,
        dispatch: str = "auto",
        capacity_factor: float = 1.25,
        eval_capacity_factor: float = 2.0,
        batch_priority: bool = False,
        overflow: str = "report",
        **kwargs: Any,
    ):
        # The gate reads the inputs as they come; the experts get them cast.
        super().__init__(autocast=False, **kwargs)
        self.experts = read_banks(OWNER, experts)
        self.banks = BankList(self.experts, OWNER)
        check_parts(OWNER, self.num_experts, gate, fusion, shared)
        check_capacity(OWNER, capacity_factor, eval_capacity_factor, overflow)
        if isinstance(gate, Gate):
            gate.serves_samples = self.banks.reads_samples
        self.gate = gate
        self.fusion = (
            WeightedFusion(name="fusion", dtype=self.dtype_policy)
            if fusion is None
            else fusion
        )
        self.shared = shared
        self.dispatch = dispatch
        self.capacity_factor = capacity_factor
        self.eval_capacity_factor = eval_capacity_factor
        self.batch_priority = batch_priority
        self.overflow = overflow
        self.stats: RoutingStats | None = None
        self.supports_masking = True

    @property
    def num_experts(self) -> int:
        """E, over all banks."""
        return self.banks.num_experts

    @property
    def dispatch(self) -> str:
        return self._dispatch

    @dispatch.setter
    def dispatch(self, value: str) -> None:
        require(
            value == "auto" or value in DISPATCHES,
            OWNER,
            f"`dispatch` must be one of {('auto', *DISPATCHES)}.",
            dispatch=value,
        )
        self._dispatch = value
        # Runs of rows have sizes that XLA, behind jit on TensorFlow, refuses.
        self.supports_jit = not (
            self.resolve_dispatch() == "sorted"
            and keras.backend.backend() == "tensorflow"
        )

    def counts(self) -> list[Any]:
        return [] if self.stats is None else self.stats.counts()

    def resolve_dispatch(self, rows: int | None = None) -> str:
        """What runs when this layer is called.

        Args:
            rows: how many rows there are, where it is known beforehand.
        """
        if outputs_record(self) is not None:
            return "dense"
        return find_dispatch(self, rows)

    def build(self, input_shape: Any) -> None:
        if not self.gate.built:
            self.gate.build(input_shape)
        self.banks.build(input_shape, self._gates_shape(input_shape)[:-1])
        if not self.fusion.built:
            self.fusion.build(self._fusion_shapes(input_shape))
        if self.shared is not None:
            if not self.shared.built:
                self.shared.build(input_shape)
            check_shared(
                self.shared.compute_output_shape(input_shape),
                self.compute_output_shape(input_shape),
            )
        self.stats = None
        if getattr(self.gate, "is_sparse", False):
            choices = most_choices(self)
            self.stats = RoutingStats(self, self.num_experts, choices)
            self._routing = log_figures(self.stats, self.name)

    def call(
        self,
        inputs: Any,
        mask: Any = None,
        expert_mask: Any = None,
        training: bool | None = None,
    ) -> Any:
        mask = carried_mask(inputs, mask)
        context = {"mask": mask, "training": training}
        if expert_mask is None:
            expert_mask = mask_of(self)
        require(
            expert_mask is None or isinstance(self.gate, Gate),
            OWNER,
            "`expert_mask` needs a gate that knows it, such as GatingLayer.",
            gate=self.gate,
        )
        masks = {**context, "expert_mask": expert_mask}
        with record_picks() as picks:
            gates = call_with(self.gate, inputs, **masks)
        check_gates(OWNER, gates, inputs, self.num_experts)
        depth = len(gates.shape) - 1
        rank = len(inputs.shape)
        check_mask(OWNER, mask, inputs.shape, rank - depth)
        if not isinstance(self.gate, Gate):
            if mask is not None and len(mask.shape) == depth:
                # Such a gate need not know of padding.
                real = ops.expand_dims(ops.cast(mask, "bool"), -1)
                gates = ops.where(real, gates, 0.0)
            note_gates(self.name, gates)
            picks.clear()
        leading = ops.shape(gates)[:depth]
        if not self.banks.keeps_rows:
            inputs = cast_floats(inputs, self.compute_dtype)
        rows, row_mask = join_axes(inputs, depth), join_axes(mask, depth)
        gates = join_axes(gates, depth)
        run = DISPATCHES[self.resolve_dispatch(rows.shape[0])]
        found = picks[0] if picks else None
        if found is not None:
            found = found.mapped(lambda tensor: join_axes(tensor, depth))
        choice = Choice(gates, found)
        # Gates inside an expert are of the rows that it was given.
        with record_gates():
            fused, dropped = run(self, rows, choice, row_mask, training)
        if self.stats:
            self.stats.note(gates, dropped, training, expert_mask)
        if depth > 1:
            fused = ops.reshape(fused, (*leading, *ops.shape(fused)[1:]))
        if self.shared is None:
            return fused
        return fused + call_with(self.shared, inputs, **context)

    def count_cost(self, shapes: Any, load: Any = None) -> Cost:
        """Multiply-adds per example; see `moe_keras.ops.cost`.

        Args:
            shapes: a list with the shape of `inputs`.
            load: `(E,)` share of the rows that reach each expert; None for all.
        """
        (inputs_shape,) = shapes
        fusion_shapes = self._fusion_shapes(inputs_shape)
        leading = fusion_shapes[-1][:-1]
        cost = count_layer(self.gate, shapes)
        cost += self.banks.count_cost(inputs_shape, leading, load)
        cost += count_layer(self.fusion, fusion_shapes, load)
        if self.shared is not None:
            cost += count_layer(self.shared, shapes)
        return cost

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        shapes = self._fusion_shapes(input_shape)
        return tuple(self.fusion.compute_output_shape(shapes))

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        """The mask goes on where every position has an output of its own."""
        if mask is None or self.banks.reads_samples:
            return None
        by_position = len(self._gates_shape(inputs.shape)) == len(inputs.shape)
        return mask if by_position else None

    def _gates_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        shape = tuple(self.gate.compute_output_shape(input_shape))
        check_width(OWNER, shape[-1], self.num_experts)
        return shape

    def _fusion_shapes(self, input_shape: Any) -> list[tuple[int | None, ...]]:
        gates_shape = self._gates_shape(input_shape)
        outputs = self.banks.output_shapes(input_shape, gates_shape[:-1])
        return [*outputs, gates_shape]

    def get_config(self) -> dict[str, Any]:
        serialize = keras.saving.serialize_keras_object
        return {
            **super().get_config(),
            "experts": [serialize(bank) for bank in self.experts],
            "gate": serialize(self.gate),
            "fusion": serialize(self.fusion),
            "shared": None if self.shared is None else serialize(self.shared),
            "dispatch": self.dispatch,
            "capacity_factor": self.capacity_factor,
            "eval_capacity_factor": self.eval_capacity_factor,
            "batch_priority": self.batch_priority,
            "overflow": self.overflow,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "MixtureOfExperts":
        names = ("experts", "gate", "fusion", "shared")
        return cls(**read_layers(config, *names))
