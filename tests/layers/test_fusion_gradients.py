"""Gradients of the fusions: of a lone gate, and against differences."""

import numpy as np
import pytest

from tests.gradients import gradients_of, random_projection
from tests.layers.test_fusion_kinds import KINDS, built
from tests.tools import draw, numpy_of, random_gates


@pytest.mark.parametrize("kind", ["weighted", "log", "attention", "learned"])
def test_top_1_gate_keeps_its_gradient(kind):
    outputs = draw(4, 3, 5)
    gates = np.where(np.arange(3) == 1, 0.6, 0.0) * np.ones((4, 1))
    inputs = [outputs, gates.astype("float32")]
    _, _, (_, gradient) = gradients_of(
        built(kind, inputs), (inputs,), random_projection
    )
    assert np.all(np.abs(gradient[:, 1]) > 1e-3)
    assert np.all(gradient[:, [0, 2]] == 0)


@pytest.mark.parametrize("drop", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_gradients_are_the_finite_differences(kind, drop, float64):
    outputs = draw(4, 3, 4, dtype="float64")
    gates = random_gates((4, 3), share=0.3).astype("float64")
    if drop:
        outputs[1, 2, 0] = np.nan
        outputs[2, 0] = np.inf
    layer = built(kind, [outputs, gates], drop_non_finite=drop)

    def loss():
        return float(numpy_of(random_projection(layer([outputs, gates]))))

    _, weights, first = gradients_of(
        layer, ([outputs, gates],), random_projection
    )
    step = 1e-6
    for values, gradient in zip([outputs, gates], first, strict=True):
        for place in np.ndindex(values.shape):
            value = values[place]
            # A gate of 0 is a switch, not a value to move.
            if not np.isfinite(value) or (values is gates and value == 0):
                assert gradient[place] == 0
                continue
            values[place] = value + step
            above = loss()
            values[place] = value - step
            below = loss()
            values[place] = value
            slope = (above - below) / (2 * step)
            assert gradient[place] == pytest.approx(slope, abs=1e-6)
    for weight, gradient in zip(layer.trainable_weights, weights, strict=True):
        start = numpy_of(weight)
        for place in np.ndindex(start.shape):
            sides = []
            for sign in (1, -1):
                moved = start.copy()
                moved[place] += sign * step
                weight.assign(moved)
                sides.append(loss())
            weight.assign(start)
            slope = (sides[0] - sides[1]) / (2 * step)
            assert gradient[place] == pytest.approx(slope, abs=1e-6)
