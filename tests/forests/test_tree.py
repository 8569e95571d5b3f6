"""How thresholds are rounded: no float32 goes another way."""

import numpy as np
import pytest

from moe_keras.forests.tree import at_most, below

TINY = float(np.finfo("float32").tiny)
THRESHOLDS = np.array(
    [0.1, -0.1, 1 / 3, 1.0, -1.0, 0.0, -0.0, 2**24 + 1.0, -(2**24) - 1.0,
     16777216.5, 1e300, -1e300, np.inf, -np.inf, 1e-35, 1e-50, -1e-50,
     TINY, -TINY, 1e-40, -1e-40, float(np.float32(0.1)), 3.4028235e38]
)  # fmt: skip


def neighbours(threshold):
    with np.errstate(over="ignore"):
        near = np.float32(threshold)
    found = [near]
    for side in (-np.inf, np.inf):
        step = near
        for _ in range(3):
            with np.errstate(over="ignore"):
                step = np.nextafter(step, np.float32(side))
            found.append(step)
    found += [np.float32(v) for v in (0, TINY, -TINY, np.inf, -np.inf)]
    return [one for one in found if one == 0 or abs(one) >= TINY]


@pytest.mark.parametrize("threshold", THRESHOLDS)
def test_no_comparison_flips(threshold):
    drawn = np.random.default_rng(0).normal(size=20).astype("float32")
    for number in [*neighbours(threshold), *drawn]:
        exact = float(number)
        assert (number <= at_most(threshold)) == (exact <= threshold)
        if threshold != -np.inf:  # nothing is below it
            assert (number <= below(threshold)) == (exact < threshold)


def test_no_threshold_is_subnormal():
    for rounding in (at_most, below):
        rounded = rounding(THRESHOLDS)
        assert rounded.dtype == "float32"
        assert np.all((rounded == 0) | (np.abs(rounded) >= np.float32(TINY)))
