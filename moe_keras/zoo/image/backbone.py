"""Variant "backbone": experts on the features of any Keras model."""

from typing import Any

import keras

from moe_keras.errors import require
from moe_keras.layers import DenseExpert, GatingLayer, MixtureOfExperts
from moe_keras.zoo.image.heads import classify


def grow_backbone(
    images: Any,
    num_classes: int,
    backbone: keras.Model,
    experts: int = 4,
    top_k: int | None = 2,
    gate: keras.layers.Layer | None = None,
    trainable: bool = False,
    hidden_units: int = 256,
    feature_units: int = 128,
    dropout: float = 0.3,
    dispatch: str = "auto",
    balance_loss: float = 0.03,
) -> Any:
    """Images `(B, H, W, C)` as they come to class probabilities.

    The backbone reads the images unscaled, as its own preprocessing expects
    them; an image with one channel is repeated for a backbone that wants three.
    Its features (maps are averaged over height and width) go to experts with
    one hidden layer each, whose fused features are classified.

    Args:
        images: `(B, H, W, C)`.
        num_classes: int > 1.
        backbone: `keras.Model` from images to features `(B, F)` or maps
            `(B, H', W', F)`, without the softmax of a classifier at its end.
        experts: int > 0. E.
        top_k: int in 1..E or None: experts that see an image; None for all.
        gate: layer from features `(B, F)` to gates `(B, E)`. Defaults to
            `GatingLayer(E, top_k)` with the loss below.
        trainable: bool. False freezes the backbone: its weights and, run as in
            inference, its batch statistics.
        hidden_units: int > 0. Hidden width of one expert.
        feature_units: int > 0. Width of an expert's output.
        dropout: float in [0, 1), of the experts' hidden values.
        dispatch: see `MixtureOfExperts`.
        balance_loss: float >= 0. Coefficient of the Switch balance loss, for a
            sparse gate that is made here.
    """
    _check(images, backbone)
    backbone.trainable = trainable
    x = keras.layers.Identity(name="raw_images")(images)
    if x.shape[-1] == 1 and backbone.input_shape[-1] == 3:
        x = keras.layers.Concatenate(name="three_channels")([x, x, x])
    x = backbone(x) if trainable else backbone(x, training=False)
    if len(x.shape) == 4:
        x = keras.layers.GlobalAveragePooling2D(name="features")(x)
    bank = DenseExpert(
        feature_units,
        experts,
        hidden_units=hidden_units,
        output_activation="relu",
        dropout=dropout,
        name="experts",
    )
    if gate is None:
        gate = GatingLayer(
            experts, top_k=top_k, balance_loss=balance_loss, name="gating"
        )
    x = MixtureOfExperts(bank, gate, dispatch=dispatch, name="moe")(x)
    return classify(x, num_classes)


def _check(images: Any, backbone: Any) -> None:
    owner = "build_image_moe"
    require(
        isinstance(backbone, keras.Model),
        owner,
        "`backbone` must be a keras.Model.",
        backbone=backbone,
    )
    wanted, given = tuple(backbone.input_shape), tuple(images.shape)
    grey = given[-1] == 1 and wanted[-1] == 3
    require(
        len(wanted) == 4
        and all(
            want is None or want == have
            for want, have in zip(wanted[1:], given[1:], strict=True)
            if not (grey and want == 3)
        ),
        owner,
        "`backbone` must take the images that the model gets.",
        backbone_input_shape=wanted,
        image_shape=given,
    )
    rank = len(backbone.output_shape)
    require(
        rank in (2, 4),
        owner,
        "`backbone` must return features (B, F) or maps (B, H, W, F).",
        backbone_output_shape=tuple(backbone.output_shape),
    )
    require(
        not _ends_in_softmax(backbone),
        owner,
        "`backbone` must return features, not the probabilities of its own "
        "classes: build it with include_top=False, or cut its top off, "
        "keras.Model(backbone.input, backbone.layers[-2].output).",
        backbone=backbone.name,
        backbone_output_shape=tuple(backbone.output_shape),
    )


def _ends_in_softmax(model: keras.Model) -> bool:
    """Whether the last layer, as far as it is known, is a classifier's."""
    history = getattr(model.outputs[0], "_keras_history", None)
    last = None if history is None else history.operation
    if isinstance(last, keras.Model):
        return _ends_in_softmax(last)
    return (
        isinstance(last, keras.layers.Softmax)
        or getattr(last, "activation", None) is keras.activations.softmax
    )
