"""The weighted sum, against the loops."""

import numpy as np
import pytest
from keras import ops

from moe_keras.ops.fusion import weighted_sum
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
