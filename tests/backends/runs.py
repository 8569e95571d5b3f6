"""Probes of models: compiled, trained, saved, loaded and exported."""

import math
import tempfile
import warnings
from pathlib import Path

import keras
import numpy as np

from moe_keras.layers import (
    DenseExpert,
    GatingLayer,
    MixtureOfExperts,
    record_gates,
)
from moe_keras.training import RoutingLog
from tests import oracles
from tests.backends.registry import Lacking, add, probe
from tests.differences import check_against
from tests.layers.test_mixture import expected_of
from tests.tools import BACKEND, assert_close, draw, numpy_of, randomize

COMPILED, MODELS = "Compiled", "Models"
FIGURES = ("max_load", "dead", "entropy")
# For each refusal: what its error says, and the reason that the table gives.
TORCH = ("torch.compile", "`torch.compile` takes minutes, and is not tested.")
LOG = ("not in the log", "The callback `RoutingLog` does it, see below.")
XLA = (
    "supports_jit",
    "XLA wants to know the number of an expert's rows in advance.",
)
EXPORT = (
    "needs the TensorFlow backend",
    "Save a .keras file and load it on TensorFlow.",
)


def model_of(dispatch="auto", **kwargs):
    """A mixture of 4 experts on rows of width 4, K = 2, and its layer."""
    inputs = keras.Input((4,))
    moe = MixtureOfExperts(
        DenseExpert(3, 4, activation="tanh"),
        GatingLayer(4, 2, balance_loss=0.0, z_loss=0.0),
        dispatch=dispatch,
        capacity_factor=2.0,
        eval_capacity_factor=2.0,
        name="moe",
    )
    model = randomize(keras.Model(inputs, moe(inputs)))
    with warnings.catch_warnings():
        # That a layer cannot be compiled is what a probe looks for.
        warnings.simplefilter("ignore")
        model.compile(keras.optimizers.SGD(0.1), "mse", **kwargs)
    return model, moe


def check_step(model, moe):
    """`fit` starts at the loss of the loops, and goes down their slope."""
    inputs, wanted = 2 * draw(8, 4), draw(8, 3, seed=1)

    def loss():
        outputs = expected_of(moe, inputs.astype("float64"))
        return float(np.mean((outputs - wanted) ** 2))

    before, slopes = [numpy_of(w) for w in moe.trainable_weights], []
    rng = np.random.default_rng(2)
    for weight, value in zip(moe.trainable_weights, before, strict=True):
        direction, ends, places = rng.normal(size=value.shape), [], []
        for sign in (1, -1):
            weight.assign(value + sign * 1e-4 * direction)
            places.append(numpy_of(weight).astype("float64"))
            ends.append(loss())
        weight.assign(value)
        slopes.append((places[0] - places[1], ends[0] - ends[1]))
    start = loss()
    history = model.fit(inputs, wanted, batch_size=8, verbose=0).history
    assert math.isclose(history["loss"][0], start, rel_tol=1e-4)
    for weight, value, (direction, rise) in zip(
        moe.trainable_weights, before, slopes, strict=True
    ):
        # SGD(0.1): the step is a tenth of the gradient.
        gradient = (value - numpy_of(weight)) / 0.1
        along = np.sum(gradient * direction)
        assert math.isclose(along, rise, rel_tol=5e-3, abs_tol=1e-7)


def _add_compiled(dispatch, refusals=None):
    def run():
        if BACKEND == "torch":
            raise Lacking("torch.compile")
        model, moe = model_of(dispatch, jit_compile=True)
        if not model.jit_compile:
            raise Lacking("supports_jit")
        check_step(model, moe)

    refusals = {"torch": TORCH, **(refusals or {})}
    add(COMPILED, f"{dispatch}, jit_compile=True", run, refusals)


_add_compiled("dense")
_add_compiled("gather")
_add_compiled("capacity")
_add_compiled("sorted", {"tensorflow": XLA})


@probe(MODELS, "compile and fit, by default")
def fits():
    model, moe = model_of()
    inputs = 2 * draw(5, 4)
    found = model.predict(inputs, verbose=0)
    assert_close(found, expected_of(moe, inputs), atol=2e-5, rtol=2e-5)
    check_step(model, moe)


def _figures(callbacks):
    model, _ = model_of()
    history = model.fit(
        draw(8, 4), draw(8, 3), epochs=2, verbose=0, callbacks=callbacks
    ).history
    missing = [f for f in FIGURES if f"moe_{f}" not in history]
    if missing:
        raise Lacking(f"{missing} not in the log")
    # Top-2: the entropy of a row's gates is below ln 2.
    assert 0 < history["moe_entropy"][1] < math.log(2)
    assert 1 <= history["moe_max_load"][1] <= 4


@probe(MODELS, "routing figures in the log of fit", {"jax": LOG})
def figures():
    _figures([])


@probe(MODELS, "routing figures by the callback RoutingLog")
def figures_by_callback():
    _figures([RoutingLog()])


@probe(MODELS, "record_gates")
def recorded():
    model, moe = model_of()
    inputs = 2 * draw(8, 4)
    with record_gates() as record:
        model(inputs)
    (gates,) = map(numpy_of, record.values())
    expected = oracles.softmax_gates(inputs @ numpy_of(moe.gate.kernel), 2)
    assert_close(gates, expected)


@probe(MODELS, "a .keras file, saved and loaded")
def saved():
    model, _ = model_of()
    inputs = 2 * draw(8, 4)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.keras"
        model.save(path)
        loaded = keras.saving.load_model(path)
    expected = numpy_of(model(inputs))
    np.testing.assert_array_equal(numpy_of(loaded(inputs)), expected)
    moe = loaded.get_layer("moe")
    check_against(moe, inputs, lambda rows: expected_of(moe, rows))


@probe(MODELS, "export_saved_model", {"jax": EXPORT, "torch": EXPORT})
def exported():
    from moe_keras.export import export_saved_model

    model, moe = model_of()
    inputs = 2 * draw(8, 4)
    with tempfile.TemporaryDirectory() as folder:
        export_saved_model(model, folder)
        import tensorflow as tf

        artefact = tf.saved_model.load(folder)
        serve = artefact.signatures["serving_default"]
        name = model.inputs[0].name
        found = serve(**{name: tf.constant(inputs)})["outputs"]
    assert_close(numpy_of(found), expected_of(moe, inputs))
