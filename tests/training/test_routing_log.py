"""Routing figures: right, in the log, and written in training only."""

import math

import keras
import numpy as np
import pytest

from moe_keras.layers import DenseExpert, GatingLayer, MixtureOfExperts
from moe_keras.layers.routing_stats import MOMENTUM
from moe_keras.training import RoutingLog
from tests.tools import BACKEND, numpy_of

FIGURES = ("max_load", "dead", "entropy", "dropped")


def build(top_k=2, **arguments):
    inputs = keras.Input((4,))
    moe = MixtureOfExperts(
        DenseExpert(3, 4), GatingLayer(4, top_k=top_k), name="moe", **arguments
    )
    model = keras.Model(inputs, moe(inputs))
    model.compile("sgd", "mse")
    return model, moe


def draw(*shape):
    return np.random.default_rng(0).normal(size=shape).astype("float32")


def test_the_figures_by_loop():
    _, moe = build()
    gates = np.array(
        [[0.6, 0.4, 0, 0], [1, 0, 0, 0], [0] * 4, [np.nan] * 4], "float32"
    )
    moe.stats.update(keras.ops.convert_to_tensor(gates), 0.25)
    # The row of zeros is padding, the row of NaN is left out.
    load = np.array([2, 1, 0, 0]) / 3
    entropy = -(0.6 * math.log(0.6) + 0.4 * math.log(0.4)) / 2
    mix = 1 - MOMENTUM
    expected = MOMENTUM * 0.25 + mix * load
    np.testing.assert_allclose(numpy_of(moe.stats.load), expected, atol=1e-6)
    figures = {k: float(numpy_of(v)) for k, v in moe.stats.read().items()}
    assert figures["max_load"] == pytest.approx(4 * expected.max(), rel=1e-5)
    assert figures["entropy"] == pytest.approx(mix * entropy, rel=1e-5)
    assert figures["dropped"] == pytest.approx(mix * 0.25, rel=1e-5)
    assert figures["dead"] == 0


@pytest.mark.jax
def test_dead_experts_are_counted():
    _, moe = build()
    gates = np.zeros((5, 4), "float32")
    gates[:, 1] = 1
    for _ in range(30):
        moe.stats.update(keras.ops.convert_to_tensor(gates), None)
    figures = moe.stats.read()
    assert float(numpy_of(figures["dead"])) == 3
    assert float(numpy_of(figures["max_load"])) == pytest.approx(4, rel=0.1)


@pytest.mark.jax
def test_they_show_in_the_log_of_fit():
    model, _ = build()
    callbacks = [RoutingLog()] if BACKEND == "jax" else []
    history = model.fit(
        draw(32, 4), draw(32, 3), epochs=2, verbose=0, callbacks=callbacks
    ).history
    for figure in FIGURES:
        assert len(history[f"moe_{figure}"]) == 2
    assert history["moe_max_load"][0] >= 1
    assert 0 < history["moe_entropy"][1] < math.log(2)


def test_the_callback_agrees_with_the_metrics():
    model, moe = build()
    history = model.fit(
        draw(32, 4), draw(32, 3), verbose=0, callbacks=[RoutingLog()]
    ).history
    for figure, value in moe.stats.read().items():
        expected = float(numpy_of(value))
        assert history[f"moe_{figure}"][-1] == pytest.approx(expected, rel=1e-5)


def test_inference_writes_nothing():
    model, moe = build()
    before = [numpy_of(w) for w in moe.non_trainable_weights]
    model.predict(draw(8, 4), verbose=0)
    model.evaluate(draw(8, 4), draw(8, 3), verbose=0)
    for old, new in zip(before, moe.non_trainable_weights, strict=True):
        np.testing.assert_array_equal(old, numpy_of(new))


def test_evaluate_returns_what_was_compiled():
    inputs = keras.Input((4,))
    moe = MixtureOfExperts(DenseExpert(3, 4), GatingLayer(4, top_k=2))
    model = keras.Model(inputs, moe(inputs))
    model.compile("sgd", "mse", metrics=["mae"])
    data = draw(8, 4), draw(8, 3)
    history = model.fit(*data, validation_data=data, epochs=2, verbose=0)
    assert not [name for name in history.history if "val_moe" in name]
    assert len(model.evaluate(*data, verbose=0)) == 2


def test_a_dense_mixture_has_no_figures():
    model, moe = build(top_k=None)
    assert moe.stats is None
    history = model.fit(draw(8, 4), draw(8, 3), verbose=0).history
    assert set(history) == {"loss"}


def test_too_many_drops_end_the_training():
    model, _ = build(top_k=1, dispatch="capacity", capacity_factor=0.25)
    with pytest.raises(ValueError, match="moe dropped more choices"):
        model.fit(
            draw(32, 4),
            draw(32, 3),
            verbose=0,
            callbacks=[RoutingLog(max_dropped=0.0)],
        )
