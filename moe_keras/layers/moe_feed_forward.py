"""Feed-forward block of experts: y = sum_e g_e(x) f_e(x) + s(x) + x W."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from moe_keras.errors import require, require_counts, require_rates
from moe_keras.layers.calls import read_layers
from moe_keras.layers.dispatches import compiles
from moe_keras.layers.experts.dense_expert import DenseExpert
from moe_keras.layers.fixed_arguments import FixedArguments
from moe_keras.layers.gating.gating_layer import GatingLayer
from moe_keras.layers.initializers import numbered
from moe_keras.layers.input_checks import ReadsOneTensor, known_width
from moe_keras.layers.keeping import (
    KeepsExperts,
    serialize_kept,
    serialize_unbuilt,
)
from moe_keras.layers.mixture_checks import check_capacity, check_parts
from moe_keras.layers.mixture_of_experts import MixtureOfExperts
from moe_keras.layers.registration import register
from moe_keras.ops.cost import Cost, count_layer


@register
class MoEFeedForward(
    ReadsOneTensor, FixedArguments, KeepsExperts, keras.layers.Layer
):
    """Drop-in for the feed-forward block of a Transformer, `(..., D)` both.

    A `MixtureOfExperts` of `DenseExpert(D, num_experts, hidden_units)` whose
    gate sees every position, and two paths that every position takes: a shared
    expert and a linear map, if wanted.

    Args:
        num_experts: int > 0. E.
        hidden_units: int > 0. H, width of the hidden layer of one expert.
        top_k: int in 1..E, or None for all experts, of the gate that is made
            here; a `gate` of your own has its own. Defaults to `2`.
        activation: str or callable, after the hidden layers. Defaults to
            `"gelu"`.
        gated: bool. Whether the hidden layers are gated linear units; see
            `DenseExpert`. Defaults to `False`.
        shared_units: int > 0 or None. Width of the hidden layer of a shared
            expert, always on, of the same kind. Defaults to `None`.
        residual: bool. Add x W with a learned W `(D, D)`. Defaults to `False`.
        dropout: float in [0, 1), of the hidden values, in training. Defaults to
            `0.0`.
        use_bias: bool, in the experts. Defaults to `True`.
        dispatch: see `MixtureOfExperts`. Defaults to `"auto"`.
        gate: layer from inputs to gates; None for a `GatingLayer` that scores
            every position. Defaults to `None`.
        capacity_factor: float > 0; this and the next three are those of
            `MixtureOfExperts`, for `dispatch="capacity"`. Defaults to `1.25`.
        eval_capacity_factor: float > 0. Defaults to `2.0`.
        batch_priority: bool. Defaults to `False`.
        overflow: `"report"` or `"error"`. Defaults to `"report"`.
        kernel_initializer: for one expert's kernels, and the shared expert's;
            every expert has draws of its own. Defaults to `"he_normal"`.
        expert_dropout: float in [0, 1), of the gate that is made here: how
            often an expert is out of service for a whole batch in training. A
            `gate` of your own has its own. Defaults to `0.0`.
        fusion: layer from `[outputs, gates]` to the result; None for
            `WeightedFusion()`. Defaults to `None`.
        **kwargs: `keras.layers.Layer` arguments.

    Call arguments:
        inputs: float `(..., D)`.
        mask: bool `(...)` or None. Padding is routed to no expert and counts in
            no loss; the shared expert and the linear map do not see the mask.
        expert_mask: bool `(E,)` or None; see `MixtureOfExperts`. The shared
            expert is always in service.
        training: bool or None.

    Returns:
        float `(..., D)`.

    Source: Vaswani et al. (2017), arXiv:1706.03762, eq. 2; Fedus et al. (2021),
        arXiv:2101.03961, section 2; Dai et al. (2024), arXiv:2401.06066 (shared
        expert); Rajbhandari et al. (2022), arXiv:2201.05596 (residual).

    Example:
    >>> block = MoEFeedForward(8, 256, activation="silu", gated=True)
    >>> block(np.ones((4, 10, 64), "float32")).shape
    TensorShape([4, 10, 64])
    """

    def __init__(
        self,
        num_experts: int,
        hidden_units: int,
        top_k: int | None = 2,
        activation: Any = "gelu",
        gated: bool = False,
        shared_units: int | None = None,
        residual: bool = False,
        dropout: float = 0.0,
        use_bias: bool = True,
        dispatch: str = "auto",
        gate: keras.layers.Layer | None = None,
        capacity_factor: float = 1.25,
        eval_capacity_factor: float = 2.0,
        batch_priority: bool = False,
        overflow: str = "report",
        kernel_initializer: Any = "he_normal",
        expert_dropout: float = 0.0,
        fusion: keras.layers.Layer | None = None,
        **kwargs: Any,
    ):
        # The gate reads the inputs as they come, as in the mixture.
        super().__init__(autocast=False, **kwargs)
        counts = {"num_experts": num_experts, "hidden_units": hidden_units}
        if shared_units is not None:
            counts["shared_units"] = shared_units
        require_counts("MoEFeedForward", **counts)
        require_rates("MoEFeedForward", dropout=dropout)
        require(
            not expert_dropout or gate is None,
            "MoEFeedForward",
            "`expert_dropout` is for the gate that is made here; give it to "
            "the `gate` that you hand in.",
            expert_dropout=expert_dropout,
            gate=gate,
        )
        check_capacity(
            "MoEFeedForward", capacity_factor, eval_capacity_factor, overflow
        )
        self.num_experts = num_experts
        self.hidden_units = hidden_units
        self.top_k = top_k
        self.activation = keras.activations.get(activation)
        self.gated = gated
        self.shared_units = shared_units
        self.residual = residual
        self.dropout = dropout
        self.use_bias = use_bias
        self.dispatch = dispatch
        self.capacity_factor = capacity_factor
        self.eval_capacity_factor = eval_capacity_factor
        self.batch_priority = batch_priority
        self.overflow = overflow
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.expert_dropout = expert_dropout
        self.fusion = fusion
        self._own_gate = gate is None
        if gate is None:
            gate = GatingLayer(
                num_experts,
                top_k,
                level="position",
                expert_dropout=expert_dropout,
                dtype=self.dtype_policy,
                name=f"{self.name}_gate",
            )
        check_parts("MoEFeedForward", num_experts, gate, fusion)
        self.gate = gate
        self.supports_jit = compiles(dispatch, gate)
        self.supports_masking = True

    def build(self, input_shape: Any) -> None:
        width = known_width("MoEFeedForward", input_shape)
        self.mixture = MixtureOfExperts(
            self._bank(width, self.num_experts, self.hidden_units, "experts"),
            self.gate,
            self.fusion,
            dispatch=self.dispatch,
            capacity_factor=self.capacity_factor,
            eval_capacity_factor=self.eval_capacity_factor,
            batch_priority=self.batch_priority,
            overflow=self.overflow,
            dtype=self.dtype_policy,
            name=f"{self.name}_mixture",
        )
        self.mixture.build(input_shape)
        self.supports_jit = self.mixture.supports_jit
        self._shared = self._linear = None
        if self.shared_units is not None:
            self._shared = self._bank(width, 1, self.shared_units, "shared")
            self._shared.build(input_shape)
        if self.residual:
            self._linear = keras.layers.Dense(
                width, use_bias=False, dtype=self.dtype_policy, name="residual"
            )
            self._linear.build(input_shape)

    def _bank(self, width: int, count: int, hidden: int, name: str) -> Any:
        # Another draw for the shared expert, behind those of the others.
        first = self.num_experts if name == "shared" else 0
        return DenseExpert(
            width,
            count,
            hidden,
            self.gated,
            self.activation,
            dropout=self.dropout,
            use_bias=self.use_bias,
            kernel_initializer=numbered(self.kernel_initializer, first),
            dtype=self.dtype_policy,
            name=name,
        )

    def call(
        self,
        inputs: Any,
        mask: Any = None,
        expert_mask: Any = None,
        training: bool | None = None,
    ) -> Any:
        outputs = self.mixture(
            inputs, mask=mask, expert_mask=expert_mask, training=training
        )
        if self._shared is not None:
            shared = self._shared(inputs, training=training)
            outputs = outputs + ops.squeeze(shared, axis=-2)
        if self._linear is not None:
            outputs = outputs + self._linear(inputs)
        return outputs

    def resolve_dispatch(self) -> str:
        """What runs when this block, built, is called."""
        return self.mixture.resolve_dispatch()

    def count_cost(self, shapes: Any, load: Any = None) -> Cost:
        """Multiply-adds per example; see `moe_keras.ops.cost`.

        Args:
            shapes: a list with the shape of `inputs`.
            load: `(E,)` share of the rows that reach each expert; None for all.
        """
        cost = count_layer(self.mixture, shapes, load)
        for path in (self._shared, self._linear):
            if path is not None:
                cost += count_layer(path, shapes)
        return cost

    def kept_config(self, indices: Sequence[int]) -> dict[str, Any]:
        config = super().kept_config(indices)
        if self.top_k is not None:
            config["top_k"] = min(self.top_k, len(indices))
        if not self._own_gate:
            config["gate"] = serialize_kept(self.gate, indices)
        return {**config, "fusion": serialize_unbuilt(self.fusion)}

    def inside(
        self, indices: Sequence[int]
    ) -> list[tuple[Any, Sequence[int] | None]]:
        return [(self.mixture, indices)]

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        return tuple(input_shape)

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        """The mask goes on: every position has an output of its own."""
        return mask

    def get_config(self) -> dict[str, Any]:
        serialize = keras.saving.serialize_keras_object
        plain = (
            "num_experts hidden_units top_k gated shared_units residual "
            "dropout use_bias dispatch capacity_factor eval_capacity_factor "
            "batch_priority overflow expert_dropout"
        )
        return {
            **super().get_config(),
            **{name: getattr(self, name) for name in plain.split()},
            "activation": keras.activations.serialize(self.activation),
            "gate": None if self._own_gate else serialize(self.gate),
            "kernel_initializer": keras.initializers.serialize(
                self.kernel_initializer
            ),
            "fusion": None if self.fusion is None else serialize(self.fusion),
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "MoEFeedForward":
        return cls(**read_layers(config, "gate", "fusion"))
