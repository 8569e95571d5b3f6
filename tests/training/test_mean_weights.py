"""The running mean of the weights: evaluated, and put back to the bit."""

import keras
import numpy as np
import pytest

from moe_keras.training.mean_weights import (
    MeanWeights,
    evaluated_weights,
    mean_weights,
)
from tests.tools import numpy_of


def model_of(optimizer):
    inputs = keras.Input((3,))
    x = keras.layers.Dense(4, use_bias=False)(inputs)
    x = keras.layers.BatchNormalization()(x)
    model = keras.Model(inputs, keras.layers.Dense(1, use_bias=False)(x))
    model.compile(optimizer, "mse")
    return model


def averaging():
    return keras.optimizers.SGD(0.3, use_ema=True, ema_momentum=0.5)


def data():
    rng = np.random.default_rng(0)
    return rng.normal(size=(16, 3)).astype("float32"), np.ones((16, 1))


def copies(weights):
    return [numpy_of(weight).copy() for weight in weights]


def differ(one, two):
    return any((a != b).any() for a, b in zip(one, two, strict=True))


class Watch(keras.callbacks.Callback):
    """The trainable weights after each step, in evaluation, and after it."""

    def __init__(self):
        super().__init__()
        self.steps = []

    def on_train_batch_end(self, batch, logs=None):
        if keras.backend.backend() == "jax":
            self.model.jax_state_sync()
        self.steps.append(copies(self.model.trainable_variables))

    def on_test_begin(self, logs=None):
        self.during = copies(self.model.trainable_variables)

    def on_epoch_end(self, epoch, logs=None):
        self.after = copies(self.model.trainable_variables)


def test_validation_is_of_the_mean_and_leaves_the_weights():
    model, watch = model_of(averaging()), Watch()
    model.fit(
        *data(),
        batch_size=4,
        validation_data=data(),
        verbose=0,
        callbacks=[MeanWeights(), watch],
    )
    means = watch.steps[0]
    for values in watch.steps[1:]:
        means = [
            0.5 * mean + 0.5 * value
            for mean, value in zip(means, values, strict=True)
        ]
    for found, expected in zip(watch.during, means, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    assert differ(watch.during, watch.after)
    assert not differ(watch.steps[-1], watch.after)


@pytest.mark.parametrize("scaled", [False, True])
def test_evaluated_weights(scaled):
    optimizer = averaging()
    if scaled:
        optimizer = keras.optimizers.LossScaleOptimizer(
            optimizer, initial_scale=1.0
        )
    model = model_of(optimizer)
    for _ in range(3):
        model.train_on_batch(*data())
    expected = {id(v): numpy_of(mean) for v, mean in mean_weights(model)}
    assert len(expected) == len(model.trainable_variables)
    found = evaluated_weights(model)
    assert differ(found, model.get_weights())
    for weight, value in zip(model.weights, found, strict=True):
        np.testing.assert_array_equal(
            value, expected.get(id(weight), numpy_of(weight))
        )


def test_without_means_nothing_happens():
    model, watch = model_of("sgd"), Watch()
    model.fit(
        *data(),
        validation_data=data(),
        verbose=0,
        callbacks=[MeanWeights(), watch],
    )
    assert mean_weights(model) == []
    assert not differ(watch.during, watch.after)
    assert not differ(evaluated_weights(model), model.get_weights())
