"""The temperature that fits, on logits whose temperature is known."""

import math
from types import SimpleNamespace

import keras
import numpy as np
import pytest

from moe_keras.data.split import Split
from moe_keras.layers import TemperatureScaling
from moe_keras.training import calibrate, fit_temperature
from tests.tools import draw, numpy_of

TRUE = 2.5


def scaled_model(from_logits=False):
    """What goes in comes out as probabilities, or as logits."""
    inputs = keras.Input((4,))
    x = TemperatureScaling(name="temperature")(inputs)
    return keras.Model(inputs, x if from_logits else keras.layers.Softmax()(x))


def drawn(rows=4000, seed=0):
    """Logits, and labels drawn from softmax(logits / TRUE)."""
    logits = 3 * draw(rows, 4, seed=seed)
    noise = np.random.default_rng([seed, 1]).gumbel(size=logits.shape)
    return logits, np.argmax(logits / TRUE + noise, axis=-1).astype("int32")


def log_loss(logits, labels, temperature, weights=None):
    scaled = logits.astype("float64") / temperature
    losses = [
        math.log(np.exp(row).sum()) - row[label]
        for row, label in zip(scaled, labels, strict=True)
    ]
    return np.average(losses, weights=weights)


@pytest.mark.parametrize("from_logits", [False, True])
@pytest.mark.jax
def test_it_finds_the_temperature(from_logits):
    logits, labels = drawn()
    model = scaled_model(from_logits)
    before = np.argmax(model.predict(logits, verbose=0), axis=-1)
    found = fit_temperature(model, (logits, labels))
    # Over 20 seeds of the data its standard deviation is 0.06.
    assert found == pytest.approx(TRUE, abs=0.2)
    layer = model.get_layer("temperature")
    assert float(numpy_of(layer.scale)) == found
    after = np.argmax(model.predict(logits, verbose=0), axis=-1)
    np.testing.assert_array_equal(before, after)
    # Nothing near it is better, of the log-loss in plain loops.
    values = [log_loss(logits, labels, found * f) for f in (1, 0.99, 1.01)]
    assert values[0] == min(values)


def test_weights_splits_and_batches():
    logits, labels = drawn(300)
    weights = np.random.default_rng(0).uniform(0, 2, 300).astype("float32")
    plain = fit_temperature(scaled_model(), (logits, labels))
    assert fit_temperature(scaled_model(), Split(logits, labels)) == plain
    batches = [
        (logits[i : i + 70], labels[i : i + 70, None])
        for i in range(0, 300, 70)
    ]
    found = fit_temperature(scaled_model(), batches)
    assert found == pytest.approx(plain, rel=1e-4)
    found = fit_temperature(scaled_model(), (logits, labels, weights))
    assert found != pytest.approx(plain, rel=1e-4)
    values = [
        log_loss(logits, labels, found * f, weights) for f in (1, 0.99, 1.01)
    ]
    assert values[0] == min(values)


def test_it_is_what_counts_not_where_it_started():
    logits, labels = drawn(300)
    model = scaled_model()
    first = fit_temperature(model, (logits, labels))
    assert fit_temperature(model, (logits, labels)) == pytest.approx(first)
    sequential = keras.Sequential(
        [keras.Input((4,)), TemperatureScaling(30.0), keras.layers.Softmax()]
    )
    found = fit_temperature(sequential, (logits, labels))
    assert found == pytest.approx(first)


# Of Keras on NumPy, which `pytest.warns` would give out anew.
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("right", [True, False])
def test_no_minimum_is_a_warning(right):
    logits, _ = drawn(50)
    pick = np.argmax if right else np.argmin
    with pytest.warns(UserWarning, match="no minimum"):
        found = fit_temperature(scaled_model(), (logits, pick(logits, -1)))
    assert found == pytest.approx(0.01 if right else 100, rel=1e-3)


def test_refused():
    logits, labels = drawn(10)
    for layers in (
        [],
        [TemperatureScaling(), TemperatureScaling()],
    ):
        model = keras.Sequential(
            [keras.Input((4,)), *layers, keras.layers.Softmax()]
        )
        with pytest.raises(ValueError, match="one TemperatureScaling"):
            fit_temperature(model, (logits, labels))
    for wrong in (labels[:5], labels + 4, labels + 0.5):
        with pytest.raises(ValueError, match="a class number for each row"):
            fit_temperature(scaled_model(), (logits, wrong))


def test_labels_of_one_class_are_told(monkeypatch):
    told = []
    warn = SimpleNamespace(warn=lambda text, **_: told.append(text))
    monkeypatch.setattr(calibrate, "warnings", warn)
    logits, labels = drawn(40)
    fit_temperature(scaled_model(), (logits, labels))
    assert told == []
    fit_temperature(scaled_model(), (logits, np.full(40, 2)))
    text = "fit_temperature: all labels are of one class, 2: what is fitted"
    assert told[0].startswith(text)
