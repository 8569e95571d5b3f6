"""Variant "conv": residual stages, the later ones with sparse experts."""

from collections.abc import Sequence
from typing import Any

import keras

from moe_keras.errors import is_count, require
from moe_keras.layers import (
    ConvExpert,
    DenseExpert,
    ExpertBank,
    GatingLayer,
    MixtureOfExperts,
)
from moe_keras.zoo.image.heads import classify

BLOCKS = ("residual", "separable", "mixed")


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
    balance_loss: float = 0.1,
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
    - `block="mixed"`: a dense residual block, and behind it a second branch of
      experts, two convolutions of 1 x 1.

    Args:
        x: float `(B, H, W, C)`.
        num_classes: int > 1.
        experts: int > 0. E, in each block that has experts.
        top_k: int in 1..E: experts that see an image, or a position.
        widths: maps of each stage.
        blocks: number of blocks in each stage.
        sparse_stages: int >= 0. How many of the last stages have experts.
        block: `"residual"`, `"separable"` or `"mixed"`.
        level: what gets gates of its own. `"sample"`: an image; `"position"`:
            each place of the maps, where f is of 1 x 1.
        expansion: float > 0. Hidden maps of a block over its width.
        kernel_size: int > 0. Of the block's (depthwise) convolutions.
        stem_stride: int > 0. Of the first convolution.
        balance_loss: float >= 0. Coefficient of the Switch balance loss. With
            the 0.01 of large data sets, experts die on a few hundred images.
        dropout: float in [0, 1), in front of the last layer.
        dispatch: see `MixtureOfExperts`.

    Source: He et al. (2016), arXiv:1512.03385 (residual); Sandler et al.
        (2018), arXiv:1801.04381 (separable); Riquelme et al. (2021),
        arXiv:2106.05974 (experts late in the network).
    """
    _check(widths, blocks, sparse_stages, block, level, expansion, stem_stride)
    dense = _Branch(block, kernel_size, expansion)
    sparse = _Branch(block, kernel_size, expansion, level)

    def mixture(width: int, name: str) -> keras.layers.Layer:
        gate = GatingLayer(
            experts,
            top_k=top_k,
            level=level,
            balance_loss=balance_loss,
            name=f"{name}_gate",
        )
        bank = sparse.bank(width, experts, f"{name}_experts")
        return MixtureOfExperts(bank, gate, dispatch=dispatch, name=name)

    x = _conv(x, widths[0], 3, stem_stride, "stem")
    for stage, (width, count) in enumerate(zip(widths, blocks, strict=True)):
        if stage:
            x = _conv(x, width, 3, 2, f"stage_{stage}")
        with_experts = stage >= len(widths) - sparse_stages
        for number in range(count):
            place = f"{stage}_{number}"
            if block == "mixed" or not with_experts:
                y = dense.before(x, f"block_{place}")
                y = dense.layers(y, width, f"block_{place}")
                x = keras.layers.Add(name=f"block_{place}_add")([x, y])
            if with_experts:
                y = sparse.before(x, f"moe_{place}")
                y = mixture(width, f"moe_{place}")(y)
                x = keras.layers.Add(name=f"moe_{place}_add")([x, y])
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


class _Branch:
    """The branch of a residual block, as dense layers or as experts.

    Args:
        block: one of `BLOCKS`.
        kernel_size: of the convolutions that look around.
        expansion: hidden maps over width.
        level: of the experts' gates; None for a branch without experts.
    """

    def __init__(
        self,
        block: str,
        kernel_size: int,
        expansion: float,
        level: str | None = None,
    ) -> None:
        self._depthwise = block == "separable"
        # Where others have looked around before, places are seen one by one.
        second = block == "mixed" and level is not None
        self._side = 1 if self._depthwise or second else kernel_size
        self._around = kernel_size
        # The dense blocks in front of the experts are as wide as the maps.
        first = block == "mixed" and level is None
        self._expansion = 1.0 if first else expansion
        self._level = level

    def before(self, x: Any, name: str) -> Any:
        """What all images share, in front of the layers or experts."""
        if self._depthwise:
            x = keras.layers.DepthwiseConv2D(
                self._around,
                padding="same",
                use_bias=False,
                name=f"{name}_depthwise",
            )(x)
        x = _norm(x, f"{name}_norm")
        if self._side == 1:
            return x
        return keras.layers.ReLU(name=f"{name}_relu")(x)

    def layers(self, x: Any, width: int, name: str) -> Any:
        """The branch without experts."""
        x = _conv(x, self._hidden(width), self._side, 1, f"{name}_in")
        return _plain_conv(x, width, self._side, f"{name}_out")

    def bank(self, width: int, experts: int, name: str) -> ExpertBank:
        """The same branch as a bank."""
        hidden = self._hidden(width)
        if self._level == "position":
            # 1 x 1 convolutions of single places are dense layers.
            return DenseExpert(width, experts, hidden_units=hidden, name=name)
        return ConvExpert(
            (hidden, width),
            experts,
            kernel_size=self._side,
            linear_last=True,
            name=name,
        )

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
        level == "sample" or (level == "position" and block != "residual"),
        owner,
        '`level` must be "sample", or "position" where experts are of 1 x 1.',
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
