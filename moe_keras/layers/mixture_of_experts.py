"""The mixture: gating, dispatch, experts and fusion, wired once."""

import inspect
from typing import Any

import keras
from keras import ops

from moe_keras.errors import require
from moe_keras.layers.bank_list import BankList
from moe_keras.layers.expert_bank import ExpertBank
from moe_keras.layers.fusion.weighted_fusion import WeightedFusion
from moe_keras.layers.gate import Gate
from moe_keras.layers.gates_record import note_gates
from moe_keras.layers.registration import register
from moe_keras.ops import kernels
from moe_keras.ops.cost import Cost, count_layer
from moe_keras.ops.dispatch import SortedPlan

DISPATCHES = ("auto", "dense", "sorted")


@register
class MixtureOfExperts(keras.layers.Layer):
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
        dispatch: `"dense"` runs every expert on every row; `"sorted"` sorts the
            rows by expert and runs only the chosen ones, without dropping any;
            `"auto"` is sorted where the gate is sparse and the backend allows
            shapes that depend on data (not on JAX). Defaults to `"auto"`.
        **kwargs: `keras.layers.Layer` arguments.

    Call arguments:
        inputs: float `(B, ...)`, what the gate and all the banks read.
        mask: bool or None, padding; see `GatingLayer` and `RecurrentExpert`.
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

    def __init__(
        self,
        experts: Any,
        gate: keras.layers.Layer,
        fusion: keras.layers.Layer | None = None,
        shared: keras.layers.Layer | None = None,
        dispatch: str = "auto",
        **kwargs: Any,
    ):
        # The gate reads the inputs as they come; the experts get them cast.
        super().__init__(autocast=False, **kwargs)
        self.experts = (
            [experts] if isinstance(experts, ExpertBank) else list(experts)
        )
        self._banks = BankList(self.experts, "MixtureOfExperts")
        require(
            isinstance(gate, keras.layers.Layer),
            "MixtureOfExperts",
            "`gate` must be a Keras layer.",
            gate=gate,
        )
        self._check_width(getattr(gate, "num_experts", self.num_experts))
        if isinstance(gate, Gate):
            gate.serves_samples = self._banks.reads_samples
        self.gate = gate
        self.fusion = (
            WeightedFusion(name="fusion") if fusion is None else fusion
        )
        self.shared = shared
        self.dispatch = dispatch
        self.supports_masking = True

    @property
    def num_experts(self) -> int:
        """E, over all banks."""
        return self._banks.num_experts

    @property
    def dispatch(self) -> str:
        return self._dispatch

    @dispatch.setter
    def dispatch(self, value: str) -> None:
        require(
            value in DISPATCHES,
            "MixtureOfExperts",
            f"`dispatch` must be one of {DISPATCHES}.",
            dispatch=value,
        )
        self._dispatch = value
        # Runs of rows have sizes that XLA, behind jit on TensorFlow, refuses.
        self.supports_jit = not (
            self.resolve_dispatch() == "sorted"
            and keras.backend.backend() == "tensorflow"
        )

    def resolve_dispatch(self) -> str:
        """`"dense"` or `"sorted"`: what runs when this layer is called."""
        if self.dispatch != "auto":
            return self.dispatch
        sparse = getattr(self.gate, "is_sparse", False)
        return "sorted" if sparse and kernels.DYNAMIC_SHAPES else "dense"

    def build(self, input_shape: Any) -> None:
        if not self.gate.built:
            self.gate.build(input_shape)
        self._banks.build(input_shape, self._gates_shape(input_shape)[:-1])
        if not self.fusion.built:
            self.fusion.build(self._fusion_shapes(input_shape))
        fused = self.compute_output_shape(input_shape)
        if self.shared is None:
            return
        if not self.shared.built:
            self.shared.build(input_shape)
        shared = tuple(self.shared.compute_output_shape(input_shape))
        require(
            shared[1:] == fused[1:],
            "MixtureOfExperts",
            "`shared` must return what the experts return.",
            shared_shape=shared,
            fused_shape=fused,
        )

    def call(
        self, inputs: Any, mask: Any = None, training: bool | None = None
    ) -> Any:
        gates = _call(self.gate, inputs, mask=mask, training=training)
        if not isinstance(self.gate, Gate):
            note_gates(self.name, gates)
        inputs = _cast_floats(inputs, self.compute_dtype)
        if self.resolve_dispatch() == "dense":
            outputs = self._banks.run_dense(inputs, gates, mask, training)
            fused = self.fusion([*outputs, gates])
        else:
            fused = self._run_sorted(inputs, gates, mask, training)
        if self.shared is None:
            return fused
        return fused + _call(self.shared, inputs, mask=mask, training=training)

    def _run_sorted(
        self, inputs: Any, gates: Any, mask: Any, training: bool | None
    ) -> Any:
        depth = len(gates.shape) - 1
        leading = ops.shape(inputs)[:depth]
        choices = getattr(self.gate, "choices", self.num_experts)
        plan, weights = SortedPlan.from_top_k(
            ops.reshape(gates, (-1, self.num_experts)), choices
        )
        rows = plan.dispatch(_flatten(inputs, depth))
        row_mask = (
            None if mask is None else plan.dispatch(_flatten(mask, depth))
        )
        outputs = self._banks.run_groups(
            rows, plan.group_sizes, row_mask, training
        )
        # The same fusion as under dense dispatch, of K outputs instead of E.
        fused = self.fusion([plan.combine(outputs), weights])
        if depth == 1:
            return fused
        return ops.reshape(fused, (*leading, *ops.shape(fused)[1:]))

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
        cost += self._banks.count_cost(inputs_shape, leading, load)
        cost += count_layer(self.fusion, fusion_shapes, load)
        if self.shared is not None:
            cost += count_layer(self.shared, shapes)
        return cost

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        shapes = self._fusion_shapes(input_shape)
        return tuple(self.fusion.compute_output_shape(shapes))

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        """The mask goes on where every position has an output of its own."""
        if mask is None or self._banks.reads_samples:
            return None
        by_position = len(self._gates_shape(inputs.shape)) == len(inputs.shape)
        return mask if by_position else None

    def _gates_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        shape = tuple(self.gate.compute_output_shape(input_shape))
        self._check_width(shape[-1])
        return shape

    def _fusion_shapes(self, input_shape: Any) -> list[tuple[int | None, ...]]:
        gates_shape = self._gates_shape(input_shape)
        outputs = self._banks.output_shapes(input_shape, gates_shape[:-1])
        return [*outputs, gates_shape]

    def _check_width(self, width: int | None) -> None:
        require(
            width == self.num_experts,
            "MixtureOfExperts",
            "`gate` must have one output for each of the "
            f"{self.num_experts} experts.",
            gate_outputs=width,
        )

    def get_config(self) -> dict[str, Any]:
        serialize = keras.saving.serialize_keras_object
        return {
            **super().get_config(),
            "experts": [serialize(bank) for bank in self.experts],
            "gate": serialize(self.gate),
            "fusion": serialize(self.fusion),
            "shared": None if self.shared is None else serialize(self.shared),
            "dispatch": self.dispatch,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "MixtureOfExperts":
        parts = {
            name: keras.saving.deserialize_keras_object(config[name])
            for name in ("experts", "gate", "fusion", "shared")
            if config.get(name) is not None
        }
        return cls(**{**config, **parts})


def _flatten(tensor: Any, depth: int) -> Any:
    """Join the first `depth` axes."""
    if depth == 1:
        return tensor
    return ops.reshape(tensor, (-1, *ops.shape(tensor)[depth:]))


def _cast_floats(tensor: Any, dtype: str) -> Any:
    """To the compute dtype, unless the tensor holds identifiers."""
    is_float = keras.backend.is_float_dtype(
        keras.backend.standardize_dtype(tensor.dtype)
    )
    return ops.cast(tensor, dtype) if is_float else tensor


def _call(layer: keras.layers.Layer, inputs: Any, **context: Any) -> Any:
    """Call a layer with what it knows of the context.

    Keras hands `training` on by itself, but not where a layer's `call` is
    entered directly, as `stateless_call` does.
    """
    known = inspect.signature(layer.call).parameters
    return layer(inputs, **{k: v for k, v in context.items() if k in known})
