"""HashGating: against integers in Python, and what makes a hash good."""

import keras
import numpy as np
import pytest

from moe_keras.layers import HashGating
from moe_keras.ops import hashing
from tests import oracles_gating
from tests.layers.test_gating_kinds import MASK
from tests.tools import assert_close, draw, numpy_of


def test_hash_gates_are_one_hot_and_those_of_the_integers():
    ids = np.random.default_rng(0).integers(-(2**31), 2**31, 200)
    ids = np.concatenate([ids, np.arange(100), [2**31 - 1, -(2**31), -1]])
    for num_experts, salt in ((1, 0), (7, 0), (64, 5), (65638, -3)):
        experts = numpy_of(
            hashing.hash_to_experts(
                keras.ops.convert_to_tensor(ids.astype("int32")),
                num_experts,
                salt,
            )
        )
        factor, shift = hashing._mix(salt)
        expected = [
            oracles_gating.hash_expert(int(i), num_experts, factor, shift)
            for i in ids
        ]
        np.testing.assert_array_equal(experts, expected)
    ids = ids.reshape(-1, 3).astype("int32")
    gates = numpy_of(HashGating(7, salt=2)(ids))
    assert gates.shape == (*ids.shape, 7)
    np.testing.assert_array_equal(np.sort(gates, axis=-1)[..., -2:] @ [1, 1], 1)
    np.testing.assert_array_equal(
        np.argmax(gates, axis=-1),
        numpy_of(
            hashing.hash_to_experts(keras.ops.convert_to_tensor(ids), 7, 2)
        ),
    )


def test_hash_gates_never_change():
    gates = HashGating(8)(np.arange(12, dtype="int32"))
    experts = np.argmax(numpy_of(gates), axis=-1).tolist()
    assert experts == [2, 5, 7, 5, 5, 4, 6, 1, 2, 6, 3, 4]


@pytest.mark.parametrize("num_experts", [2, 8, 13])
def test_hash_gates_are_balanced_over_a_vocabulary(num_experts):
    gates = numpy_of(HashGating(num_experts)(np.arange(32717, dtype="int32")))
    counts = gates.sum(axis=0)
    assert np.ptp(counts) <= 1
    # Also over the frequent words in front, as well as a draw would be.
    first = gates[:1000].sum(axis=0)
    even = 1000 / num_experts
    assert np.max(np.abs(first - even)) < 5 * np.sqrt(even)


def test_hash_gates_of_another_salt_are_others():
    ids = np.arange(1000, dtype="int32")
    same = np.mean(
        np.all(
            numpy_of(HashGating(4)(ids))
            == numpy_of(HashGating(4, salt=1)(ids)),
            axis=-1,
        )
    )
    assert same == pytest.approx(1 / 4, abs=0.08)


@pytest.mark.parametrize("dtype", ["int32", "int64", "uint8"])
@pytest.mark.filterwarnings("ignore:Explicitly requested dtype:UserWarning")
def test_hash_gates_take_any_integer(dtype):
    ids = np.asarray([[0, 3, 200], [5, 9, 11]])
    expected = numpy_of(HashGating(5)(ids.astype("int32")))
    assert_close(HashGating(5)(ids.astype(dtype)), expected)


def test_hash_gates_read_a_column():
    inputs = draw(3, 4, 5)
    inputs[..., 2] = np.arange(12).reshape(3, 4) * 1000 - 3000
    ids = inputs[..., 2].astype("int32")
    expected = numpy_of(HashGating(4)(ids))
    assert_close(HashGating(4, column=2)(inputs), expected)
    assert_close(HashGating(4, column=-3)(inputs), expected)
    gates = HashGating(4)(ids, mask=MASK)
    assert_close(gates, expected * MASK[..., None])
