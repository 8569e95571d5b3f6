"""Experts of XGBoost, LightGBM and CatBoost, beside their own predictions."""

import warnings

import numpy as np
import pandas as pd
import pytest

from moe_keras.forests import read_forest
from moe_keras.layers import ForestExpert
from tests.forests.fitted import (
    CATEGORY,
    LEVELS,
    at_thresholds,
    draw_table,
    largest_error,
)

pytestmark = pytest.mark.slow

ROWS = 10_000
KINDS = ["q"] * CATEGORY + ["c", "q"]


def xgb(**kwargs):
    library = pytest.importorskip("xgboost")
    return library.XGBClassifier(**{"n_estimators": 20, **kwargs})


def lgb(**kwargs):
    library = pytest.importorskip("lightgbm")
    options = {"n_estimators": 20, "verbose": -1, "n_jobs": 1}
    return library.LGBMClassifier(**{**options, **kwargs})


def cat(**kwargs):
    library = pytest.importorskip("catboost")
    options = {"iterations": 20, "verbose": 0, "allow_writing_files": False}
    return library.CatBoostClassifier(**{**options, **kwargs})


def lgb_with_category(**kwargs):
    model = lgb(**kwargs)
    fit = model.fit
    model.fit = lambda *data: fit(*data, categorical_feature=[CATEGORY])
    return model


def xgb_with_category(onehot):
    return xgb(
        feature_types=KINDS, enable_categorical=True, max_cat_to_onehot=onehot
    )


MODELS = {
    "xgb": xgb,
    "xgb_sets": lambda: xgb_with_category(1),
    "xgb_onehot": lambda: xgb_with_category(30),
    "xgb_dart": lambda: xgb(booster="dart", rate_drop=0.3),
    "xgb_forest": lambda: xgb(num_parallel_tree=3, subsample=0.7),
    "lgb": lgb,
    "lgb_no_missing": lambda: lgb(use_missing=False),
    "lgb_zero_missing": lambda: lgb(zero_as_missing=True),
    "lgb_sets": lgb_with_category,
    "lgb_sets_zero": lambda: lgb_with_category(zero_as_missing=True),
    "lgb_forest": lambda: lgb(
        boosting_type="rf", bagging_freq=1, bagging_fraction=0.7
    ),
    "cat": cat,
    "cat_max": lambda: cat(nan_mode="Max"),
    "cat_depthwise": lambda: cat(grow_policy="Depthwise"),
    "cat_lossguide": lambda: cat(grow_policy="Lossguide", max_leaves=9),
}
# What a missing value is that training has not seen, CatBoost does not say.
UNSEEN = [name for name in MODELS if not name.startswith("cat")]


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("name", MODELS)
def test_probabilities_are_the_librarys(name, classes):
    model = MODELS[name]()
    model.fit(*draw_table(classes))
    rows, _ = draw_table(classes, ROWS, seed=1)
    rows[:9, CATEGORY] = [-1, 7, 8, 31, 32, 63, 64, 1000, np.nan]
    assert largest_error(model, rows) <= 1e-5


@pytest.mark.parametrize("name", UNSEEN)
def test_missing_values_that_training_has_not_seen(name):
    model = MODELS[name]()
    model.fit(*draw_table(2, missing=False))
    rows, _ = draw_table(2, 500, seed=1)
    assert largest_error(model, rows) <= 1e-5


@pytest.mark.parametrize("name", MODELS)
def test_at_the_thresholds(name):
    model = MODELS[name]()
    model.fit(*draw_table(2, missing=False))
    assert largest_error(model, at_thresholds(model)) <= 1e-5


@pytest.mark.parametrize("name", ["lgb", "lgb_zero_missing", "xgb"])
def test_numbers_beside_zero(name):
    table, labels = draw_table(2, missing=False)
    # Whether a number is above 0, at it or below is all that there is to know.
    table[:, :2] = np.sign(np.trunc(table[:, :2]))
    model = MODELS[name]()
    model.fit(table, labels)
    rows, _ = draw_table(2, 3000, seed=1)
    near = np.float32([0, 1e-35, 2e-35, 1e-34, 1e-37, 1.0])
    near = np.concatenate([near, np.nextafter(near[1:], np.float32(1))])
    near = np.concatenate([near, -near])
    rows[:, :2] = np.random.default_rng(0).choice(near, (3000, 2))
    assert largest_error(model, rows) <= 1e-5


@pytest.mark.parametrize("make", [xgb, lgb])
def test_boosters_are_read_too(make):
    model = make().fit(*draw_table(3))
    inner = (
        model.get_booster() if hasattr(model, "get_booster") else model.booster_
    )
    rows, _ = draw_table(3, 500, seed=1)

    def predict(rows):
        return model.predict_proba(rows)

    assert largest_error(inner, rows, predict) <= 1e-5


def test_early_stopping():
    table, labels = draw_table(2)
    others, answers = draw_table(2, 500, seed=2)
    rows, _ = draw_table(2, 500, seed=1)
    options = {"n_estimators": 200, "learning_rate": 0.5}
    for model in (
        xgb(early_stopping_rounds=3, **options),
        lgb(early_stopping_round=3, **options),
    ):
        extra = {"verbose": False} if hasattr(model, "get_booster") else {}
        with warnings.catch_warnings():
            # New versions of LightGBM have another name for `eval_set`.
            warnings.simplefilter("ignore")
            model.fit(table, labels, eval_set=[(others, answers)], **extra)
        forest = read_forest(model)
        assert 1 < len(forest.trees) < 150
        assert largest_error(model, rows) <= 1e-5


def test_the_slope_of_lightgbms_sigmoid():
    model = lgb(sigmoid=0.6).fit(*draw_table(2))
    rows, _ = draw_table(2, 500, seed=1)
    assert largest_error(model, rows) <= 1e-5


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("spelling", ["numbers", "names"])
def test_catboost_asks_for_levels_by_their_spelling(spelling, classes):
    names = [f"A{level}" for level in range(LEVELS)]
    spelt = names if spelling == "names" else list(map(str, range(LEVELS)))

    def frame(rows):
        found = pd.DataFrame(rows, columns=list("abcdef"))
        found["e"] = [
            "nan" if np.isnan(level) else spelt[int(level)]
            for level in rows[:, CATEGORY]
        ]
        return found

    table, labels = draw_table(classes)
    model = cat(cat_features=["e"], one_hot_max_size=20)
    model.fit(frame(table), labels)
    rows, _ = draw_table(classes, ROWS, seed=1)
    levels = {CATEGORY: names} if spelling == "names" else None

    def predict(rows):
        return model.predict_proba(frame(rows))

    assert largest_error(model, rows, predict, levels=levels) <= 1e-5
    assert ForestExpert.from_model(model, levels).sizes["sets"] > 2
    if spelling == "names":
        with pytest.raises(ValueError, match="name them in `levels`"):
            read_forest(model)


def test_monotone_constraints_are_found():
    table, labels = draw_table(2)
    signs = [1, -1, 0, 0, 0, 1]
    for model in (
        xgb(monotone_constraints=tuple(signs)),
        lgb(monotone_constraints=signs),
        cat(monotone_constraints=signs),
    ):
        expert = ForestExpert.from_model(model.fit(table, labels))
        expert.build((None, 6))
        assert expert.columns_read() == tuple(range(6))
        for column, sign in enumerate(signs):
            if sign:
                assert expert.is_monotone(column, sign)
                assert not expert.is_monotone(column, -sign)
        free = ForestExpert.from_model(type(model)(
            **{**model.get_params(), "monotone_constraints": None}
        ).fit(table, labels))  # fmt: skip
        free.build((None, 6))
        assert free.monotone_columns() == free.monotone_columns(-1) == ()


def test_what_cannot_be_read_is_refused_by_name():
    table, labels = draw_table(2, 300)
    whole, classes = draw_table(3, 300, missing=False)

    frame = pd.DataFrame(whole)
    frame[CATEGORY] = frame[CATEGORY].astype(int)
    cases = {
        "booster='gblinear'": xgb(booster="gblinear").fit(table, labels),
        "missing=0": xgb(missing=0).fit(table, labels),
        "objective='binary:hinge'": xgb(objective="binary:hinge").fit(
            table, labels
        ),
        "size_leaf_vector='3'": xgb(multi_strategy="multi_output_tree").fit(
            whole, classes
        ),
        "objective='multiclassova": lgb(objective="multiclassova").fit(
            whole, classes
        ),
        "`linear_tree` must be False": lgb(linear_tree=True).fit(
            whole, classes > 0
        ),
        "split_type='OnlineCtr'": cat(
            cat_features=[CATEGORY], one_hot_max_size=2
        ).fit(frame, classes > 0),
        "loss_function='MultiClassOneVsAll'": cat(
            loss_function="MultiClassOneVsAll"
        ).fit(whole, classes),
        "`model` must be fitted": cat(),
    }
    for message, model in cases.items():
        with pytest.raises(ValueError, match=r"^read_forest: ") as error:
            read_forest(model)
        assert message in str(error.value)
