"""IsotonicScaling beside NumPy's lines and scikit-learn's regression."""

import keras
import numpy as np
import pytest
from sklearn.isotonic import IsotonicRegression

from moe_keras.insight import risk_calibration_error, risk_scores
from moe_keras.layers import IsotonicScaling
from moe_keras.training import fit_isotonic
from tests.tools import assert_close, numpy_of

RNG = np.random.default_rng(0)
PLACES = np.array([-2.0, -0.5, 0.0, 1.0])
VALUES = np.array([-1.0, -1.0, 0.5, 4.0])


def logits_of(odds):
    """Logits of these log-odds, with a constant in common."""
    odds = np.asarray(odds)
    return np.stack([3 - odds / 2, 3 + odds / 2], axis=-1).astype("float32")


def curve(layer, odds):
    found = numpy_of(layer(logits_of(odds)))
    assert_close(found[..., 0], np.zeros(np.shape(odds)))
    return found[..., 1]


@pytest.mark.parametrize("max_knots", [4, 5, 256])
def test_lines_between_knots_and_level_ends(max_knots):
    layer = IsotonicScaling(max_knots)
    layer.build((None, 2))
    layer.set_curve(PLACES, VALUES)
    odds = np.linspace(-4, 4, 81).reshape(9, 9)
    assert_close(curve(layer, odds), np.interp(odds, PLACES, VALUES))
    assert_close(curve(layer, PLACES), VALUES)


def test_without_a_curve_odds_stay_as_they_are():
    odds = np.linspace(-3, 3, 7)
    assert_close(curve(IsotonicScaling(), odds), odds)


def test_one_knot_is_a_level_line():
    layer = IsotonicScaling(3)
    layer.build((None, 2))
    layer.set_curve([0.5], [-1.5])
    assert_close(curve(layer, np.linspace(-3, 3, 7)), np.full(7, -1.5))


@pytest.mark.parametrize(
    ("places", "values"),
    [
        ([], []),
        ([0.0, 0.0], [1.0, 2.0]),
        ([0.0, 1.0], [2.0, 1.0]),
        ([0.0, np.nan], [1.0, 2.0]),
        ([0.0, 1.0], [1.0, np.inf]),
        (np.arange(5.0), np.arange(5.0)),
        ([0.0], [1.0, 2.0]),
    ],
)
def test_curves_that_are_none(places, values):
    layer = IsotonicScaling(4)
    layer.build((None, 2))
    with pytest.raises(ValueError, match=r"1 to 4 finite knots.*places="):
        layer.set_curve(places, values)


def test_two_classes_only():
    with pytest.raises(ValueError, match=r"of two classes.*\(None, 3\)"):
        IsotonicScaling().build((None, 3))
    with pytest.raises(ValueError, match="max_knots=1"):
        IsotonicScaling(1)


def model_of(layer):
    inputs = keras.Input((2,))
    return keras.Model(inputs, keras.layers.Softmax()(layer(inputs)))


ODDS = RNG.normal(size=4000) * 2
# The model is far too sure, and not by a common factor.
LABELS = (RNG.random(4000) < 1 / (1 + np.exp(-np.arctan(ODDS)))).astype(int)


def test_it_is_the_regression_of_the_labels():
    model = model_of(IsotonicScaling(4096))
    fit_isotonic(model, (logits_of(ODDS), LABELS))
    found = model.predict(logits_of(ODDS), verbose=0)[:, 1]
    narrow = np.diff(logits_of(ODDS), axis=-1)[:, 0]
    expected = IsotonicRegression().fit_transform(narrow, LABELS)
    least = 1 / 4002
    np.testing.assert_allclose(
        found, np.clip(expected, least, 1 - least), atol=1e-4
    )
    new = RNG.normal(size=4000) * 2
    truth = (RNG.random(4000) < 1 / (1 + np.exp(-np.arctan(new)))).astype(int)
    before = risk_calibration_error(truth, 1 / (1 + np.exp(-new)))
    probabilities = model.predict(logits_of(new), verbose=0)
    assert risk_calibration_error(truth, probabilities) < 0.4 * before
    assert risk_scores(truth, probabilities)["log_loss"] < 0.67


def test_few_knots_are_a_coarser_curve_that_never_falls():
    model = model_of(IsotonicScaling(6))
    fit_isotonic(model, (logits_of(ODDS), LABELS))
    found = model.predict(logits_of(np.sort(ODDS)), verbose=0)[:, 1]
    assert np.diff(found).min() > -1e-6
    fine = IsotonicRegression().fit_transform(
        np.sort(ODDS), LABELS[ODDS.argsort()]
    )
    assert np.abs(found - fine).mean() < 0.1


def test_a_file_keeps_the_curve(tmp_path):
    model = model_of(IsotonicScaling(16))
    fit_isotonic(model, (logits_of(ODDS), LABELS))
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    rows = logits_of(np.linspace(-5, 5, 33))
    np.testing.assert_array_equal(
        loaded.predict(rows, verbose=0), model.predict(rows, verbose=0)
    )


def test_a_model_without_the_layer_is_refused():
    with pytest.raises(ValueError, match=r"fit_isotonic.*one IsotonicScaling"):
        fit_isotonic(model_of(keras.layers.Dense(2)), (ODDS, LABELS))
