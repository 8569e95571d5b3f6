"""What every image model does to its images, inside the model."""

from typing import Any

import keras


def standardise(images: Any) -> Any:
    """Mean 0 and variance 1 over the pixels of each image.

    Args:
        images: `(B, H, W, C)`, of any range of values.
    """
    return keras.layers.LayerNormalization(
        axis=(1, 2, 3),
        center=False,
        scale=False,
        epsilon=1e-6,
        name="standardise",
    )(images)


def augment(x: Any, strength: float, flip: bool) -> Any:
    """Shifted, turned and mirrored copies, in training only.

    Args:
        x: float `(B, H, W, C)`.
        strength: float in [0, 0.5), see `build_image_moe`.
        flip: bool, whether left and right may be swapped.
    """
    if flip:
        x = keras.layers.RandomFlip("horizontal", name="flip")(x)
    if not strength:
        return x
    x = keras.layers.RandomTranslation(
        strength, strength, fill_mode="nearest", name="shift"
    )(x)
    # The factor is a share of a whole turn.
    return keras.layers.RandomRotation(
        strength / 4, fill_mode="nearest", name="turn"
    )(x)
