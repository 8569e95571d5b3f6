"""Probabilities under other class shares."""

import keras
import numpy as np
import pytest

from moe_keras.layers import PriorCorrection
from moe_keras.ops.cost import count_multiply_adds
from moe_keras.zoo.presets.architecture import (
    pack_architecture,
    unpack_architecture,
)
from tests.differences import check_differences
from tests.tools import BACKEND, assert_close, draw, numpy_of

TRAINED, SERVED = [0.5, 0.3, 0.2], [0.1, 0.2, 0.7]


def corrected(logits, trained, served):
    """Bayes' rule, row by row and class by class."""
    rows = []
    for row in np.asarray(logits, "float64"):
        chances = np.exp(row) / np.exp(row).sum()
        joint = [
            chance * new / old
            for chance, new, old in zip(chances, served, trained, strict=True)
        ]
        rows.append([one / sum(joint) for one in joint])
    return np.asarray(rows)


@pytest.mark.jax
def test_it_is_bayes_rule():
    logits = 3 * draw(6, 3)
    found = numpy_of(PriorCorrection(TRAINED, SERVED)(logits))
    assert_close(np.exp(found), corrected(logits, TRAINED, SERVED))
    assert_close(np.exp(found).sum(axis=-1), np.ones(6))


def test_of_two_classes_it_is_elkans_formula():
    base, new = 0.4, 0.07
    chances = np.linspace(0.01, 0.99, 9)
    logits = np.log(np.stack([1 - chances, chances], axis=1))
    layer = PriorCorrection([1 - base, base], [1 - new, new])
    expected = (
        new
        * (chances - chances * base)
        / (base - chances * base + new * chances - base * new)
    )
    assert_close(np.exp(numpy_of(layer(logits)))[:, 1], expected)


def test_true_chances_stay_true_under_other_shares():
    """Two normal classes, whose chances are known under any shares."""
    places = np.linspace(-3, 3, 7)

    def logits(share):
        odds = 2 * places + np.log(share / (1 - share))
        return np.stack([np.zeros(7), odds], axis=1)

    layer = PriorCorrection([0.5, 0.5], [0.98, 0.02])
    expected = 1 / (1 + np.exp(-logits(0.02)[:, 1]))
    assert_close(np.exp(numpy_of(layer(logits(0.5))))[:, 1], expected)


def test_in_training_and_without_a_prior_it_moves_nothing():
    logits = draw(6, 3)
    plain = np.log(corrected(logits, TRAINED, TRAINED))
    layer = PriorCorrection(TRAINED, SERVED)
    assert_close(layer(logits, training=True), plain)
    assert_close(PriorCorrection(TRAINED)(logits), plain)
    assert not layer.trainable_weights


def test_shares_can_be_set_and_are_saved(tmp_path):
    model = keras.Sequential([keras.Input((3,)), PriorCorrection(TRAINED)])
    model.layers[0].set_prior(SERVED)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    logits = draw(4, 3)
    assert_close(
        np.exp(numpy_of(loaded(logits))), corrected(logits, TRAINED, SERVED)
    )
    assert count_multiply_adds(model).total == 0
    content = pack_architecture(model, "test")
    again = unpack_architecture(content, "model.json", "test")
    assert again.layers[0].train_prior == TRAINED


def test_gradient_is_the_finite_difference(float64):
    if BACKEND == "jax":
        pytest.skip("shares are float32 weights")
    layer = PriorCorrection(TRAINED, SERVED)
    check_differences(layer, draw(4, 3, dtype="float64"))


@pytest.mark.parametrize(
    "shares", [[0.5, 0.6], [1.0], [1.0, 0.0], [0.5, float("nan")], "ab", None]
)
def test_it_refuses_what_are_no_shares(shares):
    with pytest.raises(
        ValueError, match=r"shares of two or more.*train_prior="
    ):
        PriorCorrection(shares)


def test_it_refuses_another_number_of_classes():
    with pytest.raises(ValueError, match=r"shares of 3 classes.*prior="):
        PriorCorrection(TRAINED, [0.5, 0.5])
    with pytest.raises(ValueError, match=r"shares of 3 classes.*prior="):
        PriorCorrection(TRAINED).set_prior([0.5, 0.5])
    with pytest.raises(ValueError, match=r"one for each class.*input_shape="):
        PriorCorrection(TRAINED)(draw(4, 2))
    with pytest.raises(ValueError, match="float dtype"):
        PriorCorrection(TRAINED)(np.zeros((4, 3), "int32"))
