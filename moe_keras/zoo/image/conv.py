"""Variant "conv": residual stages, the later ones with sparse experts."""

from collections.abc import Sequence
from typing import Any

import keras

from moe_keras.errors import is_count, require
from moe_keras.layers import (
    ConvExpert,
    DenseExpert,
    GatingLayer,
    MixtureOfExperts,
)
from moe_keras.zoo.image.heads import classify

BLOCKS = ("residual", "separable")
LEVELS = ("sample", "position")


def grow_conv(
    x: Any,
    num_classes: int,
    experts: int = 4,
    top_k: int = 1,
    widths: Sequence[int] = (32, 64, 128),
    blocks: Sequence[int] = (1, 1, 1),
    sparse_stages: int = 2,
    block: str = "residual",
    level: str = "sample",
    expansion: float = 1.0,
    kernel_size: int = 3,
    stem_stride: int = 2,
    balance_loss: float = 1e-2,
    dropout: float = 0.0,
    dispatch: str = "auto",
) -> Any:
    """Standardised images `(B, H, W, C)` to class probabilities.

    Stages of residual blocks, each stage with maps of half the side. In the
    last stages the branch of every block is a mixture: x + sum_e g_e(x) f_e(x),
    a `ConvExpert` without an activation at its end, so that `top_k=1` keeps the
    gate's gradient.

    - `block="residual"`: f is two convolutions, with an activation between.
    - `block="separable"`: a depthwise convolution that all images share, then
      f is two convolutions of 1 x 1: far fewer multiply-adds.

    Args:
        x: float `(B, H, W, C)`.
        num_classes: int > 1.
        experts: int > 0. E, in each block that has experts.
        top_k: int in 1..E: experts that see an image, or a position.
        widths: maps of each stage.
        blocks: number of blocks in each stage.
        sparse_stages: int >= 0. How many of the last stages have experts.
        block: `"residual"` or `"separable"`.
        level: what gets gates of its own. `"sample"`: an image; `"position"`:
            each place of the maps, for `block="separable"` only.
        expansion: float > 0. Hidden maps of a block over its width.
        kernel_size: int > 0. Of the block's (depthwise) convolutions.
        stem_stride: int > 0. Of the first convolution.
        balance_loss: float >= 0. Coefficient of the Switch balance loss.
        dropout: float in [0, 1), in front of the last layer.
        dispatch: see `MixtureOfExperts`.

    Source: He et al. (2016), arXiv:1512.03385 (residual); Sandler et al.
        (2018), arXiv:1801.04381 (separable); Riquelme et al. (2021),
        arXiv:2106.05974 (experts late in the network).
    """
    _check(widths, blocks, sparse_stages, block, level, expansion, stem_stride)
    shape = _Block(block, level, expansion, kernel_size)

    def mixture(width: int, name: str) -> keras.layers.Layer:
        gate = GatingLayer(
            experts,
            top_k=top_k,
            level=level,
            balance_loss=balance_loss,
            name=f"{name}_gate",
        )
        bank = shape.bank(width, experts, f"{name}_experts")
        return MixtureOfExperts(bank, gate, dispatch=dispatch, name=name)

    x = _conv(x, widths[0], 3, stem_stride, "stem")
    for stage, (width, count) in enumerate(zip(widths, blocks, strict=True)):
        if stage:
            x = _conv(x, width, 3, 2, f"stage_{stage}")
        sparse = stage >= len(widths) - sparse_stages
        for number in range(count):
            name = f"{'moe' if sparse else 'block'}_{stage}_{number}"
            y = shape.before(x, name)
            if sparse:
                y = mixture(width, name)(y)
            else:
                y = shape.dense(y, width, name)
            x = keras.layers.Add(name=f"{name}_add")([x, y])
    x = _norm(x, "last_norm")
    x = keras.layers.ReLU(name="last_relu")(x)
    x = keras.layers.GlobalAveragePooling2D(name="features")(x)
    return classify(x, num_classes, dropout)


def _conv(x: Any, width: int, side: int, stride: int, name: str) -> Any:
    """Convolution, normalisation, activation."""
    x = _plain_conv(x, width, side, f"{name}_conv", stride)
    x = _norm(x, f"{name}_norm")
    return keras.layers.ReLU(name=f"{name}_relu")(x)


def _norm(x: Any, name: str) -> Any:
    # A tenth of each batch: short trainings end with statistics of their own.
    return keras.layers.BatchNormalization(momentum=0.9, name=name)(x)


def _plain_conv(
    x: Any, width: int, side: int, name: str, stride: int = 1
) -> Any:
    return keras.layers.Conv2D(
        width,
        side,
        stride,
        padding="same",
        use_bias=False,
        kernel_initializer="he_normal",
        name=name,
    )(x)


class _Block:
    """The branch of a residual block, as dense layers or as experts."""

    def __init__(
        self, kind: str, level: str, expansion: float, kernel_size: int
    ) -> None:
        self._separable = kind == "separable"
        self._level = level
        self._expansion = expansion
        self._side = kernel_size

    def before(self, x: Any, name: str) -> Any:
        """What all images share, in front of the experts."""
        if self._separable:
            x = keras.layers.DepthwiseConv2D(
                self._side,
                padding="same",
                use_bias=False,
                name=f"{name}_depthwise",
            )(x)
        x = _norm(x, f"{name}_norm")
        if self._separable:
            return x
        return keras.layers.ReLU(name=f"{name}_relu")(x)

    def dense(self, x: Any, width: int, name: str) -> Any:
        """The branch without experts."""
        x = _conv(x, self._hidden(width), self._inner, 1, f"{name}_in")
        return _plain_conv(x, width, self._inner, f"{name}_out")

    def bank(self, width: int, experts: int, name: str) -> Any:
        """The same branch as a bank."""
        if self._level == "position":
            # 1 x 1 convolutions of single places are dense layers.
            return DenseExpert(
                width, experts, hidden_units=self._hidden(width), name=name
            )
        return ConvExpert(
            (self._hidden(width), width),
            experts,
            kernel_size=self._inner,
            linear_last=True,
            name=name,
        )

    @property
    def _inner(self) -> int:
        return 1 if self._separable else self._side

    def _hidden(self, width: int) -> int:
        return max(1, round(self._expansion * width))


def _check(
    widths: Sequence[int],
    blocks: Sequence[int],
    sparse_stages: int,
    block: str,
    level: str,
    expansion: float,
    stem_stride: int,
) -> None:
    owner = "build_image_moe"
    require(
        len(widths) > 0
        and len(widths) == len(blocks)
        and all(map(is_count, (*widths, *blocks))),
        owner,
        "`widths` and `blocks` must hold one integer above 0 for each stage.",
        widths=widths,
        blocks=blocks,
    )
    require(
        0 <= sparse_stages <= len(widths),
        owner,
        "`sparse_stages` must be in 0..number of stages.",
        sparse_stages=sparse_stages,
    )
    require(
        block in BLOCKS,
        owner,
        f"`block` must be one of {BLOCKS}.",
        block=block,
    )
    require(
        level == "sample" or (level == "position" and block == "separable"),
        owner,
        '`level` must be "sample", or "position" with block="separable".',
        level=level,
        block=block,
    )
    require(
        expansion > 0 and is_count(stem_stride),
        owner,
        "`expansion` must be above 0, `stem_stride` an integer above 0.",
        expansion=expansion,
        stem_stride=stem_stride,
    )
