"""The classifier beside the functions that it stands for."""

import inspect
import pickle
import random

import keras
import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.compose import make_column_transformer
from sklearn.ensemble import (
    ExtraTreesClassifier,
    HistGradientBoostingClassifier,
)
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils import check_random_state

from moe_keras.estimators import MoEClassifier, moe_classifier
from moe_keras.schema import RiskSchema, infer_schema
from moe_keras.training import RiskPlan, fit_risk_moe
from tests.loans import TARGET, make_loans
from tests.tools import only_tensorflow

pytestmark = only_tensorflow

COUNT = 240
LOANS = make_loans(COUNT, latest=9)
RISK = LOANS.pop("risk").to_numpy()
LOANS.loc[::9, "income"] = np.nan
LOANS.loc[::11, "home"] = None
TREES = [
    HistGradientBoostingClassifier(max_iter=5, max_leaf_nodes=4),
    ExtraTreesClassifier(5, max_depth=3),
]
QUICK = {"experts": {}, "forests": TREES, "folds": 2, "gate_epochs": 0}
SIGNED = RiskSchema.model_validate(
    {
        "target": TARGET,
        "numeric": [{"name": "income"}, {"name": "late", "monotone": 1}],
        "categorical": [{"name": "home", "levels": ["own", "rent"]}],
    }
)


def trees(**options):
    return MoEClassifier(**{**QUICK, "random_state": 0, **options})


@pytest.fixture(scope="module")
def fitted():
    return trees().fit(LOANS, RISK)


def test_it_is_fit_risk_moe(fitted):
    seed = check_random_state(0).randint(2**31 - 1)
    schema = infer_schema(LOANS, target=None)
    codes = (RISK == "good").astype(int)
    plan = RiskPlan(experts={}, forests=TREES, folds=2, gate_epochs=0)
    expected = fit_risk_moe(schema, LOANS, codes, plan, seed=seed)
    found = fitted.predict_proba(LOANS)
    np.testing.assert_allclose(
        found,
        expected.model.predict(schema.check(LOANS), verbose=0),
        atol=1e-6,
    )
    np.testing.assert_allclose(
        fitted.out_of_fold_, expected.probabilities, atol=1e-6
    )
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-12)
    assert fitted.schema_ == schema
    assert fitted.classes_.tolist() == ["bad", "good"]
    assert fitted.feature_names_in_.tolist() == list(LOANS)
    assert fitted.n_features_in_ == 3
    assert np.mean(fitted.predict(LOANS) == RISK) > 0.7
    expected_class = np.where(found[:, 0] > found[:, 1], "bad", "good")
    np.testing.assert_array_equal(fitted.predict(LOANS), expected_class)


def test_pickle_and_saved_model(fitted, tmp_path):
    found = fitted.predict_proba(LOANS)
    again = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_array_equal(again.predict_proba(LOANS), found)
    assert again.out_of_fold_.shape == (COUNT, 2)
    import tensorflow as tf

    artefact = tf.saved_model.load(str(fitted.export(tmp_path / "served")))
    served = artefact.signatures["serving_default"](
        income=tf.constant(LOANS["income"], tf.float32),
        late=tf.constant(LOANS["late"], tf.float32),
        home=tf.constant(LOANS["home"].fillna("").to_list()),
    )
    np.testing.assert_allclose(served["outputs"], found, atol=1e-5)


def test_a_pickle_with_code_in_its_model_is_refused(fitted, tmp_path):
    inputs = keras.Input((1,))
    model = keras.Model(inputs, keras.layers.Lambda(lambda x: x + 1)(inputs))
    state = fitted.__getstate__()
    assert isinstance(state["model_"], bytes)
    model.save(tmp_path / "model.keras")
    state["model_"] = (tmp_path / "model.keras").read_bytes()
    with pytest.raises(ValueError, match="lambda"):
        MoEClassifier().__setstate__(state)


def test_the_bad_value_is_what_monotone_columns_raise(tmp_path):
    SIGNED.to_yaml(tmp_path / "schema.yaml")
    model = trees(
        schema=tmp_path / "schema.yaml", forests=TREES[:1], experts={}
    ).fit(LOANS, RISK)
    assert model.schema_ == SIGNED
    assert model.model_classes_.tolist() == ["good", "bad"]
    assert model.classes_.tolist() == ["bad", "good"]
    grid = pd.DataFrame(
        {"income": 9.0, "late": np.arange(-1, 12.0), "home": "own"}
    )
    bad = model.predict_proba(grid)[:, 0]
    assert np.diff(bad).min() > -1e-6
    assert bad[-1] > bad[0] + 0.1
    found = model.model_.predict(SIGNED.check(grid), verbose=0)[:, 1]
    np.testing.assert_allclose(bad, found, atol=1e-6)
    right = np.where(RISK == "bad", 0, 1)
    own = model.out_of_fold_[np.arange(COUNT), right]
    assert own.mean() > 0.6


def test_other_labels_than_the_schema_knows():
    with pytest.raises(ValueError, match=r"calls bad\. Received: bad='bad'"):
        trees(schema=SIGNED).fit(LOANS, RISK == "bad")


def test_forests_by_default():
    plan = MoEClassifier()._plan(infer_schema(LOANS, None))
    kinds = [type(forest) for forest in plan.forests]
    assert kinds == [HistGradientBoostingClassifier, ExtraTreesClassifier]
    (only,) = MoEClassifier()._plan(SIGNED).forests
    assert isinstance(only, HistGradientBoostingClassifier)


@pytest.mark.parametrize(
    ("labels", "kind"),
    [
        (np.arange(COUNT) % 3 - 1, "i"),
        (np.arange(COUNT) % 2 == 0, "b"),
        ((np.arange(COUNT) % 2).astype(object), "i"),
        (pd.Series(RISK, dtype="category"), "OUT"),
        ((np.arange(COUNT) % 2).tolist(), "i"),
    ],
    ids=["three", "booleans", "objects", "category", "list"],
)
def test_labels_of_any_type(labels, kind):
    model = trees(forests=TREES[1:]).fit(LOANS, labels)
    assert model.classes_.tolist() == sorted(set(labels))
    assert model.classes_.dtype.kind in kind
    assert set(model.predict(LOANS)) <= set(labels)
    assert model.predict_proba(LOANS).shape == (COUNT, len(set(labels)))


def test_columns_of_arrays_have_names_by_place():
    rows = LOANS[["income", "late"]].to_numpy()
    model = trees(forests=TREES[:1]).fit(rows, RISK)
    assert not hasattr(model, "feature_names_in_")
    assert [one.name for one in model.schema_.numeric] == ["x0", "x1"]
    found = model.predict_proba(rows)
    np.testing.assert_array_equal(
        found, model.predict_proba(rows.astype(object))
    )
    frame = LOANS[["income", "late"]]
    with pytest.warns(UserWarning, match="X has feature names"):
        np.testing.assert_array_equal(model.predict_proba(frame), found)


def test_lists_of_numbers_and_texts(fitted):
    mixed = LOANS.to_numpy().tolist()
    model = trees().fit(mixed, RISK)
    assert [one.name for one in model.schema_.categorical] == ["x2"]
    found = model.predict_proba(mixed)
    np.testing.assert_array_equal(found, fitted.predict_proba(LOANS))
    unnamed = LOANS.set_axis(range(3), axis=1)
    np.testing.assert_array_equal(found, model.predict_proba(unnamed))


def test_the_same_state_gives_the_same_and_leaves_generators(fitted):
    python, numpy = random.getstate(), np.random.get_state()[1]  # noqa: NPY002
    numpy = numpy.copy()
    again = trees().fit(LOANS, RISK)
    assert random.getstate() == python
    np.testing.assert_array_equal(np.random.get_state()[1], numpy)  # noqa: NPY002
    np.testing.assert_array_equal(
        again.predict_proba(LOANS), fitted.predict_proba(LOANS)
    )


def test_without_a_state_each_fit_is_another(monkeypatch):
    one, other = (told(monkeypatch, random_state=None) for _ in range(2))
    assert one[:3] == other[:3]
    assert one[3] != other[3]


@pytest.mark.parametrize("verbose", [0, 1])
def test_progress(verbose, capsys):
    trees(verbose=verbose).fit(LOANS, RISK)
    shown = capsys.readouterr()
    if verbose:
        assert "risk mixture" in shown.out
        assert "3/3 steps" in shown.out
    else:
        assert shown == ("", "")


FLIPS = {
    "schema": SIGNED,
    "experts": {"dense": 1},
    "forests": (),
    "folds": 3,
    "epochs": 1,
    "learning_rate": 0.5,
    "weight_decay": 0.5,
    "batch_size": 7,
    "gate_epochs": 1,
    "top_k": np.int64(1),
    "fusion": "linear",
    "bins": 4,
    "calibrate": False,
    "random_state": 3,
    "verbose": 1,
}


def told(monkeypatch, **options):
    """What `fit_risk_moe` is asked for."""
    asked = []

    def stop(schema, table, labels, plan, num_classes, seed, note):
        kinds = [str(forest) for forest in plan.forests]
        rest = {**vars(plan), "forests": kinds}
        asked.append((schema, rest, labels.tolist(), seed, note is None))
        raise InterruptedError

    monkeypatch.setattr(moe_classifier, "fit_risk_moe", stop)
    with pytest.raises(InterruptedError):
        MoEClassifier(**{"random_state": 0, **options}).fit(LOANS, RISK)
    return asked[0]


@pytest.mark.parametrize("name", FLIPS)
def test_every_argument_is_handed_on(name, monkeypatch):
    usual = told(monkeypatch)
    assert usual == told(monkeypatch)
    assert usual != told(monkeypatch, **{name: FLIPS[name]})


def test_every_argument_is_described():
    names = list(inspect.signature(MoEClassifier).parameters)
    assert names == list(FLIPS)
    listed = inspect.getdoc(MoEClassifier).split("Args:")[1]
    listed = listed.split("Attributes:")[0].splitlines()
    found = [
        line.split(":")[0].strip()
        for line in listed
        if line.startswith("    ") and line[4] != " "
    ]
    assert found == names


def test_it_works_in_cross_validation():
    scores = cross_val_score(trees(), LOANS, RISK, cv=2, scoring="roc_auc")
    assert scores.min() > 0.7


@pytest.mark.slow
def test_it_works_in_a_pipeline_in_a_grid(fitted):
    ratio = make_column_transformer(
        (FunctionTransformer(np.log1p), ["late"]),
        remainder="passthrough",
        verbose_feature_names_out=False,
    ).set_output(transform="pandas")
    chain = Pipeline([("log", ratio), ("moe", clone(fitted))])
    grid = {"moe__top_k": np.array([1, 2]), "moe__gate_epochs": [0, 1]}
    search = GridSearchCV(chain, grid, cv=2, error_score="raise")
    search.fit(LOANS, RISK)
    assert search.best_score_ > 0.7
    assert search.predict(LOANS).shape == (COUNT,)
