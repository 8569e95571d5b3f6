"""Gradients against finite differences: of the layer, or of an oracle."""

import numpy as np
import pytest
from keras import ops, tree

from tests.gradients import gradients_of, random_projection
from tests.tools import assert_close, numpy_of

# Of the layer itself, in float64.
STEP = 1e-6
# Of an oracle that reads float32 weights: their difference must be exact, and
# the curvature small.
WIDE_STEP = 1e-4


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


def check_against(
    layer, inputs, oracle, training=False, of_losses=False, **call_kwargs
):
    """The layer is what the oracle says, and its gradients are its slopes.

    The layer computes in float32, by its backend; the oracle in float64, in
    NumPy, from the weights that the layer holds at the time.

    Args:
        layer: built layer.
        inputs: float32 array, or a list of them.
        oracle: from `inputs` in float64 to the outputs; where `of_losses`, to
            the sum of the losses that the layer adds.
        training: bool.
        of_losses: bool.
        **call_kwargs: for the layer's call.
    """
    states = [(s, numpy_of(s)) for s in layer.non_trainable_variables]
    exact = tree.map_structure(lambda array: array.astype("float64"), inputs)
    expected = oracle(exact)
    if not of_losses:
        outputs = layer(inputs, training=training, **call_kwargs)
        assert_close(outputs, expected, atol=2e-5, rtol=2e-5)
        for state, value in states:
            state.assign(value)

    def nothing(outputs):
        return ops.sum(outputs) * 0.0

    loss, gradients, first = gradients_of(
        layer,
        (inputs,),
        nothing if of_losses else random_projection,
        training,
        **call_kwargs,
    )
    for state, value in states:
        state.assign(value)

    def slope(values=exact):
        result = oracle(values)
        return float(result) if of_losses else _project(result)

    assert loss == pytest.approx(slope(), rel=1e-4, abs=1e-4)
    _check_weights(layer, gradients, slope)
    _check_inputs(exact, first, slope)


def _project(outputs):
    """`random_projection` in float64."""
    factors = np.random.default_rng(7).normal(size=outputs.shape)
    return float(np.sum(outputs * factors))


def _check_weights(layer, gradients, loss):
    rng = np.random.default_rng(3)
    for variable, gradient in zip(
        layer.trainable_variables, gradients, strict=True
    ):
        values = numpy_of(variable)
        direction = rng.normal(size=values.shape)
        places, ends = [], []
        for sign in (1, -1):
            variable.assign(values + sign * WIDE_STEP * direction)
            places.append(numpy_of(variable).astype("float64"))
            ends.append(loss())
        variable.assign(values)
        moved = (places[0] - places[1]) / (2 * WIDE_STEP)
        _check_wide(gradient, moved, ends, WIDE_STEP, variable.path)


def _check_inputs(inputs, gradients, loss):
    rng = np.random.default_rng(4)
    listed = isinstance(inputs, list)
    parts = inputs if listed else [inputs]
    for i, gradient in enumerate(gradients if listed else [gradients]):
        # What is 0 is a gate that is off: a switch, and no value to move.
        # What is not finite cannot be moved.
        on = np.isfinite(parts[i]) & (parts[i] != 0)
        direction = rng.normal(size=parts[i].shape) * on
        ends = []
        for sign in (1, -1):
            moved = parts[i] + sign * STEP * direction
            ends.append(
                loss([*parts[:i], moved, *parts[i + 1 :]] if listed else moved)
            )
        _check_wide(gradient, direction, ends, STEP, f"inputs[{i}]")


def _check_wide(gradient, direction, ends, step, name):
    slope = (ends[0] - ends[1]) / (2 * step)
    along = 0.0 if gradient is None else np.sum(gradient * direction)
    assert along == pytest.approx(slope, abs=2e-3, rel=2e-3), (
        name,
        along,
        slope,
    )
