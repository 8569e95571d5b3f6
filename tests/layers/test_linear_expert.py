"""LinearExpert: signs, where it begins, penalties, training."""

import keras
import numpy as np
import pytest

from moe_keras.layers import EncodedExperts, LinearExpert, TabularEncoding
from tests.tools import assert_close, draw, numpy_of, randomize


def test_a_bank_begins_where_it_is_asked_to():
    layer = LinearExpert(signs=[1, 0, -1], initial=0.2)
    layer.build((None, 3))
    kernel, bias = layer.coefficients()
    assert_close(kernel[0, :, 0], [0.2, 0, -0.2])
    assert not bias.any()


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
@pytest.mark.parametrize("numbers", ["pieces", "steps"])
def test_a_sign_makes_it_monotone_to_the_last_bit(numbers, policy):
    keras.config.set_dtype_policy(policy)
    table = np.random.default_rng(0).normal(size=(500, 3)).astype("float32")
    encoding = TabularEncoding([None] * 3, 24, numbers)
    encoding.adapt(table)
    bank = LinearExpert(2, 2, encoding.signs([1, 0, -1]))
    layer = EncodedExperts(bank, encoding)
    layer(table)
    randomize(layer, scale=1.0)

    def difference(row):
        logits = keras.ops.cast(layer(row[None]), "float32")
        logits = numpy_of(logits)[0].astype("float64")
        return logits[:, 1] - logits[:, 0]

    grid = np.linspace(-3, 3, 150, dtype="float32")
    for column, sign in ((0, 1), (2, -1)):
        rows = np.repeat(table[:1], len(grid), axis=0)
        rows[:, column] = grid
        # One by one, so that all sums are in the same order.
        steps = np.diff([difference(row) for row in rows], axis=0)
        assert np.all(sign * steps >= 0)
        assert np.any(steps != 0)
    rows[:, 1] = grid
    steps = np.diff([difference(row) for row in rows], axis=0)
    assert np.any(steps > 0)
    assert np.any(steps < 0)


def test_the_penalty_is_on_the_weights():
    layer = LinearExpert(signs=[1, 0, -1], kernel_regularizer="l2")
    layer(draw(2, 3))
    randomize(layer)
    kernel, _ = layer.coefficients()
    assert float(numpy_of(layer.losses[0])) == pytest.approx(
        0.01 * np.sum(kernel**2), rel=1e-5
    )


def test_training_keeps_the_signs():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(400, 3)).astype("float32")
    # The second feature works against its sign: its weight goes to about 0.
    y = (x @ [2.0, 1.0, -1.0] + rng.logistic(size=400) > 0).astype("int32")
    layer = LinearExpert(signs=[1, -1, 0])
    model = keras.Sequential(
        [keras.Input((3,)), layer, keras.layers.Reshape((2,))]
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(0.1), loss)
    model.fit(x, y, batch_size=100, epochs=40, verbose=0)
    weights = layer.coefficients()[0][0, :, 0]
    assert weights[0] > 1
    assert -0.02 < weights[1] <= 0
    assert weights[2] < -0.5
