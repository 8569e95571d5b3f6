"""Forests that were stopped, cut, continued or saved: as they predict."""

import inspect
import pickle

import joblib
import numpy as np
import pytest
from sklearn.ensemble import (
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
)

from moe_keras.forests import read_forest
from moe_keras.layers import ForestExpert
from tests.forests.fitted import CATEGORY, draw_table, probabilities_of

KINDS = ["q"] * CATEGORY + ["c", "q"]
CLASSES = pytest.mark.parametrize("classes", [2, 3])
# Quick for two classes.
QUICK = pytest.mark.parametrize(
    "classes", [2, pytest.param(3, marks=pytest.mark.slow)]
)


def data(classes, rows=300, seed=0, missing=True):
    return draw_table(classes, rows, missing, seed)


def agrees(model, predict=None, missing=True):
    """Whether the expert's probabilities are the model's."""
    rows, _ = data(2, 200, seed=1, missing=missing)
    expected = (predict or model.predict_proba)(rows)
    found = probabilities_of(ForestExpert.from_model(model), rows)
    assert found.shape == expected.shape
    assert np.std(expected[:, 0]) > 0.01
    return np.max(np.abs(found - expected)) <= 1e-5


# --- XGBoost


def xgb(classes=2, watched=True, callbacks=(), **kwargs):
    """Fitted to few rows, so that it is best long before its last round."""
    library = pytest.importorskip("xgboost")
    options = {"n_estimators": 40, "learning_rate": 0.6, "n_jobs": 1}
    if callbacks:
        kwargs["callbacks"] = [
            library.callback.EarlyStopping(rounds=3, **one) for one in callbacks
        ]
    model = library.XGBClassifier(**{**options, **kwargs})
    evals = [data(classes, 150, seed=2)] if watched else None
    return model.fit(*data(classes), eval_set=evals, verbose=False)


STOPPED = {
    "a callback": {"callbacks": [{}]},
    "a callback that cuts": {"callbacks": [{"save_best": True}]},
    "the constructor": {"early_stopping_rounds": 3},
    "three trees a round": {
        "callbacks": [{}],
        "num_parallel_tree": 3,
        "subsample": 0.7,
    },
    "DART": {"callbacks": [{}], "booster": "dart", "rate_drop": 0.3},
    "levels": {
        "callbacks": [{}],
        "feature_types": KINDS,
        "enable_categorical": True,
        "max_cat_to_onehot": 1,
    },
    "a first score": {"callbacks": [{}], "base_score": 0.2},
}


@pytest.mark.slow
@CLASSES
@pytest.mark.parametrize("options", STOPPED.values(), ids=STOPPED)
def test_xgboost_is_stopped_where_the_booster_says(options, classes):
    model = xgb(classes, **options)
    best, rounds = model.best_iteration, model.n_estimators
    assert 0 < best < rounds - 4
    assert agrees(model)
    forest = read_forest(model)
    per_round = model.get_params()["num_parallel_tree"] or 1
    scores = 1 if classes == 2 else classes
    assert len(forest.trees) == (best + 1) * per_round * scores


def test_a_callback_stops_xgboost_too():
    model = xgb(callbacks=[{}])
    assert 0 < model.best_iteration < 36
    assert agrees(model)


@pytest.mark.slow
def test_what_the_constructor_says_afterwards_is_not_read():
    model = xgb(early_stopping_rounds=3)
    model.set_params(early_stopping_rounds=None)
    assert agrees(model)
    whole = xgb(watched=False)
    whole.set_params(early_stopping_rounds=3)
    assert agrees(whole)
    whole.get_booster().best_iteration = 6
    assert agrees(whole)
    assert len(read_forest(whole).trees) == 7


def test_a_round_that_xgboost_has_not_is_refused():
    model = xgb(watched=False, n_estimators=3)
    model.get_booster().set_attr(best_iteration="30")
    with pytest.raises(ValueError, match=r"best_iteration='30', rounds=3"):
        read_forest(model)


@pytest.mark.slow
@pytest.mark.parametrize("ending", ["json", "ubj"])
def test_xgboost_keeps_its_best_round_in_a_file(ending, tmp_path):
    model = xgb(callbacks=[{}])
    path = tmp_path / f"model.{ending}"
    model.save_model(path)
    again = type(model)()
    again.load_model(path)
    assert agrees(again, model.predict_proba)
    assert agrees(pickle.loads(pickle.dumps(model)), model.predict_proba)


@pytest.mark.slow
@CLASSES
@pytest.mark.parametrize(
    "cut", [slice(0, 5), slice(2, 6), slice(0, 6, 2), slice(3, 4)], ids=str
)
def test_slices_of_xgboost_are_read_as_they_predict(cut, classes, tmp_path):
    model = xgb(classes, early_stopping_rounds=3)
    piece = model.get_booster()[cut]
    piece.save_model(tmp_path / "piece.ubj")
    again = type(model)()
    again.load_model(tmp_path / "piece.ubj")
    assert agrees(again)
    assert agrees(piece, again.predict_proba)


@pytest.mark.slow
def test_a_booster_of_xgboost_predicts_with_all_its_trees():
    library = pytest.importorskip("xgboost")
    booster = xgb(early_stopping_rounds=3).get_booster()

    def predict(rows):
        positive = booster.predict(library.DMatrix(rows))
        return np.stack([1 - positive, positive], axis=1)

    assert agrees(booster, predict)
    assert len(read_forest(booster).trees) > booster.best_iteration + 1


@pytest.mark.slow
@CLASSES
def test_xgboost_that_goes_on_forgets_its_best_round(classes):
    first = xgb(classes, early_stopping_rounds=3)
    library = pytest.importorskip("xgboost")
    model = library.XGBClassifier(n_estimators=2, n_jobs=1)
    model.fit(*data(classes), xgb_model=first.get_booster())
    assert agrees(model)


@QUICK
def test_nodes_that_xgboost_pruned_are_none(classes):
    # They stay in its arrays, without a column.
    model = xgb(
        classes, watched=False, gamma=3, tree_method="exact", max_depth=8
    )
    assert agrees(model)


def test_another_missing_value_of_xgboost_is_refused():
    model = xgb(watched=False, n_estimators=1)
    for missing in (None, 0, -999):
        model.set_params(missing=missing)
        with pytest.raises(ValueError, match=f"NaN.*missing={missing}"):
            read_forest(model)


# --- LightGBM


def lgb(classes=2, stopped=True, **kwargs):
    library = pytest.importorskip("lightgbm")
    options = {"n_estimators": 60, "learning_rate": 0.4, "n_jobs": 1}
    model = library.LGBMClassifier(verbose=-1, **{**options, **kwargs})
    extra = {}
    if stopped:
        stop = library.early_stopping(3, verbose=False)
        extra = {"callbacks": [stop], **watched(model, classes)}
    return model.fit(*data(classes), **extra)


def watched(model, classes):
    """The set to watch, under the name that this version has for it."""
    rows, labels = data(classes, 150, seed=2)
    if "eval_X" in inspect.signature(model.fit).parameters:
        return {"eval_X": (rows,), "eval_y": (labels,)}
    return {"eval_set": [(rows, labels)]}


@pytest.mark.slow
@CLASSES
def test_lightgbm_is_stopped_and_saved(classes, tmp_path):
    library = pytest.importorskip("lightgbm")
    model = lgb(classes)
    booster = model.booster_
    assert 0 < model.best_iteration_ < model.n_estimators - 3
    assert agrees(model)
    assert agrees(pickle.loads(pickle.dumps(model)), model.predict_proba)
    for cut in (
        {},
        {"num_iteration": -1},
        {"num_iteration": 4},
        {"start_iteration": 2, "num_iteration": 3},
    ):
        booster.save_model(tmp_path / "model.txt", **cut)
        again = library.Booster(model_file=tmp_path / "model.txt")
        assert agrees(again, both_classes(again))
        again.best_iteration = 2
        assert agrees(again, both_classes(again))


def both_classes(booster):
    def predict(rows):
        found = booster.predict(rows)
        if found.ndim == 2:
            return found
        return np.stack([1 - found, found], axis=1)

    return predict


@pytest.mark.slow
@CLASSES
def test_a_cut_random_forest_of_lightgbm_averages_what_is_left(classes):
    model = lgb(
        classes, boosting_type="rf", bagging_freq=1, bagging_fraction=0.5
    )
    model.booster_.best_iteration = 3
    assert agrees(model)


@pytest.mark.slow
def test_lightgbm_that_was_changed_by_hand():
    library = pytest.importorskip("lightgbm")
    table = library.Dataset(*data(2), free_raw_data=False)
    options = {"objective": "binary", "verbose": -1, "num_threads": 1}
    booster = library.train(options, table, 12, keep_training_booster=True)
    for change in (
        booster.rollback_one_iter,
        booster.shuffle_models,
        lambda: booster.set_leaf_output(0, 0, 2.0),
    ):
        change()
        assert agrees(booster, both_classes(booster))
    again = booster.refit(*data(2, 150, seed=2))
    assert agrees(again, both_classes(again))


@pytest.mark.slow
def test_lightgbm_that_stops_row_by_row_is_refused():
    model = lgb(stopped=False, n_estimators=5, pred_early_stop=True)
    with pytest.raises(ValueError, match="`pred_early_stop` must be False"):
        read_forest(model)


# --- CatBoost


def cat(classes=2, stopped=True, **kwargs):
    library = pytest.importorskip("catboost")
    options = {"iterations": 40, "learning_rate": 0.6, "thread_count": 1}
    quiet = {"verbose": 0, "allow_writing_files": False}
    model = library.CatBoostClassifier(**{**options, **quiet, **kwargs})
    extra = {}
    if stopped:
        evals = data(classes, 150, seed=2)
        extra = {"eval_set": evals, "early_stopping_rounds": 3}
    return model.fit(*data(classes), **extra)


@pytest.mark.slow
@CLASSES
@pytest.mark.parametrize("grown", ["SymmetricTree", "Lossguide"])
def test_catboost_is_stopped_and_saved(grown, classes, tmp_path):
    model = cat(classes, grow_policy=grown)
    assert 1 < model.tree_count_ < 37
    assert agrees(model)
    for ending in ("cbm", "json"):
        path = str(tmp_path / f"model.{ending}")
        model.save_model(path, format=ending)
        again = type(model)()
        again.load_model(path, format=ending)
        assert agrees(again, model.predict_proba)
    assert agrees(pickle.loads(pickle.dumps(model)), model.predict_proba)
    assert agrees(cat(classes, grow_policy=grown, use_best_model=False))


@pytest.mark.slow
@CLASSES
def test_catboost_is_shrunk_scaled_and_continued(classes):
    model = cat(classes, stopped=False, iterations=9)
    for cut in ({"ntree_end": 7}, {"ntree_end": 6, "ntree_start": 2}):
        model.shrink(**cut)
        assert agrees(model)
    biases = 0.3 if classes == 2 else [0.1, 0.2, 0.3]
    model.set_scale_and_bias(0.5, biases)
    assert agrees(model)
    library = pytest.importorskip("catboost")
    more = library.CatBoostClassifier(
        iterations=4, verbose=0, allow_writing_files=False
    )
    first = cat(classes, stopped=False, iterations=5)
    assert agrees(more.fit(*data(classes), init_model=first))


@pytest.mark.slow
def test_a_sum_of_catboosts_models_is_refused():
    library = pytest.importorskip("catboost")
    both = [cat(stopped=False, iterations=3, random_seed=n) for n in range(2)]
    total = library.to_classifier(library.sum_models(both))
    with pytest.raises(ValueError, match="the model must know it"):
        read_forest(total)


# --- scikit-learn


@pytest.mark.slow
@CLASSES
def test_scikit_learns_boosting_is_stopped_continued_and_cut(classes, tmp_path):
    for make, part, missing in (
        (HistGradientBoostingClassifier, "_predictors", True),
        (GradientBoostingClassifier, "estimators_", False),
    ):
        binned = part == "_predictors"
        rounds = "max_iter" if binned else "n_estimators"
        stopping = {"early_stopping": True} if binned else {}
        model = make(
            **{rounds: 40}, **stopping, n_iter_no_change=2,
            learning_rate=0.6, random_state=0,
        )  # fmt: skip
        model.fit(*data(classes, missing=missing))
        count = len(getattr(model, part))
        assert count < 40
        assert agrees(model, missing=missing)
        model.set_params(**{rounds: count + 2}, warm_start=True)
        model.fit(*data(classes, missing=missing))
        assert agrees(model, missing=missing)
        joblib.dump(model, tmp_path / "model")
        again = joblib.load(tmp_path / "model")
        assert agrees(again, model.predict_proba, missing)
        setattr(model, part, getattr(model, part)[:3])
        assert agrees(model, missing=missing)


def test_scikit_learns_boosting_is_stopped_by_a_monitor():
    model = GradientBoostingClassifier(n_estimators=9)
    table = data(2, missing=False)
    model.fit(*table, monitor=lambda round, *_: round == 4)
    assert len(read_forest(model).trees) == 5
    assert agrees(model, missing=False)
    model.set_params(learning_rate=0.9)
    assert agrees(model, missing=False)


def test_a_cut_forest_of_scikit_learn_averages_what_is_left():
    model = RandomForestClassifier(8, max_depth=5, random_state=0)
    model.fit(*data(3)).set_params(n_estimators=11, warm_start=True)
    model.fit(*data(3))
    assert agrees(model)
    model.estimators_ = model.estimators_[:5]
    assert agrees(model)
    model.estimators_ = []
    with pytest.raises(ValueError, match="must have a tree at least"):
        read_forest(model)
