"""Variant "vit": patch tokens, attention, experts for every token."""

from typing import Any

import keras

from moe_keras.errors import is_count, require
from moe_keras.layers import (
    DenseExpert,
    GatingLayer,
    MoEFeedForward,
    SoftMoE,
)
from moe_keras.zoo.image.heads import classify

ROUTINGS = ("top_k", "soft")


def grow_vit(
    x: Any,
    num_classes: int,
    experts: int = 8,
    top_k: int = 2,
    routing: str = "top_k",
    patch_size: int = 4,
    width: int = 64,
    depth: int = 4,
    heads: int = 4,
    hidden_units: int = 128,
    sparse_every: int = 2,
    dropout: float = 0.1,
    dispatch: str = "auto",
    balance_loss: float = 1e-2,
) -> Any:
    """Standardised images `(B, H, W, C)` to class probabilities.

    A small Vision Transformer: the image is cut into patches, each a token;
    a depthwise convolution with zeros beyond the edge tells tokens where they
    are. Every second block has experts for its feed-forward part, the last one
    always; the tokens' mean is classified.

    Args:
        x: float `(B, H, W, C)`.
        num_classes: int > 1.
        experts: int > 0. E, in each block that has experts.
        top_k: int in 1..E: experts that see a token, for `routing="top_k"`.
        routing: `"top_k"`: `MoEFeedForward`, sparse by token; `"soft"`:
            `SoftMoE`, whose slots read means of all tokens of an image.
        patch_size: int > 0. Side of a patch; what is left over at the right and
            bottom edge is padded with zeros.
        width: int > 0, divisible by `heads`. D of a token.
        depth: int > 0. Blocks.
        heads: int > 0. Heads of the attention.
        hidden_units: int > 0. Hidden width of one expert, and of the dense
            blocks' feed-forward part.
        sparse_every: int > 0. 1 puts experts into every block, 2 into every
            second one, counted from the last.
        dropout: float in [0, 1), of the attention weights and of the hidden
            values.
        dispatch: see `MixtureOfExperts`.
        balance_loss: float >= 0. Coefficient of the Switch balance loss, for
            `routing="top_k"`.

    Source: Dosovitskiy et al. (2021), arXiv:2010.11929; Chu et al. (2021),
        arXiv:2102.10882 (positions); Riquelme et al. (2021), arXiv:2106.05974
        (experts in every second block); Puigcerver et al. (2023),
        arXiv:2308.00951 (soft).
    """
    _check(routing, width, heads, patch_size=patch_size, depth=depth)
    x = keras.layers.Conv2D(
        width, patch_size, patch_size, padding="same", name="patches"
    )(x)
    # Zeros beyond the edge tell a token where it is.
    # (no bias: TensorFlow's optimiser breaks off at two biases that meet).
    places = keras.layers.DepthwiseConv2D(
        3, padding="same", use_bias=False, name="positions"
    )
    x = keras.layers.Add(name="placed")([x, places(x)])
    tokens = x.shape[1] * x.shape[2]
    x = keras.layers.Reshape((tokens, width), name="tokens")(x)
    for block in range(depth):
        sparse = (depth - 1 - block) % sparse_every == 0
        kind = routing if sparse else "dense"
        part = f"{kind}_{block}"
        if kind == "top_k":
            feed_forward = MoEFeedForward(
                experts,
                hidden_units,
                top_k,
                dropout=dropout,
                dispatch=dispatch,
                gate=GatingLayer(
                    experts,
                    top_k,
                    level="position",
                    balance_loss=balance_loss,
                    name=f"{part}_gate",
                ),
                name=part,
            )
        elif kind == "soft":
            feed_forward = _soft(experts, hidden_units, dropout, tokens, part)
        else:
            feed_forward = _dense(width, hidden_units, dropout, part)
        x = _block(x, feed_forward, heads, dropout, block)
    x = _norm("last_norm")(x)
    x = keras.layers.GlobalAveragePooling1D(name="mean_token")(x)
    return classify(x, num_classes)


def _block(
    x: Any, feed_forward: Any, heads: int, dropout: float, block: int
) -> Any:
    """X + attention(norm x), then x + feed_forward(norm x)."""
    y = _norm(f"norm_{block}")(x)
    y = keras.layers.MultiHeadAttention(
        heads,
        x.shape[-1] // heads,
        dropout=dropout,
        name=f"attention_{block}",
    )(y, y)
    x = keras.layers.Add(name=f"attended_{block}")([x, y])
    y = feed_forward(_norm(f"second_norm_{block}")(x))
    return keras.layers.Add(name=f"block_{block}")([x, y])


def _norm(name: str) -> keras.layers.Layer:
    return keras.layers.LayerNormalization(epsilon=1e-6, name=name)


def _soft(
    experts: int, hidden_units: int, dropout: float, tokens: int, name: str
) -> Any:
    def build(x: Any) -> Any:
        bank = DenseExpert(
            x.shape[-1],
            experts,
            hidden_units=hidden_units,
            activation="gelu",
            dropout=dropout,
        )
        # About as many slots as tokens: the work of a dense block.
        slots = max(1, round(tokens / experts))
        return SoftMoE(bank, slots, name=name)(x)

    return build


def _dense(width: int, hidden_units: int, dropout: float, name: str) -> Any:
    def build(x: Any) -> Any:
        x = keras.layers.Dense(
            hidden_units, activation="gelu", name=f"{name}_in"
        )(x)
        x = keras.layers.Dropout(dropout, name=f"{name}_dropout")(x)
        return keras.layers.Dense(width, name=f"{name}_out")(x)

    return build


def _check(routing: str, width: int, heads: int, **counts: int) -> None:
    owner = "build_image_moe"
    require(
        routing in ROUTINGS,
        owner,
        f"`routing` must be one of {ROUTINGS}.",
        routing=routing,
    )
    for name, value in {"width": width, "heads": heads, **counts}.items():
        require(
            is_count(value),
            owner,
            f"`{name}` must be an integer above 0.",
            **{name: value},
        )
    require(
        width % heads == 0,
        owner,
        "`width` must be divisible by `heads`.",
        width=width,
        heads=heads,
    )
