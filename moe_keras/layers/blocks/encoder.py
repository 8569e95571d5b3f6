"""Pre-norm Transformer encoder of one sequence to one vector."""

from typing import Any

import keras
from keras import ops

from moe_keras.layers.blocks.moe_transformer_block import MoETransformerBlock
from moe_keras.layers.gating.uniform_gating import UniformGating
from moe_keras.ops.pooling import clear_padding, masked_max, masked_mean

POOLINGS = {"mean": masked_mean, "max": masked_max}


class Encoder(keras.layers.Layer):
    """One expert of an `AttentionExpert`, whose arguments these are.

    Call arguments:
        inputs: float `(N, T, D)`.
        mask: bool `(N, T)` or None, False for padding.
        training: bool or None.

    Returns:
        float `(N, units)`; zeros for a row without a real position.
    """

    def __init__(
        self,
        units: int,
        num_heads: int,
        feed_forward_units: int,
        num_layers: int,
        moe: dict[str, int] | None,
        max_length: int | None,
        pooling: str,
        activation: Any,
        dropout: float,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.units = units
        self.max_length = max_length
        self.pooling = pooling
        policy = {"dtype": self.dtype_policy}
        self.blocks = [
            MoETransformerBlock(
                num_heads,
                key_width(units, num_heads),
                hidden_units=feed_forward_units,
                activation=activation,
                dropout=dropout,
                name=f"{self.name}_block_{number}",
                **_feed_forward(moe, f"{self.name}_gate_{number}", policy),
                **policy,
            )
            for number in range(num_layers)
        ]
        self.norm = keras.layers.LayerNormalization(
            epsilon=self.blocks[0].epsilon, name="norm", **policy
        )
        self.inward: keras.layers.Layer | None = None
        self.supports_masking = True

    def build(self, input_shape: Any) -> None:
        if input_shape[-1] != self.units:
            self.inward = keras.layers.Dense(
                self.units, name="inward", dtype=self.dtype_policy
            )
            self.inward.build(input_shape)
        if self.max_length is not None:
            self.positions = self.add_weight(
                (self.max_length, self.units),
                # Devlin et al. (2018), arXiv:1810.04805.
                keras.initializers.RandomNormal(stddev=0.02),
                name="positions",
            )
        shape = (*input_shape[:-1], self.units)
        for part in (*self.blocks, self.norm):
            part.build(shape)
        self.supports_jit = all(block.supports_jit for block in self.blocks)

    def call(
        self, inputs: Any, mask: Any = None, training: bool | None = None
    ) -> Any:
        values = clear_padding(inputs, mask)
        if values.shape[1] == 1:
            values, mask = _lengthen(values, mask)
        if self.inward is not None:
            values = self.inward(values)
        if self.max_length is not None:
            steps = values.shape[1] or ops.shape(values)[1]
            places = ops.minimum(
                ops.arange(steps, dtype="int32"), self.max_length - 1
            )
            values = values + ops.take(self.positions, places, axis=0)
        for block in self.blocks:
            values = block(values, mask=mask, training=training)
        return POOLINGS[self.pooling](self.norm(values), mask)

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        return (input_shape[0], self.units)

    def compute_mask(self, inputs: Any, mask: Any = None) -> None:
        """None: the positions are gone."""
        return None


def _lengthen(values: Any, mask: Any) -> tuple[Any, Any]:
    """A position of padding more: Keras warns of attention over only one."""
    if mask is None:
        mask = ops.ones(ops.shape(values)[:2], dtype="bool")
    mask = ops.pad(ops.cast(mask, "bool"), ((0, 0), (0, 1)))
    return ops.pad(values, ((0, 0), (0, 1), (0, 0))), mask


def key_width(units: int, num_heads: int) -> int:
    """Width of one head, so that all together are at least `units` wide."""
    return -(-units // num_heads)


def _feed_forward(
    moe: dict[str, int] | None, gate_name: str, policy: dict[str, Any]
) -> dict[str, Any]:
    """Arguments of the block: a mixture, or one expert for all positions."""
    if moe is not None:
        return moe
    gate = UniformGating(1, level="position", name=gate_name, **policy)
    return {"num_experts": 1, "gate": gate}
