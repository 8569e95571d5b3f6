"""Gradients against finite differences, in float64 or of an oracle."""

import numpy as np
import pytest

from tests.gradients import gradients_of, random_projection
from tests.tools import numpy_of

# Of the layer itself, in float64.
STEP = 1e-6


def check_differences(layer, inputs, **call_kwargs):
    """The layer's gradients are the slopes of its own loss, in training.

    It needs the fixture `float64`. The loss is a random projection of the
    outputs, plus what the layer adds.

    Args:
        layer: built layer.
        inputs: float64 array.
        **call_kwargs: for the layer's call.
    """
    states = [
        (state, numpy_of(state)) for state in layer.non_trainable_variables
    ]

    def restore():
        for state, value in states:
            state.assign(value)

    def loss(values=inputs):
        restore()
        outputs = layer(values, training=True, **call_kwargs)
        losses = [random_projection(outputs), *layer.losses]
        return sum(float(numpy_of(part)) for part in losses)

    restore()
    _, gradients, first = gradients_of(
        layer, (inputs,), random_projection, **call_kwargs
    )
    rng = np.random.default_rng(3)
    for variable, gradient in zip(
        layer.trainable_variables, gradients, strict=True
    ):
        values = numpy_of(variable)
        # Along a direction that no entry is missing from.
        direction, ends = rng.normal(size=values.shape), []
        for sign in (1, -1):
            variable.assign(values + sign * STEP * direction)
            ends.append(loss())
        _check_slope(gradient, direction, ends, 2 * STEP)
        variable.assign(values)
    direction = rng.normal(size=inputs.shape)
    ends = [loss(inputs + sign * STEP * direction) for sign in (1, -1)]
    _check_slope(first, direction, ends, 2 * STEP)


def _check_slope(gradient, direction, ends, step):
    slope = (ends[0] - ends[1]) / step
    along = 0.0
    if gradient is not None:
        assert gradient.dtype == "float64"
        along = np.sum(gradient * direction)
    assert along == pytest.approx(slope, abs=5e-6, rel=1e-5)
