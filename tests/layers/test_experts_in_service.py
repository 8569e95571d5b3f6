"""Experts out of service in whole models: as a model that was built without."""

import keras
import numpy as np
import pytest

from moe_keras.layers import (
    DenseExpert,
    GatingLayer,
    MixtureOfExperts,
    MoEFeedForward,
    experts_in_service,
)
from moe_keras.lifecycle import keep_experts
from tests.tools import assert_close, draw, numpy_of, only_tensorflow, randomize

MASK = np.array([True, False, True, True])
KEPT = [0, 2, 3]
ROWS = draw(6, 5)


def mixture(name="moe", **kwargs):
    bank = DenseExpert(3, 4, hidden_units=4)
    return MixtureOfExperts(bank, GatingLayer(4, top_k=2), name=name, **kwargs)


def model_of(**kwargs):
    symbols = keras.Input((5,))
    outputs = keras.layers.Dense(2)(mixture(**kwargs)(symbols))
    model = randomize(keras.Model(symbols, outputs))
    model.compile(keras.optimizers.SGD(0.1), "mse", jit_compile=False)
    return model


def predict(model, inputs=ROWS):
    return model.predict(inputs, verbose=0)


@pytest.mark.jax
def test_predict_is_that_of_a_model_without_them_and_then_as_before():
    model = model_of()
    without = numpy_of(keep_experts(model, KEPT)(ROWS))
    before = predict(model)
    with experts_in_service(model, MASK):
        assert_close(predict(model), without)
        assert_close(model(ROWS), without)
        with experts_in_service(model, [True] * 4):
            assert_close(predict(model), before)
        assert_close(predict(model), without)
    assert not np.allclose(before, without, atol=1e-3)
    np.testing.assert_array_equal(predict(model), before)


@pytest.mark.parametrize(
    "dispatch",
    [
        "sorted",
        *(
            pytest.param(d, marks=pytest.mark.slow)
            for d in ("dense", "capacity")
        ),
    ],
)
def test_an_expert_that_is_out_of_service_learns_nothing(dispatch):
    model = model_of(
        dispatch=dispatch, capacity_factor=2.0, eval_capacity_factor=2.0
    )
    labels = draw(6, 2, seed=1)
    model.fit(ROWS, labels, verbose=0)
    small = keep_experts(model, KEPT)
    small.compile(loss="mse")
    bank = model.get_layer("moe").experts[0]
    start = [numpy_of(weight) for weight in bank.weights]
    with experts_in_service(model, MASK):
        loss = model.evaluate(ROWS, labels, verbose=0)
        model.fit(ROWS, labels, verbose=0)
    assert loss == pytest.approx(
        small.evaluate(ROWS, labels, verbose=0), rel=1e-5
    )
    for weight, old in zip(bank.weights, start, strict=True):
        moved = np.abs(numpy_of(weight) - old).reshape(4, -1).max(axis=1)
        assert moved[1] == 0
        assert moved.max() > 0
    model.fit(ROWS, labels, verbose=0)
    assert np.any(numpy_of(bank.weights[0])[1] != start[0][1])


def test_a_mask_can_be_an_input_with_a_row_of_its_own_for_each_sample():
    symbols, serving = keras.Input((5,)), keras.Input((4,), dtype="bool")
    layer = mixture()
    outputs = layer(symbols, expert_mask=serving)
    model = randomize(keras.Model([symbols, serving], outputs))
    model.compile("sgd", "mse")
    masks = np.stack([MASK, [True] * 4, ~MASK] * 2)
    found = predict(model, [ROWS, masks])
    for row, mask, result in zip(ROWS, masks, found, strict=True):
        expected = layer(row[None], expert_mask=mask)
        assert_close(result[None], numpy_of(expected))
    model.fit([ROWS, masks], draw(6, 3, seed=1), verbose=0)


def test_mixtures_by_name_in_blocks_and_beside_each_other():
    symbols = keras.Input((3, 5))
    block = MoEFeedForward(4, 6, top_k=1, name="block")
    x = mixture("first")(block(symbols))
    x = mixture("second")(x)
    model = randomize(keras.Model(symbols, x))
    rows = draw(2, 3, 5)
    middle = block(rows, expert_mask=MASK)
    middle = model.get_layer("first")(middle)
    others = np.array([True, True, False, False])
    expected = model.get_layer("second")(middle, expert_mask=others)
    masks = {"block_mixture": MASK, "second": others}
    with experts_in_service(model, masks):
        assert_close(model(rows), numpy_of(expected))


@only_tensorflow
@pytest.mark.slow
def test_an_export_leaves_them_out(tmp_path):
    import tensorflow as tf

    model = model_of()
    predict(model)
    with experts_in_service(model, MASK):
        expected = predict(model)
        model.export(str(tmp_path), verbose=False)
    served = tf.saved_model.load(str(tmp_path))
    assert_close(numpy_of(served.serve(ROWS)), expected)


def plain_gate():
    gate = keras.layers.Dense(4, "softmax")
    symbols = keras.Input((5,))
    layer = MixtureOfExperts(DenseExpert(3, 4), gate, name="plain")
    return keras.Model(symbols, layer(symbols))


@pytest.mark.parametrize(
    ("make", "mask", "message"),
    [
        (model_of, [True] * 3, "`expert_mask` must be one bool for each expert "
         "of 'moe', not all of them False. Received: expert_mask=[True, True, "
         "True], num_experts=4"),
        (model_of, [False] * 4, "not all of them False"),
        (model_of, [1, 0, 1, 1], "must be one bool for each"),
        (model_of, {"mow": MASK}, "`expert_mask` must name mixtures of the "
         "model. Received: expert_mask=['mow'], mixtures=['moe']"),
        (lambda: keras.Sequential([keras.Input((5,)), keras.layers.Dense(2)]),
         MASK, "unless the model has exactly one mixture. Received: "
         "mixtures=[]"),
        (plain_gate, MASK, "the gate of 'plain' knows no `expert_mask`"),
    ],
)  # fmt: skip
def test_errors_name_the_mixture(make, mask, message):
    with pytest.raises(ValueError, match=r"^experts_in_service: ") as error:
        with experts_in_service(make(), mask):
            pass
    assert message in str(error.value)


def test_an_error_inside_ends_it_too():
    model = model_of()
    before = predict(model)
    with pytest.raises(RuntimeError), experts_in_service(model, MASK):
        raise RuntimeError
    np.testing.assert_array_equal(predict(model), before)
