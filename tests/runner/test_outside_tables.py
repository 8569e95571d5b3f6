"""Models of tables that a mixture is compared with."""

from importlib.util import find_spec

import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import RandomForestClassifier
from sklearn.metrics import log_loss, roc_auc_score
from sklearn.model_selection import StratifiedShuffleSplit

from moe_keras.data import Split, load_dataset
from moe_keras.runner.outside import fit_outside
from moe_keras.runner.outside_tables import BOOSTED, MEAN, TABLES

DATA = load_dataset("synthetic_credit", size=1_500, test_size=600)
PACKAGES = {name: name for name in BOOSTED} | {
    MEAN: "catboost",
    "tabm": "tabm",
}


@pytest.mark.parametrize("name", TABLES)
def test_it_learns_and_gives_probabilities(name):
    if name in PACKAGES:
        pytest.importorskip(PACKAGES[name])
    predict, _ = fit_outside(name, DATA.train)
    found = predict(DATA.test.inputs)
    assert found.shape == (600, 2)
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-6)
    best = roc_auc_score(DATA.test.labels, DATA.test.probability)
    assert 0.6 < roc_auc_score(DATA.test.labels, found[:, 1]) < best + 0.03
    alone = predict({k: v[:1] for k, v in DATA.test.inputs.items()})
    np.testing.assert_allclose(alone, found[:1], atol=1e-6)
    again, _ = fit_outside(name, DATA.train)
    np.testing.assert_allclose(again(DATA.test.inputs), found, atol=1e-6)


def test_the_best_of_three_settings_is_fitted_to_all_rows():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 3))
    y = (x[:, 0] + rng.normal(size=200) > 0).astype(int)
    split = Split({name: x[:, i] for i, name in enumerate("abc")}, y)
    predict, _ = fit_outside("random_forest", split)
    cut = StratifiedShuffleSplit(1, test_size=0.15, random_state=0)
    ((learned, held_out),) = cut.split(x, y)

    def forest(leaf, rows):
        model = RandomForestClassifier(
            500, min_samples_leaf=leaf, random_state=0
        )
        return model.fit(x[rows], y[rows])

    losses = {
        leaf: log_loss(
            y[held_out], forest(leaf, learned).predict_proba(x[held_out])
        )
        for leaf in (1, 5, 20)
    }
    best = forest(min(losses, key=losses.get), slice(None))
    np.testing.assert_allclose(predict(split.inputs), best.predict_proba(x))


def test_texts_are_no_table():
    texts = Split(np.array(["a", "b"], dtype=object), np.array([0, 1]))
    with pytest.raises(ValueError, match="random_forest reads tables"):
        fit_outside("random_forest", texts)
    with pytest.raises(ValueError, match="nb_svm reads texts"):
        fit_outside("nb_svm", Split({"a": np.zeros(2)}, np.array([0, 1])))


def test_what_is_missing_or_new_is_read():
    table = {
        "n": np.array([1.0, np.nan, 3, 4] * 20),
        "t": np.array(["a", "", "b", "a"] * 20, dtype=object),
    }
    split = Split(table, np.array([0, 1, 1, 0] * 20))
    for name in ("logistic_bins", "random_forest", "tabm"):
        if name in PACKAGES and find_spec(PACKAGES[name]) is None:
            continue
        predict, _ = fit_outside(name, split)
        frame = pd.DataFrame({"n": [np.nan], "t": ["new"]})
        said = predict({k: frame[k].to_numpy() for k in frame})
        assert np.isfinite(said).all()
