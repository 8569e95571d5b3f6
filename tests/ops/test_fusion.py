"""The weighted sum, against the loops."""

import numpy as np
import pytest
from keras import ops

from moe_keras.ops.fusion import (
    attention_gates,
    drop_non_finite,
    weighted_sum,
)
from tests.tools import assert_close, draw, random_gates


@pytest.mark.parametrize(
    ("leading", "trailing"),
    [((6,), (4,)), ((6,), ()), ((2, 3), (4,)), ((2, 3), ()), ((4,), (2, 3, 5))],
)
def test_weighted_sum_is_the_loop(leading, trailing):
    outputs = draw(*leading, 3, *trailing)
    gates = random_gates((*leading, 3))
    expected = np.zeros((*leading, *trailing))
    for row in np.ndindex(leading):
        for e in range(3):
            expected[row] += gates[row][e] * outputs[row][e]
    actual = weighted_sum(
        ops.convert_to_tensor(outputs), ops.convert_to_tensor(gates)
    )
    assert_close(actual, expected)


def test_an_expert_whose_gate_is_zero_has_no_say():
    outputs = draw(2, 3, 4)
    outputs[0, 1] = np.nan
    outputs[1, 0] = np.inf
    gates = np.asarray([[0.5, 0, 0.5], [0, 0.2, 0.8]], "float32")
    expected = [
        0.5 * outputs[0, 0] + 0.5 * outputs[0, 2],
        0.2 * outputs[1, 1] + 0.8 * outputs[1, 2],
    ]
    actual = weighted_sum(
        ops.convert_to_tensor(outputs), ops.convert_to_tensor(gates)
    )
    assert_close(actual, np.stack(expected))


def test_what_is_not_finite_is_dropped_and_the_sum_kept():
    outputs = draw(3, 3, 4)
    outputs[0, 1, 2], outputs[1, 0, 0] = np.nan, -np.inf
    outputs[2] = np.inf
    gates = np.asarray([[0.5, 0.25, 0.25], [0, 0.5, 0.3], [1, 1, 1]], "float32")
    kept, left = drop_non_finite(
        ops.convert_to_tensor(outputs), ops.convert_to_tensor(gates)
    )
    assert_close(left, [[2 / 3, 0, 1 / 3], [0, 0.5, 0.3], [0, 0, 0]])
    broken = ~np.all(np.isfinite(outputs), axis=-1)
    outputs[broken] = 0
    assert_close(kept, outputs)


def test_scalars_are_dropped_one_by_one():
    outputs = np.asarray([[1.0, np.nan], [np.inf, 3.0]], "float32")
    gates = np.full((2, 2), 0.5, "float32")
    _, left = drop_non_finite(
        ops.convert_to_tensor(outputs), ops.convert_to_tensor(gates)
    )
    assert_close(left, [[1, 0], [0, 1]])


def test_attention_gates_are_the_gates_times_the_exponential():
    scores = np.asarray([[800.0, 801, np.nan], [0, 0, 9]], "float32")
    gates = np.asarray([[0.2, 0.6, 0], [0.1, 0.3, 0]], "float32")
    powers = np.asarray([0.2, 0.6 * np.e])
    actual = attention_gates(
        ops.convert_to_tensor(scores), ops.convert_to_tensor(gates)
    )
    first = [*(0.8 * powers / np.sum(powers)), 0]
    assert_close(actual, np.stack([first, gates[1]]))
