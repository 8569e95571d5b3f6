"""Random crop, mirror and cutout of a batch of images at once.

With NumPy on every backend: the same seed gives the same images everywhere,
and a batch takes a fraction of a millisecond (see `docs/recipes.md`).
"""

import numpy as np

from moe_keras.training.recipe_parts import Augmentation

Draws = dict[str, np.ndarray]


def draw(
    augmentation: Augmentation,
    count: int,
    shape: tuple[int, ...],
    rng: np.random.Generator,
) -> Draws:
    """What happens to each of `count` images.

    Args:
        augmentation: what may happen.
        count: int >= 0. N.
        shape: `(H, W, C)` of an image.
        rng: where chance comes from.

    Returns:
        `"window"`, int32 `(N, 2)` in 0..2*crop: y and x of the window in the
        image with its border; `"mirror"`, bool `(N,)`; `"corner"`, int32
        `(N, 2)`: y and x of the square's first pixel, which may lie outside
        the image.
    """
    sides = np.array(shape[:2])
    size = (count, 2)
    window = rng.integers(0, 2 * augmentation.crop, size, "int32", True)
    mirror = rng.integers(0, 1, count, "int8", True).astype(bool)
    centre = rng.integers(0, sides, size).astype("int32")
    return {
        "window": window,
        "mirror": mirror & augmentation.flip,
        "corner": centre - np.int32(augmentation.cutout // 2),
    }


def augment(
    augmentation: Augmentation, images: np.ndarray, draws: Draws
) -> np.ndarray:
    """Crop, mirror, blot out, in this order.

    Args:
        augmentation: what was asked for.
        images: `(B, H, W, C)` of any dtype; it may be overwritten.
        draws: of these B images; see `draw`.

    Returns:
        `(B, H, W, C)`, of the dtype of `images`.
    """
    if augmentation.crop:
        images = _crop(images, augmentation, draws["window"])
    if augmentation.flip:
        mirror = draws["mirror"]
        images[mirror] = images[mirror, :, ::-1]
    if augmentation.cutout:
        _cut_out(images, augmentation, draws["corner"])
    return images


def _crop(
    images: np.ndarray, augmentation: Augmentation, window: np.ndarray
) -> np.ndarray:
    border = (augmentation.crop, augmentation.crop)
    framed = np.pad(
        images,
        ((0, 0), border, border, (0, 0)),
        constant_values=augmentation.fill,
    )
    # A view of all windows, of which one per image is copied.
    windows = np.lib.stride_tricks.sliding_window_view(
        framed, images.shape[1:3], axis=(1, 2)
    )
    chosen = windows[np.arange(len(images)), window[:, 0], window[:, 1]]
    return np.ascontiguousarray(np.moveaxis(chosen, 1, 3))


def _cut_out(
    images: np.ndarray, augmentation: Augmentation, corner: np.ndarray
) -> None:
    within = []
    for axis in (0, 1):
        place = np.arange(images.shape[1 + axis]) - corner[:, axis, None]
        within.append((place >= 0) & (place < augmentation.cutout))
    rows, columns = within
    square = rows[:, :, None, None] & columns[:, None, :, None]
    np.copyto(images, augmentation.fill, where=square, casting="unsafe")
