"""Experts without their gate, beside plain NumPy and scikit-learn."""

import keras
import numpy as np
import pytest
from scipy.special import expit, log_softmax, softmax
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold

from moe_keras.data import Split
from moe_keras.layers import (
    DenseExpert,
    GatingLayer,
    LogitFusion,
    MixtureOfExperts,
    WeightedFusion,
)
from moe_keras.runner import train_recipe
from moe_keras.runner.recombined import ask_experts, recombine
from moe_keras.training import Recipe
from tests.training.recipes import small

GRID = np.exp(np.linspace(-4, 4, 1_001))


def network(pool="logarithmic", fusion=None):
    """Two banks, of three experts in all, whose logits differ in scale."""
    inputs = keras.Input((3,))
    banks = [
        DenseExpert(2, 2, activation=None, name="pair"),
        DenseExpert(2, 1, activation=None, name="lone"),
    ]
    x = MixtureOfExperts(
        banks, GatingLayer(3), fusion or LogitFusion(pool), name="moe"
    )(inputs)
    model = keras.Model(inputs, keras.layers.Softmax()(x))
    rng = np.random.default_rng(0)
    for weight in model.get_layer("moe").weights:
        weight.assign(rng.normal(size=weight.shape))
    for bank, scale in zip(model.get_layer("moe").experts, (3, 2), strict=True):
        # Each knows something of the labels, and is surer than it may be.
        bank.weights[0].assign_add(
            scale * np.array([[[-1, 1], [0, 0], [0, 0]]])
        )
    return model


def rows(count, seed):
    rng = np.random.default_rng(seed)
    inputs = rng.normal(size=(count, 3)).astype("float32")
    labels = (rng.random(count) < expit(inputs[:, 0])).astype(int)
    return Split(inputs, labels)


HELD_OUT, OTHERS = rows(300, 1), rows(100, 2)


def logits_of(model, split):
    """`(N, 3, 2)`, by the kernels."""
    parts = []
    for bank in model.get_layer("moe").experts:
        kernel, bias = (keras.ops.convert_to_numpy(w) for w in bank.weights)
        parts.append(np.einsum("nd,edu->neu", split.inputs, kernel) + bias)
    return np.concatenate(parts, axis=1)


def with_best_temperature(given, wanted):
    losses = [
        -log_softmax(given / t, axis=-1)[
            np.arange(len(given)), HELD_OUT.labels
        ].mean()
        for t in GRID
    ]
    return softmax(wanted / GRID[np.argmin(losses)], axis=-1)


def found(how, model, split=OTHERS):
    held_out = ask_experts(model, HELD_OUT)
    asked = held_out if split is HELD_OUT else ask_experts(model, split)
    return recombine(how, held_out, asked)


@pytest.mark.parametrize(
    ("name", "place"), [("pair 0", 0), ("pair 1", 1), ("lone", 2)]
)
def test_an_expert_alone(name, place):
    model = network()
    given, wanted = (logits_of(model, s)[:, place] for s in (HELD_OUT, OTHERS))
    expected = with_best_temperature(given, wanted)
    np.testing.assert_allclose(found(name, model), expected, atol=2e-3)


@pytest.mark.parametrize("how", ["pair", ["pair 1", "pair"]])
def test_a_bank_alone(how):
    model = network()
    given, wanted = (
        logits_of(model, s)[:, :2].mean(axis=1) for s in (HELD_OUT, OTHERS)
    )
    expected = with_best_temperature(given, wanted)
    np.testing.assert_allclose(found(how, model), expected, atol=2e-3)


@pytest.mark.parametrize("pool", ["logarithmic", "linear"])
def test_equal_weights(pool):
    model = network(pool)
    given, wanted = (logits_of(model, s) for s in (HELD_OUT, OTHERS))
    if pool == "logarithmic":
        given, wanted = given.mean(axis=1), wanted.mean(axis=1)
    else:
        given, wanted = (
            np.log(softmax(logits, axis=-1).mean(axis=1))
            for logits in (given, wanted)
        )
    expected = with_best_temperature(given, wanted)
    np.testing.assert_allclose(found("uniform", model), expected, atol=2e-3)


def margins(model, split):
    logits = logits_of(model, split)
    return logits[..., 1] - logits[..., 0]


def test_stacking():
    model = network()
    regression = LogisticRegression(max_iter=1000)
    regression.fit(margins(model, HELD_OUT), HELD_OUT.labels)
    expected = regression.predict_proba(margins(model, OTHERS))
    np.testing.assert_allclose(found("stacking", model), expected, atol=1e-4)


def test_stacking_never_predicts_a_row_that_it_learned():
    model = network()
    given = margins(model, HELD_OUT)
    expected = np.empty((len(given), 2))
    folds = StratifiedKFold(10)
    for learn, predict in folds.split(given, HELD_OUT.labels):
        regression = LogisticRegression(max_iter=1000)
        regression.fit(given[learn], HELD_OUT.labels[learn])
        expected[predict] = regression.predict_proba(given[predict])
    np.testing.assert_allclose(
        found("stacking", model, HELD_OUT), expected, atol=1e-3
    )


def test_what_is_refused():
    asked = ask_experts(network(), OTHERS)
    with pytest.raises(ValueError, match=r"pair_7.*\('pair 0', 'pair 1'"):
        recombine("pair_7", asked, asked)
    with pytest.raises(ValueError, match="names of experts or banks"):
        recombine(["lone", ""], asked, asked)
    with pytest.raises(ValueError, match=r"LogitFusion.*WeightedFusion"):
        ask_experts(network(fusion=WeightedFusion()), OTHERS)


def test_a_recipe_does_not_train_it(tmp_path):
    recipe = Recipe.model_validate(
        small(baselines=[{"name": "equal", "recombine": "uniform"}])
    )
    with pytest.raises(ValueError, match="needs no training"):
        train_recipe(recipe, 3, tmp_path, baseline="equal")
