"""Augmentation, pixel by pixel."""

import numpy as np
import pytest

from moe_keras.training.augment import augment, draw
from moe_keras.training.recipe_parts import Augmentation

ALL = Augmentation(crop=2, flip=True, cutout=3, fill=7.0)


def images(count=20, dtype="uint8"):
    rng = np.random.default_rng(0)
    return rng.integers(10, 250, (count, 6, 5, 2)).astype(dtype)


def by_loop(augmentation, given, draws):
    count, height, width, _ = given.shape
    result = np.full_like(given, augmentation.fill)
    for n in range(count):
        dy, dx = draws["window"][n] - augmentation.crop
        top, left = draws["corner"][n]
        side = augmentation.cutout
        for y in range(height):
            for x in range(width):
                # Backwards through cutout, mirror and crop.
                if top <= y < top + side and left <= x < left + side:
                    continue
                column = width - 1 - x if draws["mirror"][n] else x
                v, u = y + dy, column + dx
                if 0 <= v < height and 0 <= u < width:
                    result[n, y, x] = given[n, v, u]
    return result


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
@pytest.mark.parametrize(
    "augmentation",
    [
        ALL,
        Augmentation(),
        Augmentation(crop=1),
        Augmentation(flip=True),
        Augmentation(cutout=4, fill=1),
    ],
    ids=str,
)
def test_by_loop(augmentation, dtype):
    given = images(dtype=dtype)
    rng = np.random.default_rng(1)
    draws = draw(augmentation, len(given), given.shape[1:], rng)
    expected = by_loop(augmentation, given, draws)
    found = augment(augmentation, given.copy(), draws)
    assert found.dtype == given.dtype
    np.testing.assert_array_equal(found, expected)


def test_what_is_drawn_is_spread_evenly():
    draws = draw(ALL, 20_000, (6, 5, 2), np.random.default_rng(0))
    for axis in (0, 1):
        counts = np.bincount(draws["window"][:, axis], minlength=5)
        np.testing.assert_allclose(counts / 20_000, 1 / 5, atol=0.015)
    assert draws["mirror"].mean() == pytest.approx(0.5, abs=0.015)
    # The square's centre is anywhere in the image.
    assert draws["corner"].min(axis=0).tolist() == [-1, -1]
    assert draws["corner"].max(axis=0).tolist() == [4, 3]


def test_nothing_is_mirrored_unasked():
    draws = draw(Augmentation(crop=1), 50, (6, 5, 2), np.random.default_rng(0))
    assert not draws["mirror"].any()
