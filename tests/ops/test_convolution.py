"""Convolutions of all experts, against a loop over experts and pixels."""

import numpy as np
import pytest
from keras import ops

from moe_keras.ops import convolution
from tests import oracles
from tests.tools import BACKEND, assert_close, draw


@pytest.mark.parametrize("side", [1, 2, 3])
@pytest.mark.parametrize("experts", [1, 3])
def test_shared_images(experts, side):
    images, bank = draw(2, 4, 5, 2), draw(experts, side, side, 2, 3, seed=1)
    found = convolution.conv_all(images, ops.convert_to_tensor(bank))
    expected = [
        np.concatenate(
            [oracles.convolve(image, kernel, 0) for kernel in bank], axis=-1
        )
        for image in images
    ]
    assert_close(found, np.stack(expected))


@pytest.mark.skipif(BACKEND == "tensorflow", reason="needs XLA, and is slow")
def test_maps_of_their_own():
    maps, bank = draw(2, 4, 5, 3, 2), draw(3, 3, 3, 2, 4, seed=1)
    joined = convolution.join_experts(ops.convert_to_tensor(maps))
    found = convolution.conv_all(joined, ops.convert_to_tensor(bank))
    expected = [
        np.concatenate(
            [oracles.convolve(sample[:, :, e], bank[e], 0) for e in range(3)],
            axis=-1,
        )
        for sample in maps
    ]
    assert_close(found, np.stack(expected))


def test_splitting_undoes_joining():
    maps = draw(2, 4, 5, 3, 2)
    joined = convolution.join_experts(ops.convert_to_tensor(maps))
    np.testing.assert_array_equal(
        ops.convert_to_numpy(joined), maps.reshape(2, 4, 5, 6)
    )
    assert_close(convolution.split_experts(joined, 3), maps)


def test_groups_are_for_the_backend_that_is_fast_with_them():
    assert convolution.FAST_GROUPS == (BACKEND == "torch")


@pytest.mark.parametrize("pooling", [None, "avg", "max", "flatten"])
def test_pooling_of_all_is_that_of_each(pooling):
    maps = draw(2, 4, 5, 3, 2)
    found = convolution.pool_all_maps(ops.convert_to_tensor(maps), pooling)
    expected = [
        ops.convert_to_numpy(
            convolution.pool_maps(
                ops.convert_to_tensor(maps[:, :, :, e]), pooling
            )
        )
        for e in range(3)
    ]
    assert_close(found, np.stack(expected, axis=1))
