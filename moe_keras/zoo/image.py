"""Images: standardise -> augment -> convolution stem -> mixture -> classes."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import keras

from moe_keras.errors import is_count, require
from moe_keras.layers import (
    ConvExpert,
    ExpertBank,
    GatingLayer,
    MixtureOfExperts,
    RecurrentExpert,
)

FUSIONS = ("probabilities", "features")
SMALLEST_SIDE = 8
# From this side on the stem halves its maps: below, too little would be left.
POOLED_SIDE = 16

# Shazeer et al. (2017), arXiv:1701.06538, appendix C: w_importance.
IMPORTANCE_LOSS = 0.1

_CNN_AND_RNN = MappingProxyType({"conv": 1, "recurrent": 1})


def build_image_moe(
    input_shape: Sequence[int] = (28, 28, 1),
    num_classes: int = 10,
    experts: Mapping[str, int] = _CNN_AND_RNN,
    top_k: int | None = None,
    gate: keras.layers.Layer | None = None,
    fusion: str = "probabilities",
    stem_filters: int = 32,
    expert_filters: Sequence[int] = (64,),
    recurrent_units: int = 32,
    feature_units: int = 64,
    dropout: float = 0.3,
    augmentation: float = 0.0,
    dispatch: str = "auto",
    name: str = "image_moe",
) -> keras.Model:
    """An image classifier whose experts are of different kinds.

    Every image is brought to mean 0 and variance 1 by itself, so any range of
    values will do. A convolution stem feeds the gate, which scores the image
    as a whole, and the experts: small convolutional networks, and recurrent
    networks that read the maps row by row from top to bottom.

    With `fusion="probabilities"` each expert ends in class probabilities and
    the model returns their mixture, so that the cross-entropy of the output is
    the negative log-likelihood of the mixture. With `"features"` the experts
    return features, and one dense layer behind the fusion names the class.

    Args:
        input_shape: `(H, W, C)`, height and width at least 8.
        num_classes: int > 1.
        experts: number of experts of each kind, `"conv"` and `"recurrent"`.
        top_k: int or None: experts that see an image; None for all.
        gate: layer from maps `(B, H, W, C)` to gates `(B, E)`. Defaults to
            `GatingLayer(E, top_k, importance_loss=0.1)`; without that loss the
            better of two kinds of experts takes every image.
        fusion: `"probabilities"` or `"features"`.
        stem_filters: int > 0. Maps of the stem's convolution.
        expert_filters: maps of each block of a convolutional expert.
        recurrent_units: int > 0. Width of a recurrent expert's state, for each
            of its two directions.
        feature_units: int > 0. Width of the features, for `fusion="features"`.
        dropout: float in [0, 1), in front of every expert's last layer.
        augmentation: float in [0, 0.5). Training images are shifted by up to
            this share of each side and turned by up to this share of a right
            angle.
        dispatch: see `MixtureOfExperts`.
        name: of the model.

    Returns:
        `keras.Model`, not compiled: `(B, H, W, C)` -> `(B, num_classes)`
        probabilities in float32.

    Raises:
        ValueError: for arguments out of range, and for `top_k=1` with fused
            probabilities: cross-entropies renormalise what they are given,
            which cancels the one gate and with it the router's gradient.

    Example:
    >>> model = build_image_moe((28, 28, 1), 10)
    >>> model.compile(
    ...     "adam", "sparse_categorical_crossentropy", metrics=["accuracy"]
    ... )
    >>> model.fit(images, labels)
    """
    _check_arguments(
        input_shape, num_classes, experts, top_k, fusion, augmentation
    )
    probabilities = fusion == "probabilities"
    head = {
        "output_units": num_classes if probabilities else feature_units,
        "output_activation": "softmax" if probabilities else "relu",
        "dropout": dropout,
    }
    banks = _build_banks(experts, expert_filters, recurrent_units, head)
    if gate is None:
        gate = GatingLayer(
            sum(bank.num_experts for bank in banks),
            top_k=top_k,
            importance_loss=IMPORTANCE_LOSS,
            name="gating",
        )

    images = keras.Input(tuple(input_shape), name="images")
    x = _standardise(images)
    if augmentation:
        x = _augment(x, augmentation)
    x = keras.layers.Conv2D(
        stem_filters, 3, padding="same", activation="relu", name="stem_conv"
    )(x)
    if min(input_shape[:2]) >= POOLED_SIDE:
        x = keras.layers.MaxPooling2D(2, padding="same", name="stem_pool")(x)
    y = MixtureOfExperts(banks, gate, dispatch=dispatch, name="moe")(x)
    if not probabilities:
        y = keras.layers.Dense(num_classes, name="logits")(y)
        y = keras.layers.Softmax(dtype="float32", name="probabilities")(y)
    else:
        y = keras.layers.Activation(
            "linear", dtype="float32", name="probabilities"
        )(y)
    return keras.Model(images, y, name=name)


def _build_banks(
    experts: Mapping[str, int],
    expert_filters: Sequence[int],
    recurrent_units: int,
    head: dict[str, Any],
) -> list[ExpertBank]:
    kinds: dict[str, Any] = {
        "conv": lambda count: ConvExpert(
            expert_filters,
            count,
            pool_size=2,
            pooling="flatten",
            name="conv_experts",
            **head,
        ),
        "recurrent": lambda count: RecurrentExpert(
            recurrent_units,
            count,
            bidirectional=True,
            name="recurrent_experts",
            **head,
        ),
    }
    for kind in experts:
        require(
            kind in kinds,
            "build_image_moe",
            f"`experts` must name kinds among {tuple(kinds)}.",
            kind=kind,
        )
    return [kinds[kind](count) for kind, count in experts.items()]


def _standardise(images: Any) -> Any:
    """Mean 0 and variance 1 over the pixels of each image."""
    return keras.layers.LayerNormalization(
        axis=(1, 2, 3),
        center=False,
        scale=False,
        epsilon=1e-6,
        name="standardise",
    )(images)


def _augment(x: Any, strength: float) -> Any:
    x = keras.layers.RandomTranslation(
        strength, strength, fill_mode="nearest", name="shift"
    )(x)
    # The factor is a share of a whole turn.
    return keras.layers.RandomRotation(
        strength / 4, fill_mode="nearest", name="turn"
    )(x)


def _check_arguments(
    input_shape: Sequence[int],
    num_classes: int,
    experts: Mapping[str, int],
    top_k: int | None,
    fusion: str,
    augmentation: float,
) -> None:
    owner = "build_image_moe"
    require(
        len(input_shape) == 3
        and all(map(is_count, input_shape))
        and min(input_shape[:2]) >= SMALLEST_SIDE,
        owner,
        "`input_shape` must be (H, W, C) with H and W at least "
        f"{SMALLEST_SIDE}.",
        input_shape=input_shape,
    )
    require(
        is_count(num_classes) and num_classes > 1,
        owner,
        "`num_classes` must be an integer above 1.",
        num_classes=num_classes,
    )
    require(
        isinstance(experts, Mapping) and len(experts) > 0,
        owner,
        "`experts` must map kinds of experts to their numbers.",
        experts=experts,
    )
    require(
        fusion in FUSIONS,
        owner,
        f"`fusion` must be one of {FUSIONS}.",
        fusion=fusion,
    )
    require(
        top_k != 1 or fusion == "features",
        owner,
        '`top_k=1` needs fusion="features": a cross-entropy over probabilities '
        "cancels the gate.",
        top_k=top_k,
        fusion=fusion,
    )
    require(
        0 <= augmentation < 0.5,
        owner,
        "`augmentation` must be in [0, 0.5).",
        augmentation=augmentation,
    )
