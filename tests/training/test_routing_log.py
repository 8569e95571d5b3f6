"""Routing figures: right, in the log, and written in training only."""

import math

import keras
import numpy as np
import pytest

from moe_keras.layers import DenseExpert, GatingLayer, MixtureOfExperts
from moe_keras.layers.routing_stats import MOMENTUM
from moe_keras.training import RoutingLog
from tests.tools import BACKEND, numpy_of

FIGURES = ("max_load", "dead", "entropy")


def build(top_k=2, **arguments):
    inputs = keras.Input((4,))
    moe = MixtureOfExperts(
        DenseExpert(3, 4), GatingLayer(4, top_k=top_k), name="moe", **arguments
    )
    model = keras.Model(inputs, moe(inputs))
    model.compile("sgd", "mse")
    return model, moe


def update(moe, gates, dropped=None, **arguments):
    """As a batch of training does."""
    gates = keras.ops.convert_to_tensor(np.asarray(gates, "float32"))
    moe.stats.note(gates, dropped, True, **arguments)


def read(moe):
    return {k: float(numpy_of(v)) for k, v in moe.stats.read().items()}


def callbacks():
    return [RoutingLog()] if BACKEND == "jax" else []


def draw(*shape):
    return np.random.default_rng(0).normal(size=shape).astype("float32")


def test_the_figures_by_loop():
    """Of batches so far, the last one counts most: weights 0.9^age."""
    _, moe = build()
    first = [[0.6, 0.4, 0, 0], [1, 0, 0, 0], [0] * 4, [np.nan] * 4]
    second = [[0, 0.5, 0.5, 0]]
    # The row of zeros is padding, the row of NaN is left out.
    loads = [np.array([2, 1, 0, 0]) / 3, np.array([0, 1, 1, 0]) / 2]
    entropies = [
        -(0.6 * math.log(0.6) + 0.4 * math.log(0.4)) / 2,
        math.log(2),
    ]
    drops = [0.25, 0.75]
    for number, gates in enumerate((first, second), start=1):
        update(moe, gates, drops[number - 1])
        ages = MOMENTUM ** np.arange(number)[::-1]
        load, entropy, dropped = (
            np.average(values[:number], axis=0, weights=ages)
            for values in (loads, entropies, drops)
        )
        assert read(moe) == pytest.approx(
            {
                "max_load": 4 * load.max(),
                "dead": np.sum(4 * load < 0.25),
                "entropy": entropy,
                "dropped": dropped,
            },
            rel=1e-5,
        )


def test_a_batch_of_padding_alone_moves_nothing():
    _, moe = build()
    update(moe, [[0.6, 0.4, 0, 0]])
    before = read(moe)
    update(moe, np.zeros((3, 4)))
    assert read(moe) == pytest.approx(before)


def test_before_the_first_batch_the_load_is_even():
    _, moe = build()
    assert read(moe) == {"max_load": 1, "dead": 0, "entropy": 0}


@pytest.mark.jax
def test_dead_experts_are_counted_from_the_first_batch():
    _, moe = build()
    gates = np.zeros((5, 4))
    gates[:, 1] = 1
    for _ in range(30):
        update(moe, gates)
        figures = read(moe)
        assert figures["dead"] == 3
        assert figures["max_load"] == pytest.approx(4)


@pytest.mark.jax
def test_they_show_in_the_log_of_fit():
    model, moe = build()
    moe.gate.kernel.assign(np.zeros((4, 4)))
    history = model.fit(
        draw(32, 4), draw(32, 3), epochs=2, verbose=0, callbacks=callbacks()
    ).history
    for figure in FIGURES:
        assert len(history[f"moe_{figure}"]) == 2
    assert history["moe_max_load"][0] >= 1
    # Two even gates, from the first batch on.
    np.testing.assert_allclose(history["moe_entropy"], math.log(2), rtol=1e-2)


@pytest.mark.parametrize(
    ("top_k", "dispatch", "figures"),
    [
        (1, "dense", {"max_load", "dead"}),
        (1, "capacity", {"max_load", "dead", "dropped"}),
        (2, "capacity", {"max_load", "dead", "dropped", "entropy"}),
        (2, "auto", {"max_load", "dead", "entropy"}),
    ],
)
def test_what_cannot_move_is_left_out(top_k, dispatch, figures):
    model, moe = build(top_k=top_k, dispatch=dispatch)
    moe(draw(8, 4), training=True)
    assert set(moe.stats.read()) == figures
    del model


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
