"""Stages that learn from the rows that were held out."""

import math

import keras
import numpy as np
import pytest

from moe_keras.data.split import Split
from moe_keras.layers import (
    DenseExpert,
    GatingLayer,
    LogitFusion,
    MixtureOfExperts,
)
from moe_keras.training import Stage, fit_stages
from tests.tools import BACKEND, numpy_of, only_tensorflow
from tests.training.staged import CLASSES, WIDTH, build, data, weights_of

EXPERTS = Stage(name="experts", train="experts", loss="experts")
GATE = Stage(
    name="gate", train="gate", epochs=2, data="validation", learning_rate=0.5
)
HELD_OUT = data(1, rows=20)


class Spy(keras.layers.Layer):
    """Notes the rows that it is trained with."""

    def __init__(self):
        super().__init__(name="spy")
        self.seen = []

    def call(self, inputs, training=None):
        if training:
            self.seen.append(numpy_of(inputs))
        return inputs


def spied():
    keras.utils.set_random_seed(7)
    spy, inputs = Spy(), keras.Input((WIDTH,))
    bank = DenseExpert(CLASSES, 3, output_activation=None)
    x = MixtureOfExperts(bank, GatingLayer(3), LogitFusion())(spy(inputs))
    model = keras.Model(inputs, keras.layers.Softmax()(x))
    model.compile("sgd", "sparse_categorical_crossentropy", run_eagerly=True)
    return model, spy


def in_order(rows):
    return rows[np.lexsort(rows.T)]


@pytest.mark.skipif(BACKEND == "jax", reason="JAX traces even run eagerly")
@pytest.mark.parametrize("loss", ["model", "averaged"])
def test_it_learns_from_these_rows_and_no_others(loss):
    model, spy = spied()
    held_out = GATE.model_copy(update={"loss": loss})
    fit_stages(
        model,
        data(),
        [EXPERTS, held_out],
        validation_data=HELD_OUT,
        batch_size=8,
        verbose=0,
    )
    steps = [6, 3, 3]
    assert len(spy.seen) == sum(steps)
    epochs = np.split(np.arange(12), np.cumsum(steps)[:-1])
    for place, rows in zip(
        epochs, (data()[0], HELD_OUT[0], HELD_OUT[0]), strict=True
    ):
        seen = np.concatenate([spy.seen[step] for step in place])
        np.testing.assert_array_equal(in_order(seen), in_order(rows))


def test_it_is_a_fit_to_these_rows():
    """As if they had been the training data; and without a validation."""
    one, two, three = build(), build(), build()
    options = {"batch_size": 20, "verbose": 0}
    history = fit_stages(
        one,
        data(),
        [EXPERTS, GATE],
        validation_data=HELD_OUT,
        seed=1,
        **options,
    )
    fit_stages(two, data(), [EXPERTS], seed=1, **options)
    plain = GATE.model_copy(update={"data": "train"})
    for model, rows in ((two, HELD_OUT), (three, data())):
        fit_stages(model, rows, [plain], **options)
    for path, value in weights_of(one).items():
        np.testing.assert_allclose(
            weights_of(two)[path], value, atol=1e-5, err_msg=path
        )
    moved = weights_of(one)["moe/gating/kernel"]
    assert np.abs(moved - weights_of(three)["moe/gating/kernel"]).max() > 0.01
    assert history.history["stage"] == ["experts", "gate", "gate"]
    found = [math.isnan(value) for value in history.history["val_loss"]]
    assert found == [False, True, True]
    assert not np.isnan(history.history["loss"]).any()


def gate_after(held_out, **options):
    model = build()
    fit_stages(
        model, data(), [GATE], validation_data=held_out, verbose=0, **options
    )
    return weights_of(model)["moe/gating/kernel"]


def test_weights_of_the_rows_count():
    x, y = HELD_OUT
    shares = np.arange(20) % 3.0
    weighted = gate_after((x, y, shares), batch_size=20)
    assert np.abs(weighted - gate_after((x, y), batch_size=20)).max() > 1e-3


@pytest.mark.slow
@only_tensorflow
def test_held_out_rows_may_come_in_other_forms():
    import tensorflow as tf

    expected = gate_after(HELD_OUT, batch_size=20)
    found = gate_after(Split(*HELD_OUT), batch_size=20)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    # `batch_size` is for arrays: these are in batches.
    batches = tf.data.Dataset.from_tensor_slices(HELD_OUT).batch(20)
    np.testing.assert_allclose(
        gate_after(batches, batch_size=7), expected, atol=1e-5
    )


def test_what_is_refused():
    with pytest.raises(ValueError, match="patience needs data: train"):
        Stage(name="a", data="validation", patience=1)
    with pytest.raises(ValueError, match="data"):
        Stage(name="a", data="test")
    message = r"`validation_data` must be given.*learns from it.*\['gate'\]"
    with pytest.raises(ValueError, match=message):
        fit_stages(build(), data(), [GATE])
