"""Transformer block: x + attention(norm x), then x + experts(norm x)."""

from collections.abc import Sequence
from typing import Any

import keras

from moe_keras.errors import is_number, require, require_counts, require_rates
from moe_keras.layers.calls import carried_mask, read_layers
from moe_keras.layers.fixed_arguments import FixedArguments
from moe_keras.layers.input_checks import (
    ReadsOneTensor,
    check_floats,
    check_mask,
)
from moe_keras.layers.keeping import KeepsExperts
from moe_keras.layers.moe_feed_forward import MoEFeedForward
from moe_keras.layers.registration import register
from moe_keras.ops.cost import Cost, count_layer


@register
class MoETransformerBlock(
    ReadsOneTensor, FixedArguments, KeepsExperts, keras.layers.Layer
):
    """Pre-norm Transformer block whose feed-forward part is a mixture.

    Args:
        num_heads: int > 0. Heads of the attention.
        key_dim: int > 0. Width of one head.
        num_experts: int > 0. E; this and the next five are those of
            `MoEFeedForward`.
        hidden_units: int > 0. H, width of the hidden layer of one expert.
        top_k: int in 1..E, or None for all experts. Defaults to `2`.
        activation: str or callable. Defaults to `"gelu"`.
        gated: bool. Defaults to `False`.
        shared_units: int > 0 or None. Defaults to `None`.
        causal: bool. Whether a position sees only itself and what is before it.
            Defaults to `False`.
        dropout: float in [0, 1), of the attention weights, of the attention's
            output and of the experts' hidden values. Defaults to `0.0`.
        epsilon: float > 0, of the two normalisations. Defaults to `1e-6`.
        dispatch: see `MixtureOfExperts`. Defaults to `"auto"`.
        gate: layer from inputs to gates, or None; this and the next seven are
            those of `MoEFeedForward`. Defaults to `None`.
        capacity_factor: float > 0. Defaults to `1.25`.
        eval_capacity_factor: float > 0. Defaults to `2.0`.
        batch_priority: bool. Defaults to `False`.
        overflow: `"report"` or `"error"`. Defaults to `"report"`.
        kernel_initializer: of the experts; the attention has Keras' own.
            Defaults to `"he_normal"`.
        expert_dropout: float in [0, 1). Defaults to `0.0`.
        fusion: layer from `[outputs, gates]` to the result, or None. Defaults
            to `None`.
        **kwargs: `keras.layers.Layer` arguments.

    Call arguments:
        inputs: float `(B, T, D)`.
        mask: bool `(B, T)` or None. Padding is not attended to and routed to no
            expert; what stands at padded positions afterwards means nothing.
        expert_mask: bool `(E,)` or None; see `MixtureOfExperts`.
        training: bool or None.

    Returns:
        float `(B, T, D)`.

    Source: Vaswani et al. (2017), arXiv:1706.03762; Xiong et al. (2020),
        arXiv:2002.04745 (pre-norm); Lepikhin et al. (2020), arXiv:2006.16668
        (experts as the feed-forward part).

    Example:
    >>> block = MoETransformerBlock(4, 16, num_experts=8, hidden_units=256)
    >>> block(np.ones((2, 10, 64), "float32")).shape
    TensorShape([2, 10, 64])
    """

    def __init__(
        self,
        num_heads: int,
        key_dim: int,
        num_experts: int,
        hidden_units: int,
        top_k: int | None = 2,
        activation: Any = "gelu",
        gated: bool = False,
        shared_units: int | None = None,
        causal: bool = False,
        dropout: float = 0.0,
        epsilon: float = 1e-6,
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
        super().__init__(**kwargs)
        require_counts(
            "MoETransformerBlock", num_heads=num_heads, key_dim=key_dim
        )
        require_rates("MoETransformerBlock", dropout=dropout)
        require(
            is_number(epsilon) and epsilon > 0,
            "MoETransformerBlock",
            "`epsilon` must be above 0.",
            epsilon=epsilon,
        )
        self.num_heads = num_heads
        self.key_dim = key_dim
        self.causal = causal
        self.dropout = dropout
        self.epsilon = epsilon
        policy = {"dtype": self.dtype_policy}
        self.attention_norm = keras.layers.LayerNormalization(
            epsilon=epsilon, name="attention_norm", **policy
        )
        self.attention = keras.layers.MultiHeadAttention(
            num_heads, key_dim, dropout=dropout, name="attention", **policy
        )
        self._dropout_layer = keras.layers.Dropout(dropout, **policy)
        self.feed_forward_norm = keras.layers.LayerNormalization(
            epsilon=epsilon, name="feed_forward_norm", **policy
        )
        self.feed_forward = MoEFeedForward(
            num_experts,
            hidden_units,
            top_k,
            activation,
            gated,
            shared_units,
            dropout=dropout,
            dispatch=dispatch,
            gate=gate,
            capacity_factor=capacity_factor,
            eval_capacity_factor=eval_capacity_factor,
            batch_priority=batch_priority,
            overflow=overflow,
            kernel_initializer=kernel_initializer,
            expert_dropout=expert_dropout,
            fusion=fusion,
            name=f"{self.name}_feed_forward",
            **policy,
        )
        self.supports_masking = True

    @property
    def gate(self) -> keras.layers.Layer:
        """The gate of the feed-forward part."""
        return self.feed_forward.gate

    def build(self, input_shape: Any) -> None:
        require(
            len(input_shape) == 3 and input_shape[-1] is not None,
            "MoETransformerBlock",
            "`inputs` must be (B, T, D) with a known D.",
            input_shape=tuple(input_shape),
        )
        self.attention_norm.build(input_shape)
        self.attention.build(input_shape, input_shape)
        self.feed_forward_norm.build(input_shape)
        self.feed_forward.build(input_shape)
        self.supports_jit = self.feed_forward.supports_jit

    def call(
        self,
        inputs: Any,
        mask: Any = None,
        expert_mask: Any = None,
        training: bool | None = None,
    ) -> Any:
        check_floats("MoETransformerBlock", inputs)
        mask = carried_mask(inputs, mask)
        check_mask("MoETransformerBlock", mask, inputs.shape[:2])
        normed = self.attention_norm(inputs)
        # Given in full: a mask that travels on the tensor would set these.
        masks = {"query_mask": mask, "value_mask": mask, "key_mask": mask}
        attended = self.attention(
            normed,
            normed,
            use_causal_mask=self.causal,
            training=training,
            **(masks if mask is not None else {}),
        )
        values = inputs + self._dropout_layer(attended, training=training)
        return values + self.feed_forward(
            self.feed_forward_norm(values),
            mask=mask,
            expert_mask=expert_mask,
            training=training,
        )

    def resolve_dispatch(self) -> str:
        """What runs when this block, built, is called."""
        return self.feed_forward.resolve_dispatch()

    def count_cost(self, shapes: Any, load: Any = None) -> Cost:
        """Multiply-adds per example; see `moe_keras.ops.cost`.

        Args:
            shapes: a list with the shape of `inputs`.
            load: `(E,)` share of the rows that reach each expert; None for all.
        """
        attention = count_layer(self.attention, [*shapes, *shapes])
        return attention + self.feed_forward.count_cost(shapes, load)

    @property
    def num_experts(self) -> int:
        """E, of the feed-forward part."""
        return self.feed_forward.num_experts

    def kept_config(self, indices: Sequence[int]) -> dict[str, Any]:
        inner = self.feed_forward.kept_config(indices)
        names = ("num_experts", "top_k", "gate", "fusion")
        return {**self.get_config(), **{name: inner[name] for name in names}}

    def inside(
        self, indices: Sequence[int]
    ) -> list[tuple[Any, Sequence[int] | None]]:
        return [(self.feed_forward, indices)]

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        return tuple(input_shape)

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        """The mask goes on: every position has an output of its own."""
        return mask

    def get_config(self) -> dict[str, Any]:
        inner = self.feed_forward.get_config()
        shared = (
            "num_experts hidden_units top_k activation gated shared_units "
            "dispatch gate capacity_factor eval_capacity_factor "
            "batch_priority overflow kernel_initializer expert_dropout fusion"
        )
        return {
            **super().get_config(),
            "num_heads": self.num_heads,
            "key_dim": self.key_dim,
            **{name: inner[name] for name in shared.split()},
            "causal": self.causal,
            "dropout": self.dropout,
            "epsilon": self.epsilon,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "MoETransformerBlock":
        return cls(**read_layers(config, "gate", "fusion"))
