"""Attention experts: Transformer encoders that read sequences."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from moe_keras.errors import is_count, require, require_counts
from moe_keras.layers.blocks.encoder import POOLINGS, Encoder, key_width
from moe_keras.layers.input_checks import check_mask
from moe_keras.layers.projected_bank import ProjectedBank
from moe_keras.layers.registration import register

OWNER = "AttentionExpert"


@register
class AttentionExpert(ProjectedBank):
    """Bank of small Transformer encoders, pooled to one vector a sequence.

    An expert is a dense map to `units` where the inputs have another width,
    learned positions, `num_layers` blocks as in `MoETransformerBlock`, a layer
    normalisation and a mean over the real positions.

    Args:
        units: int > 0. Width of the encoder.
        num_heads: int > 0. Heads of the attention, each units/num_heads wide,
            rounded up. Defaults to `4`.
        feed_forward_units: int > 0. Width of the hidden layer between the
            attentions. Defaults to `128`.
        num_layers: int > 0. Blocks. Defaults to `1`.
        num_experts: int > 0. E, number of encoders. Defaults to `1`.
        moe: dict with `num_experts` and, if not 2, `top_k`: the feed-forward
            part of each block is a sparse mixture, which routes every position
            by itself (`MoEFeedForward`); None for a dense one. Defaults to
            `None`.
        max_length: int > 0 or None. Number of learned positions; those behind
            the last share its vector. None for none: the order of the
            positions then means nothing. Defaults to `None`.
        pooling: `"mean"` or `"max"`, over the real positions. Defaults to
            `"mean"`.
        activation: str or callable, of the feed-forward part. Defaults to
            `"gelu"`.
        output_units: int > 0 or None. U, width of a dense map behind the
            pooling; None for none. Defaults to `None`.
        output_activation: str, callable or None, after the last layer.
            Defaults to `None`.
        dropout: float in [0, 1), in training: of the attention, of the hidden
            values and of the pooled vector. Defaults to `0.0`.
        **kwargs: `keras.layers.Layer` arguments.

    Call arguments:
        inputs: float `(B, T, D)`.
        gates: float `(B, E)` or None; where 0, the expert is not run (JAX,
            whose shapes are static, runs it and clears the result).
        group_sizes: int `(E,)` or None; with it, `inputs` are sequences sorted
            by expert, and the result has no expert axis.
        mask: bool `(B, T)` or None, False for padding: not attended to, not
            pooled, routed to no inner expert. A sequence without a real
            position is pooled to zeros.

    Returns:
        float `(B, E, U)`, one slice per expert, not yet weighted, zeros where
        the gate is 0.

    Source: Vaswani et al. (2017), arXiv:1706.03762; Xiong et al. (2020),
        arXiv:2002.04745 (pre-norm); Fedus et al. (2021), arXiv:2101.03961
        (sparse feed-forward part).

    Example:
    >>> bank = AttentionExpert(64, max_length=100, output_units=2)
    >>> bank(np.ones((8, 50, 32), "float32")).shape
    TensorShape([8, 1, 2])
    """

    row_rank = 2

    def __init__(
        self,
        units: int,
        num_heads: int = 4,
        feed_forward_units: int = 128,
        num_layers: int = 1,
        num_experts: int = 1,
        moe: dict[str, int] | None = None,
        max_length: int | None = None,
        pooling: str = "mean",
        activation: Any = "gelu",
        output_units: int | None = None,
        output_activation: Any = None,
        dropout: float = 0.0,
        **kwargs: Any,
    ):
        super().__init__(
            num_experts, output_units, output_activation, dropout, **kwargs
        )
        require_counts(
            OWNER,
            units=units,
            num_heads=num_heads,
            feed_forward_units=feed_forward_units,
            num_layers=num_layers,
        )
        _check_moe(moe)
        require(
            max_length is None or is_count(max_length),
            OWNER,
            "`max_length` must be an integer above 0, or None.",
            max_length=max_length,
        )
        require(
            pooling in POOLINGS,
            OWNER,
            f"`pooling` must be one of {tuple(POOLINGS)}.",
            pooling=pooling,
        )
        self.units = units
        self.num_heads = num_heads
        self.feed_forward_units = feed_forward_units
        self.num_layers = num_layers
        self.moe = None if moe is None else dict(moe)
        self.max_length = max_length
        self.pooling = pooling
        self.activation = keras.activations.get(activation)
        self.supports_masking = True
        self._encoders = [
            Encoder(
                units,
                num_heads,
                feed_forward_units,
                num_layers,
                moe,
                max_length,
                pooling,
                self.activation,
                dropout,
                dtype=self.dtype_policy,
                name=f"{self.name}_encoder_{e}",
            )
            for e in range(num_experts)
        ]

    def build_trunk(self, row_shape: tuple[int | None, ...]) -> None:
        require(
            len(row_shape) == 2 and row_shape[-1] is not None,
            OWNER,
            "`inputs` must be sequences (B, T, D) with a known D, and `gates`, "
            "if any, (B, E): a gate over whole sequences is "
            "GatingLayer(level='sample').",
            row_shape=row_shape,
        )
        for encoder in self._encoders:
            encoder.build((None, *row_shape))
        # XLA cannot compile the runs of an inner mixture on TensorFlow.
        if not all(encoder.supports_jit for encoder in self._encoders):
            self.supports_jit = False

    def split_trunk(self) -> list[Any]:
        return list(self._encoders)

    def run_trunk(
        self, trunk: Any, rows: Any, mask: Any, training: bool | None
    ) -> Any:
        check_mask(OWNER, mask, rows.shape[:2])
        return trunk(rows, mask=mask, training=training)

    def run_group(self, expert: Any, group: Any, training: bool | None) -> Any:
        if self.moe is not None and len(group) == 1:
            # The row that stands in for none must not count as one: an inner
            # gate would learn from it.
            group = (*group, ops.ones(ops.shape(group[0])[:2], dtype="bool"))
        return super().run_group(expert, group, training)

    def trunk_output_shape(
        self, row_shape: tuple[int | None, ...]
    ) -> tuple[int | None, ...]:
        return (self.units,)

    def count_trunk(self, row_shape: tuple[int, ...]) -> int:
        steps, features = row_shape
        width = self.units
        heads = self.num_heads * key_width(width, self.num_heads)
        experts = 1 if self.moe is None else self.moe["num_experts"]
        # Projections to the heads and back; scores and weighted sums.
        one = 4 * steps * width * heads + 2 * steps**2 * heads
        one += experts * self._count_inner(steps)
        if self.moe is not None:
            one += steps * width * experts  # the router
        inward = 0 if features == width else steps * features * width
        return inward + self.num_layers * one

    def count_active(self, row_shape: tuple[int, ...]) -> int:
        count = self.count_expert(row_shape)
        if self.moe is None:
            return count
        idle = self.moe["num_experts"] - self.moe.get("top_k", 2)
        return count - self.num_layers * idle * self._count_inner(row_shape[0])

    def _count_inner(self, steps: int) -> int:
        """One inner expert on every position, and its part in the sum."""
        return steps * self.units * (2 * self.feed_forward_units + 1)

    def inside(
        self, indices: Sequence[int]
    ) -> list[tuple[Any, Sequence[int] | None]]:
        return [(self._encoders[index], None) for index in indices]

    def widths(self) -> dict[str, Any]:
        widths = {"feed_forward_units": self.feed_forward_units}
        # Without a head the encoder's width is that of the output.
        return (
            widths
            if self.output_units is None
            else {"units": self.units, **widths}
        )

    def single_expert(self, factor: float = 1.0) -> "AttentionExpert":
        """One dense encoder, without an inner mixture."""
        config = {**self.get_config(), **self.scaled_widths(factor)}
        return self.from_config({**config, "moe": None, "num_experts": 1})

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "units": self.units,
            "num_heads": self.num_heads,
            "feed_forward_units": self.feed_forward_units,
            "num_layers": self.num_layers,
            "moe": self.moe,
            "max_length": self.max_length,
            "pooling": self.pooling,
            "activation": keras.activations.serialize(self.activation),
        }


def _check_moe(moe: Any) -> None:
    """Refuse what is no description of a sparse mixture."""
    require(
        moe is None
        or (
            isinstance(moe, dict)
            and {"num_experts"} <= set(moe) <= {"num_experts", "top_k"}
            and all(map(is_count, moe.values()))
            and moe.get("top_k", 2) <= moe["num_experts"]
        ),
        OWNER,
        "`moe` must be a dict of `num_experts` and `top_k`, integers above 0 "
        "of which the second is not the larger, or None.",
        moe=moe,
    )
