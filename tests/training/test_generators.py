"""Trainings in threads draw what they would draw alone."""

import random
import time
from concurrent.futures import ThreadPoolExecutor

import joblib
import keras
import numpy as np
import pytest
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.model_selection import cross_val_score
from sklearn.tree import DecisionTreeClassifier

from moe_keras.estimators import MoEClassifier
from moe_keras.layers import (
    DenseExpert,
    GatingLayer,
    LogitFusion,
    MixtureOfExperts,
)
from moe_keras.training import fit_gate, fit_stages, risk
from moe_keras.training.stage import Stage
from tests.loans import make_loans
from tests.tools import only_tensorflow

pytestmark = only_tensorflow

LOANS = make_loans(60, latest=9)
RISK = LOANS.pop("risk").to_numpy()
TREES = [
    DecisionTreeClassifier(max_depth=2),
    ExtraTreesClassifier(3, max_depth=2),
]


class Stopped(Exception):
    """A training that has drawn, and needs no more."""


def in_threads(function, *given):
    with ThreadPoolExecutor(len(given)) as pool:
        return list(pool.map(function, given))


def classifier(seed):
    small = {"experts": {}, "forests": TREES, "folds": 2, "gate_epochs": 3}
    return MoEClassifier(**small, random_state=seed)


@pytest.fixture
def drawing(monkeypatch):
    """`fit` draws as its layers would, with pauses, and returns the numbers."""

    def draw(*args):
        found = []
        for _ in range(5):
            time.sleep(0.002)
            found += [
                random.randint(1, 10**9),
                np.random.randint(10**9),  # noqa: NPY002
                keras.initializers.GlorotUniform().seed,
                float(keras.random.uniform(())),
            ]
        raise Stopped(found)

    monkeypatch.setattr(risk, "_fit_experts", draw)

    def fit(seed):
        with pytest.raises(Stopped) as error:
            classifier(seed).fit(LOANS, RISK)
        return error.value.args[0]

    return fit


def test_three_threads_draw_as_one(drawing):
    alone = [drawing(seed) for seed in range(3)]
    assert alone[0] != alone[1]
    assert in_threads(drawing, 0, 1, 2) == alone


def test_the_callers_generators_are_as_they_were(drawing):
    random.seed(7)
    np.random.seed(7)  # noqa: NPY002
    expected = random.random(), np.random.random()  # noqa: NPY002
    random.seed(7)
    np.random.seed(7)  # noqa: NPY002
    in_threads(drawing, 0, 1, 2)
    assert (random.random(), np.random.random()) == expected  # noqa: NPY002


def test_a_seed_from_numpys_generator_is_not_another_threads(drawing):
    def seeded():
        np.random.seed(3)  # noqa: NPY002
        return [drawing(None) for _ in range(3)]

    alone = seeded()
    np.random.seed(3)  # noqa: NPY002
    found = in_threads(drawing, None, None, None)
    # Which thread comes first is open.
    assert sorted(found) == sorted(alone)


def small_model():
    inputs = keras.Input((4,))
    logits = MixtureOfExperts(
        DenseExpert(2, 2, activation=None), GatingLayer(2), LogitFusion()
    )(inputs)
    return keras.Model(inputs, keras.layers.Softmax()(logits))


ROWS = np.random.default_rng(0).normal(size=(32, 4)).astype("float32")
LABELS = (ROWS[:, 0] > 0).astype("int64")


def staged(seed):
    stages = [
        Stage(
            name="one",
            train="experts",
            loss="experts",
            epochs=2,
            learning_rate=0.1,
        )
    ]
    return fit_stages(
        MODELS[seed], (ROWS, LABELS), stages,
        batch_size=4, seed=seed, verbose=0,
    ).history["loss"]  # fmt: skip


def gated(seed):
    logits = np.random.default_rng(1).normal(size=(32, 2, 2))
    return fit_gate(
        MODELS[seed], ROWS, LABELS, logits, epochs=2, learning_rate=0.1,
        batch_size=4, seed=seed,
    ).history["loss"]  # fmt: skip


MODELS = {}


@pytest.mark.slow
@pytest.mark.parametrize("train", [staged, gated])
def test_stages_and_gates_in_threads(train):
    def fresh():
        keras.utils.set_random_seed(0)
        MODELS.update({seed: small_model() for seed in range(3)})

    fresh()
    alone = [train(seed) for seed in range(3)]
    fresh()
    np.testing.assert_allclose(in_threads(train, 0, 1, 2), alone, rtol=1e-5)
    assert np.ptp([one[-1] for one in alone]) > 1e-4


@pytest.mark.slow
def test_three_threads_fit_as_one():
    def fit(seed):
        return classifier(seed).fit(LOANS, RISK).predict_proba(LOANS)

    alone = [fit(seed) for seed in range(3)]
    assert np.abs(alone[0] - alone[1]).max() > 1e-3
    for found, expected in zip(in_threads(fit, 0, 1, 2), alone, strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.slow
def test_cross_validation_in_threads():
    arguments = (classifier(0), LOANS, RISK)
    options = {"cv": 2, "scoring": "neg_log_loss"}
    alone = cross_val_score(*arguments, **options)
    with joblib.parallel_backend("threading", n_jobs=2):
        found = cross_val_score(*arguments, **options, n_jobs=2)
    np.testing.assert_allclose(found, alone, atol=1e-6)
