"""Variant "hetero": small CNNs and RNNs behind one stem and one gate."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import keras

from moe_keras.errors import require
from moe_keras.layers import (
    AugmentedExperts,
    ConvExpert,
    ExpertBank,
    GatingLayer,
    MixtureOfExperts,
    RecurrentExpert,
    UniformGating,
)
from moe_keras.zoo.image.heads import classify
from moe_keras.zoo.kinds import check_gate

FUSIONS = ("probabilities", "features")
# From this side on the stem halves its maps: below, too little would be left.
POOLED_SIDE = 16

# Shazeer et al. (2017), arXiv:1701.06538, appendix C: w_importance.
IMPORTANCE_LOSS = 0.1

_CNN_AND_RNN = MappingProxyType({"conv": 1, "recurrent": 1})


def grow_hetero(
    x: Any,
    num_classes: int,
    experts: Mapping[str, int] = _CNN_AND_RNN,
    top_k: int | None = None,
    gate: keras.layers.Layer | str | None = None,
    fusion: str = "probabilities",
    stem_filters: int = 32,
    expert_filters: Sequence[int] = (64,),
    recurrent_units: int = 32,
    feature_units: int = 64,
    dropout: float = 0.3,
    expert_augmentation: float = 0.0,
    balance_loss: float = 1e-2,
    importance_loss: float = IMPORTANCE_LOSS,
    dispatch: str = "auto",
) -> Any:
    """Standardised images `(B, H, W, C)` to class probabilities.

    A convolution stem feeds the gate, which scores the image as a whole, and
    the experts: small convolutional networks, and recurrent networks that read
    the maps row by row from top to bottom.

    With `fusion="probabilities"` each expert ends in class probabilities and
    the result is their mixture, so that its cross-entropy is the negative
    log-likelihood of the mixture. With `"features"` the experts return
    features, and one dense layer behind the fusion names the class.

    Args:
        x: float `(B, H, W, C)`.
        num_classes: int > 1.
        experts: number of experts of each kind, `"conv"` and `"recurrent"`.
        top_k: int or None: experts that see an image; None for all.
        gate: layer from maps `(B, H, W, C)` to gates `(B, E)`, or `"uniform"`
            for fixed equal weights. Defaults to a `GatingLayer(E, top_k)` with
            the two losses below; only then may there be a `top_k`.
        fusion: `"probabilities"` or `"features"`.
        stem_filters: int > 0. Maps of the stem's convolution.
        expert_filters: maps of each block of a convolutional expert.
        recurrent_units: int > 0. Width of a recurrent expert's state, for each
            of its two directions.
        feature_units: int > 0. Width of the features, for `fusion="features"`.
        dropout: float in [0, 1), in front of every expert's last layer.
        expert_augmentation: float in [0, 1]. In training, each expert shifts
            the maps that it reads by up to this share of a side, and turns
            them by up to this share of a right angle, by draws of its own.
        balance_loss: float >= 0. Coefficient of the Switch balance loss; for
            a sparse gate.
        importance_loss: float >= 0. Coefficient of the importance loss; with
            neither of them the better of two kinds of experts takes every
            image.
        dispatch: see `MixtureOfExperts`.
    """
    _check(experts, top_k, fusion, gate)
    probabilities = fusion == "probabilities"
    head = {
        "output_units": num_classes if probabilities else feature_units,
        "output_activation": "softmax" if probabilities else "relu",
        "dropout": dropout,
    }
    banks = _build_banks(experts, expert_filters, recurrent_units, head)
    if expert_augmentation:
        banks = [
            AugmentedExperts(
                bank,
                shift=expert_augmentation,
                turn=expert_augmentation,
                name=f"augmented_{bank.name}",
            )
            for bank in banks
        ]
    count = sum(bank.num_experts for bank in banks)
    if gate == "uniform":
        gate = UniformGating(count, name="gating")
    if gate is None:
        gate = GatingLayer(
            count,
            top_k=top_k,
            balance_loss=balance_loss,
            importance_loss=importance_loss,
            name="gating",
        )
    sides = x.shape[1:3]
    x = keras.layers.Conv2D(
        stem_filters, 3, padding="same", activation="relu", name="stem_conv"
    )(x)
    if min(sides) >= POOLED_SIDE:
        x = keras.layers.MaxPooling2D(2, padding="same", name="stem_pool")(x)
    y = MixtureOfExperts(banks, gate, dispatch=dispatch, name="moe")(x)
    if not probabilities:
        return classify(y, num_classes)
    return keras.layers.Activation(
        "linear", dtype="float32", name="probabilities"
    )(y)


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


def _check(
    experts: Mapping[str, int], top_k: int | None, fusion: str, gate: Any
) -> None:
    owner = "build_image_moe"
    require(
        isinstance(experts, Mapping) and len(experts) > 0,
        owner,
        "`experts` must map kinds of experts to their numbers, such as "
        "{'conv': 4, 'recurrent': 2}.",
        experts=experts,
    )
    require(
        fusion in FUSIONS,
        owner,
        f"`fusion` must be one of {FUSIONS}.",
        fusion=fusion,
    )
    check_gate(gate, top_k, "maps", owner)
    require(
        top_k != 1 or fusion == "features",
        owner,
        '`top_k=1` needs fusion="features": a cross-entropy over probabilities '
        "cancels the gate.",
        top_k=top_k,
        fusion=fusion,
    )
