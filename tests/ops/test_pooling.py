"""Pooling over real positions, against loops over rows and positions."""

import numpy as np
import pytest
from keras import ops

from moe_keras.ops.pooling import clear_padding, masked_max, masked_mean
from tests.tools import assert_close, draw, numpy_of

MASK = np.arange(5) < np.asarray([[5], [2], [0]])
MASK[1] = [False, True, False, True, False]


def by_loops(values, mask, pool):
    rows = []
    for sample, real in zip(values, mask, strict=True):
        kept = [sample[t] for t in range(len(sample)) if real[t]]
        rows.append(pool(kept, axis=0) if kept else np.zeros(sample.shape[1:]))
    return np.stack(rows)


@pytest.mark.parametrize("shape", [(3, 5), (3, 5, 2), (3, 5, 2, 4)])
def test_only_real_positions_are_pooled(shape):
    values = draw(*shape) - 5  # so that a zero would be the largest
    everywhere = np.ones_like(MASK)
    for function, pool in ((masked_max, np.max), (masked_mean, np.mean)):
        whole = function(ops.convert_to_tensor(values), None)
        assert_close(whole, by_loops(values, everywhere, pool))
        broken = values.copy()
        broken[~MASK] = np.nan  # what must not be read
        pooled = function(ops.convert_to_tensor(broken), MASK)
        assert_close(pooled, by_loops(values, MASK, pool))


def test_padding_is_cleared():
    values = draw(3, 5, 2)
    expected = values * MASK[..., None]
    values[~MASK] = np.nan
    np.testing.assert_array_equal(
        numpy_of(clear_padding(ops.convert_to_tensor(values), MASK)), expected
    )
    assert clear_padding(values, None) is values


def test_a_mean_of_many_halves_does_not_overflow():
    # Their sum is 100 times the largest number of float16.
    values = np.full((1, 200, 1), 32768, "float16")
    for mask in (None, np.ones((1, 200), bool)):
        mean = masked_mean(ops.convert_to_tensor(values), mask)
        assert numpy_of(mean).dtype == "float16"
        np.testing.assert_array_equal(numpy_of(mean), [[32768]])
