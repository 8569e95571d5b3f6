"""A row of NaN, or one that overflows, is a matter of that row alone."""

import numpy as np
import pytest
from keras import ops

from moe_keras.layers import (
    ExpertChoiceGating,
    GatingLayer,
    HashGating,
    HierarchicalGating,
    UniformGating,
)
from tests.gradients import gradients_of
from tests.tools import assert_close, draw, numpy_of, randomize

LOSSES = {
    "balance_loss": 1.0,
    "z_loss": 0.5,
    "importance_loss": 0.25,
    "mutual_information_loss": 0.125,
    "entropy_loss": 2.0,
}
KINDS = {
    "all": lambda: GatingLayer(4, **LOSSES),
    "top_1": lambda: GatingLayer(4, 1, **LOSSES),
    "top_2": lambda: GatingLayer(4, 2, load_bias=0.5, **LOSSES),
    "sigmoid": lambda: GatingLayer(4, 2, activation="sigmoid", **LOSSES),
    "sigmoid_of_all": lambda: GatingLayer(4, activation="sigmoid", **LOSSES),
    "top_p": lambda: GatingLayer(4, top_p=0.6, **LOSSES),
    "cosine": lambda: GatingLayer(4, 2, scores="cosine", score_units=3),
    "attention": lambda: GatingLayer(4, 2, scores="attention", score_units=3),
    "expert_choice": lambda: ExpertChoiceGating(4, 1.0),
    "hierarchical": lambda: HierarchicalGating(2, 2, 1, 1),
    "uniform": lambda: UniformGating(4),
    "hash": lambda: HashGating(4, column=0),
}
BAD = {"nan": np.nan, "infinite": np.inf}


def built(kind, inputs):
    layer = KINDS[kind]()
    layer.build(inputs.shape)
    return randomize(layer)


def total_loss(layer):
    return sum(float(numpy_of(loss)) for loss in layer.losses)


@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize("kind", KINDS)
def test_other_rows_gates_losses_and_gradients_are_as_without_it(kind, bad):
    inputs = draw(9, 5)
    inputs[:, 0] = np.arange(9)
    broken = inputs.copy()
    broken[4, 0] = BAD[bad]
    others = np.arange(9) != 4
    layer, twin = built(kind, inputs), built(kind, inputs)
    gates = numpy_of(layer(broken, training=True))
    expected = numpy_of(twin(inputs[others], training=True))
    assert_close(gates[others], expected)
    # The row itself shows it, at as many experts as any other row has.
    assert np.sum(np.isnan(gates[4])) == layer.choices
    assert total_loss(layer) == pytest.approx(total_loss(twin), rel=1e-4)
    for weight, other in zip(layer.weights, twin.weights, strict=True):
        assert_close(weight, numpy_of(other))
    if not layer.trainable_weights:
        return

    def loss_of(rows):
        factors = ops.convert_to_tensor(draw(8, 4))
        return lambda outputs: ops.sum(
            factors * ops.take(outputs, ops.convert_to_tensor(rows), axis=0)
        )

    _, weights, first = gradients_of(
        layer, (broken,), loss_of(np.flatnonzero(others).astype("int32"))
    )
    _, weights_without, first_without = gradients_of(
        twin, (inputs[others],), loss_of(np.arange(8, dtype="int32"))
    )
    for gradient, other in zip(weights, weights_without, strict=True):
        assert_close(gradient, other, atol=1e-4)
    assert_close(first[others], first_without, atol=1e-4)


@pytest.mark.parametrize(
    "kind", ["sigmoid_of_all", "top_2", "expert_choice", "hierarchical"]
)
def test_logits_that_overflow_are_of_a_broken_row(kind):
    # Nine rows: with eight, every expert has fewer places.
    inputs = draw(9, 5)
    huge = inputs.copy()
    huge[2] = 3e38
    others = np.arange(9) != 2
    layer, twin = built(kind, inputs), built(kind, inputs)
    for weight in layer.trainable_weights + twin.trainable_weights:
        weight.assign(10 * np.abs(numpy_of(weight)))
    gates = numpy_of(layer(huge, training=True))
    assert_close(gates[others], numpy_of(twin(inputs[others], training=True)))
    assert np.sum(np.isnan(gates[2])) == layer.choices
    assert total_loss(layer) == pytest.approx(total_loss(twin), rel=1e-4)
    for weight, other in zip(layer.weights, twin.weights, strict=True):
        assert_close(weight, numpy_of(other))


def test_noise_that_overflows_is_of_a_broken_row():
    inputs = draw(6, 5)
    inputs[2] = 3e38
    layer = GatingLayer(4, 2, noisy=True, load_loss=1.0)
    layer.build(inputs.shape)
    layer.noise_kernel.assign(np.full((5, 4), 10.0))
    gates = numpy_of(layer(inputs, training=True))
    assert np.sum(np.isnan(gates)) == 2
    assert np.isfinite(total_loss(layer))


def test_broken_rows_go_to_experts_in_service():
    inputs = draw(3, 5)
    inputs[1] = np.nan
    layer = GatingLayer(4, 2)
    gates = layer(inputs, expert_mask=[False, True, True, True])
    np.testing.assert_array_equal(
        np.isnan(numpy_of(gates)[1]), [False, True, True, False]
    )


def test_padding_may_hold_nan_and_shows_none():
    inputs, mask = draw(3, 5), np.asarray([True, False, True])
    inputs[1] = np.nan
    gates = numpy_of(GatingLayer(4, 2)(inputs, mask=mask))
    np.testing.assert_array_equal(gates[1], np.zeros(4))


def test_a_sample_with_a_broken_position_is_broken():
    inputs = draw(3, 4, 5)
    inputs[1, 2] = np.nan
    gates = numpy_of(GatingLayer(4, level="sample")(inputs))
    np.testing.assert_array_equal(
        np.isnan(gates), [[False] * 4, [True] * 4, [False] * 4]
    )
