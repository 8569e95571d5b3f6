"""ModelExpert: a given model behind an expert axis."""

import keras
import numpy as np
import pytest

from moe_keras.layers import ModelExpert
from tests.gradients import gradients_of, random_projection
from tests.tools import assert_close, draw, numpy_of


def model_with_norm():
    return keras.Sequential(
        [
            keras.Input((5,)),
            keras.layers.Dense(4, activation="tanh"),
            keras.layers.BatchNormalization(momentum=0.5),
        ]
    )


def states_of(layer):
    norm = layer.model.layers[-1]
    return numpy_of(norm.moving_mean), numpy_of(norm.moving_variance)


@pytest.mark.parametrize("dispatch", ["auto", "dense"])
def test_it_is_the_model_where_the_gate_is_not_zero(dispatch):
    model, inputs = model_with_norm(), draw(6, 5)
    layer = ModelExpert(model)
    expected = numpy_of(model(inputs, training=False))[:, None]
    assert_close(layer(inputs), expected)
    gates = np.asarray([[1], [0], [0.5], [0], [0], [2]], "float32")
    expected = expected * (gates != 0)[..., None]
    assert_close(layer(inputs, gates, dispatch=dispatch), expected)
    assert_close(
        layer(inputs, group_sizes=np.asarray([6], "int32")),
        numpy_of(model(inputs, training=False)),
    )


def test_a_model_of_images_keeps_their_shape():
    model = keras.Sequential(
        [keras.Input((4, 4, 2)), keras.layers.Conv2D(3, 3, padding="same")]
    )
    layer = ModelExpert(model)
    assert tuple(layer(draw(2, 4, 4, 2)).shape) == (2, 1, 4, 4, 3)
    assert layer.compute_output_shape((None, 4, 4, 2)) == (None, 1, 4, 4, 3)


def test_training_trains_weights_and_statistics():
    layer, inputs = ModelExpert(model_with_norm()), draw(6, 5)
    layer(inputs)
    assert len(layer.trainable_weights) == 4
    before = states_of(layer)
    layer(inputs, training=True)
    for state, old in zip(states_of(layer), before, strict=True):
        assert np.all(state != old)


def test_frozen_model_has_no_trainable_weights_and_keeps_statistics():
    layer = ModelExpert(model_with_norm(), trainable=False)
    inputs = draw(6, 5)
    layer(inputs)
    assert layer.trainable_weights == []
    before = states_of(layer)
    outputs = numpy_of(layer(inputs, training=True))
    for state, old in zip(states_of(layer), before, strict=True):
        np.testing.assert_array_equal(state, old)
    assert_close(outputs, numpy_of(layer(inputs, training=False)))


def test_gradient_of_the_inputs_passes_through_a_frozen_model():
    layer = ModelExpert(model_with_norm(), trainable=False)
    inputs = draw(6, 5)
    layer(inputs)
    _, _, gradient = gradients_of(layer, (inputs,), random_projection)
    assert np.all(np.any(gradient != 0, axis=-1))


def test_statistics_come_from_the_chosen_rows_only():
    layer, inputs = ModelExpert(model_with_norm()), draw(6, 5)
    gates = np.asarray([[1], [0], [1], [0], [0], [1]], "float32")
    layer(inputs, gates)
    inputs[gates[:, 0] == 0] = 1e3
    if keras.backend.backend() == "jax":
        return  # static shapes: all rows run, and are cleared afterwards
    hidden = numpy_of(layer.model.layers[0](inputs[gates[:, 0] > 0]))
    layer(inputs, gates, training=True)
    mean, _ = states_of(layer)
    assert_close(mean, 0.5 * hidden.mean(axis=0))


def test_an_unbuilt_model_is_built():
    model = keras.Sequential([keras.layers.Dense(4)])
    layer = ModelExpert(model)
    layer.build((None, 5))
    assert model.built
    assert len(layer.weights) == 2


def test_model_must_be_a_model():
    with pytest.raises(ValueError, match=r"`model` must be a keras.Model"):
        ModelExpert(keras.layers.Dense(3))


def test_model_must_have_one_input():
    one, two = keras.Input((5,)), keras.Input((5,))
    model = keras.Model([one, two], one + two)
    with pytest.raises(ValueError, match="must have one input and one output"):
        ModelExpert(model)
