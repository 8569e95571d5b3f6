"""The builder of image models: check, preprocess, grow a variant."""

import difflib
import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import keras

from moe_keras.errors import is_count, require
from moe_keras.zoo.image.backbone import grow_backbone
from moe_keras.zoo.image.conv import grow_conv
from moe_keras.zoo.image.hetero import grow_hetero
from moe_keras.zoo.image.preprocessing import augment, standardise
from moe_keras.zoo.image.pretrained import build_from_weights
from moe_keras.zoo.image.vit import grow_vit

OWNER = "build_image_moe"
SMALLEST_SIDE = 8
CHANNELS = (1, 3)
VARIANTS: dict[str, Any] = {
    "hetero": grow_hetero,
    "conv": grow_conv,
    "vit": grow_vit,
    "backbone": grow_backbone,
}
# Where neither an argument nor `weights` says another.
DEFAULTS: dict[str, Any] = {
    "input_shape": (28, 28, 1),
    "num_classes": 10,
    "variant": "hetero",
}


def build_image_moe(
    input_shape: Sequence[int] | None = None,
    num_classes: int | None = None,
    variant: str | None = None,
    augmentation: float = 0.0,
    flip: bool = False,
    weights: str | None = None,
    name: str = "image_moe",
    **options: Any,
) -> keras.Model:
    """An image classifier with experts, in one of four variants.

    - `"hetero"`: experts of different kinds, small CNNs and RNNs, behind one
      stem: p(c | x) = sum_e g_e(x) p_e(c | x). Options: see `grow_hetero`.
    - `"conv"`: residual convolution blocks; in the later stages the branch of
      a block is a sparse bank of convolutional experts. See `grow_conv`.
    - `"vit"`: patch tokens and attention, with sparse or soft experts for every
      token. See `grow_vit`.
    - `"backbone"`: experts on the features of a model of yours, frozen or
      trained further: `build_image_moe(..., variant="backbone",
      backbone=model)`. See `grow_backbone`.

    Every image is brought to mean 0 and variance 1 by itself, so any range of
    values will do, whole numbers too; only a backbone gets them as they are.

    With `weights`, arguments that are left out are the preset's, and those that
    are given must agree with it. Free are what acts in training only
    (`augmentation`, `flip`, `dropout`, `balance_loss`, `trainable`), `dispatch`
    and `num_classes`: with another number of classes, the weights whose shape
    depends on it are new, and all others are the preset's.

    Args:
        input_shape: `(H, W, C)`, height and width at least 8, C 1 or 3.
            Defaults to `(28, 28, 1)`.
        num_classes: int > 1. Defaults to 10.
        variant: see above. Defaults to `"hetero"`.
        augmentation: float in [0, 0.5). Training images are shifted by up to
            this share of each side and turned by up to this share of a right
            angle.
        flip: bool. Training images may be mirrored, left to right.
        weights: the data set or the name of an image preset of the zoo
            (`"fashion_mnist"`), or a handle of `load_preset`; None for new
            weights.
        name: of the model.
        **options: arguments of the variant, such as `experts`, `top_k`,
            `dropout` and `dispatch`.

    Returns:
        `keras.Model`, not compiled: `(B, H, W, C)` -> `(B, num_classes)`
        probabilities in float32.

    Raises:
        ValueError: for arguments out of range and options that the variant does
            not have; for arguments that contradict the preset of `weights`;
            for `top_k` with a `gate` of the variant "hetero", which says itself
            how many experts see an image; and for `top_k=1` with fused
            probabilities: cross-entropies renormalise what they are given,
            which cancels the one gate and with it the router's gradient.

    Example:
    >>> model = build_image_moe((28, 28, 1), 10, variant="conv")
    >>> model.compile(
    ...     "adam", "sparse_categorical_crossentropy", metrics=["accuracy"]
    ... )
    >>> model.fit(images, labels)
    """
    chosen: dict[str, Any] = {
        "input_shape": input_shape,
        "num_classes": num_classes,
        "variant": variant,
    }
    given = {key: value for key, value in chosen.items() if value is not None}
    given |= {"augmentation": augmentation, "flip": flip, "name": name}
    given |= options
    if weights is None:
        return _build(**{**DEFAULTS, **given})
    return build_from_weights(weights, given, _defaults_of, _build)


def _build(
    input_shape: Sequence[int],
    num_classes: int,
    variant: str,
    augmentation: float,
    flip: bool,
    name: str,
    **options: Any,
) -> keras.Model:
    _check(input_shape, num_classes, variant, augmentation, options)
    images = keras.Input(tuple(input_shape), name="images")
    x = images if variant == "backbone" else standardise(images)
    x = augment(x, augmentation, flip)
    outputs = VARIANTS[variant](x, num_classes, **options)
    return keras.Model(images, outputs, name=name)


def _options_of(variant: str) -> dict[str, Any]:
    """The options of a variant, with their defaults."""
    parameters = inspect.signature(VARIANTS[variant]).parameters
    # The first two are the images and the number of classes.
    options = list(parameters.items())[2:]
    return {name: parameter.default for name, parameter in options}


def _defaults_of(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """What these arguments leave out, as far as it has a default."""
    variant = arguments.get("variant", DEFAULTS["variant"])
    options = _options_of(variant) if variant in VARIANTS else {}
    return {
        name: value
        for name, value in {**DEFAULTS, **options}.items()
        if value is not inspect.Parameter.empty
    }


def _brief(value: Any) -> Any:
    """An array by its shape; anything else as it is."""
    shape = getattr(value, "shape", None)
    return value if shape is None else f"an array of shape {tuple(shape)}"


def _check(
    input_shape: Sequence[int],
    num_classes: int,
    variant: str,
    augmentation: float,
    options: dict[str, Any],
) -> None:
    listed = hasattr(input_shape, "__len__") and len(input_shape) == 3
    require(
        listed
        and all(map(is_count, input_shape))
        and min(input_shape[:2]) >= SMALLEST_SIDE
        and input_shape[2] in CHANNELS,
        OWNER,
        "`input_shape` must be (H, W, C) with H and W at least "
        f"{SMALLEST_SIDE} and C in {CHANNELS}, such as (28, 28, 1).",
        input_shape=input_shape if listed else _brief(input_shape),
    )
    require(
        is_count(num_classes) and num_classes > 1,
        OWNER,
        "`num_classes` must be an integer above 1.",
        num_classes=num_classes,
    )
    require(
        variant in VARIANTS,
        OWNER,
        f"`variant` must be one of {tuple(VARIANTS)}.",
        variant=variant,
    )
    require(
        0 <= augmentation < 0.5,
        OWNER,
        "`augmentation` must be in [0, 0.5).",
        augmentation=augmentation,
    )
    known = _options_of(variant)
    arguments = inspect.signature(build_image_moe).parameters
    for option in options:
        near = difflib.get_close_matches(option, {*known, *arguments}, 1)
        meant = f" Did you mean `{near[0]}`?" if near else ""
        require(
            option in known,
            OWNER,
            f"there is no argument of this name.{meant} Variant {variant!r} "
            f"has the options {', '.join(known)}.",
            option=option,
        )
    require(
        variant != "backbone" or "backbone" in options,
        OWNER,
        "variant 'backbone' needs `backbone`, a keras.Model.",
        options=tuple(options),
    )
