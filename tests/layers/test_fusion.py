"""WeightedFusion, against the loops."""

import numpy as np
import pytest

from moe_keras.layers import WeightedFusion
from tests import oracles
from tests.gradients import gradients_of, random_projection
from tests.tools import assert_close, draw, random_gates


@pytest.mark.parametrize(
    ("leading", "trailing"),
    [((6,), (4,)), ((2, 3), (4,)), ((3,), (2, 3, 4))],
)
def test_banks_are_joined_in_their_order(leading, trailing):
    one, two = (
        draw(*leading, 2, *trailing),
        draw(*leading, 1, *trailing, seed=1),
    )
    gates = random_gates((*leading, 3))
    expected = np.zeros((*leading, *trailing))
    for row in np.ndindex(leading):
        for e in range(2):
            expected[row] += gates[row][e] * one[row][e]
        expected[row] += gates[row][2] * two[row][0]
    layer = WeightedFusion()
    assert_close(layer([one, two, gates]), expected)
    shapes = [one.shape, two.shape, gates.shape]
    assert layer.compute_output_shape(shapes) == expected.shape


def test_probabilities_stay_probabilities():
    outputs = np.apply_along_axis(oracles.softmax, -1, draw(6, 3, 4))
    gates = np.apply_along_axis(oracles.softmax, -1, draw(6, 3, seed=1))
    fused = WeightedFusion()(
        [outputs.astype("float32"), gates.astype("float32")]
    )
    assert_close(np.sum(np.asarray(fused), axis=-1), np.ones(6))


def test_gradient_reaches_outputs_and_gates():
    outputs, gates = draw(6, 3, 4), random_gates((6, 3), share=0)
    layer = WeightedFusion()
    layer([outputs, gates])
    _, _, (outputs_gradient, gates_gradient) = gradients_of(
        layer, ([outputs, gates],), random_projection
    )
    assert np.all(outputs_gradient != 0)
    assert np.all(gates_gradient != 0)


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        ((2, 3), "`inputs` must be a list: the banks' outputs, then the gates"),
        ([(2, 3)], "`inputs` must be a list: the banks' outputs, then the"),
        ([(2, 2, 4), (2, 1, 5), (2, 3)], "banks must agree on the shape of one "
         "expert's output. Received: output_shapes=[(2, 2, 4), (2, 1, 5)]"),
        ([(2, 3, 4), (2, 4)], "`gates` must have one column for each of the 3 "
         "experts. Received: gates_shape=(2, 4)"),
    ],
)  # fmt: skip
def test_errors_name_the_shapes(shapes, message):
    with pytest.raises(ValueError, match=r"^WeightedFusion: ") as error:
        WeightedFusion().build(shapes)
    assert message in str(error.value)
