"""Experts of scikit-learn's trees, beside their `predict_proba`."""

import numpy as np
import pandas as pd
import pytest
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import (
    AdaBoostClassifier,
    ExtraTreesClassifier,
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
)
from sklearn.linear_model import LogisticRegression
from sklearn.tree import DecisionTreeClassifier

from moe_keras.forests import read_forest
from moe_keras.layers import ForestExpert
from tests.forests.fitted import (
    CATEGORY,
    at_thresholds,
    draw_table,
    largest_error,
)

ROWS = 10_000
MODELS = {
    "tree": lambda: DecisionTreeClassifier(random_state=0),
    "shallow": lambda: DecisionTreeClassifier(max_depth=1, random_state=0),
    "forest": lambda: RandomForestClassifier(20, random_state=0),
    "extra": lambda: ExtraTreesClassifier(
        10, max_leaf_nodes=60, random_state=0
    ),
    "binned": lambda: HistGradientBoostingClassifier(max_iter=20),
    "categories": lambda: HistGradientBoostingClassifier(
        max_iter=20, categorical_features=[CATEGORY]
    ),
}
# They refuse missing values.
WHOLE = {
    "boosted": lambda: GradientBoostingClassifier(n_estimators=20),
    "boosted_zero": lambda: GradientBoostingClassifier(
        n_estimators=20, init="zero", learning_rate=0.5
    ),
}


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("name", MODELS)
def test_probabilities_are_the_librarys(name, classes):
    model = MODELS[name]().fit(*draw_table(classes))
    rows, _ = draw_table(classes, ROWS, seed=1)
    assert largest_error(model, rows) <= 1e-5


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("name", WHOLE)
def test_boosting_without_missing_values(name, classes):
    model = WHOLE[name]().fit(*draw_table(classes, missing=False))
    rows, _ = draw_table(classes, ROWS, missing=False, seed=1)
    assert largest_error(model, rows) <= 1e-5


def test_the_exponential_loss():
    model = GradientBoostingClassifier(loss="exponential", n_estimators=20)
    model.fit(*draw_table(2, missing=False))
    rows, _ = draw_table(2, 500, missing=False, seed=1)
    assert largest_error(model, rows) <= 1e-5


@pytest.mark.parametrize("name", [*MODELS, *WHOLE])
def test_at_the_thresholds(name):
    model = {**MODELS, **WHOLE}[name]().fit(*draw_table(2, missing=False))
    assert largest_error(model, at_thresholds(model)) <= 1e-5


@pytest.mark.parametrize("name", ["tree", "binned", "categories"])
def test_missing_values_that_training_has_not_seen(name):
    model = MODELS[name]().fit(*draw_table(2, missing=False))
    rows, _ = draw_table(2, 500, seed=1)
    assert largest_error(model, rows) <= 1e-5


def test_levels_that_training_has_not_seen():
    table, labels = draw_table(3)
    seen = ~np.isin(table[:, CATEGORY], [2, 6])
    model = MODELS["categories"]().fit(table[seen], labels[seen])
    rows, _ = draw_table(3, 500, seed=1)
    rows[:5, CATEGORY] = [7, 40, 2, 6, 0]
    assert largest_error(model, rows) <= 1e-5


def test_levels_by_name_stand_in_ascending_order():
    def frame(rows):
        named = pd.DataFrame(rows, columns=list("abcdef"))
        levels = [f"level {n}" for n in range(7)]
        codes = np.nan_to_num(rows[:, CATEGORY], nan=-1).astype(int)
        named["e"] = pd.Categorical.from_codes(codes, levels)
        return named

    table, labels = draw_table(2)
    model = HistGradientBoostingClassifier(max_iter=20)
    model.set_params(categorical_features="from_dtype")
    model.fit(frame(table), labels)
    rows, _ = draw_table(2, 500, seed=1)
    predict = model.predict_proba
    error = largest_error(model, rows, lambda rows: predict(frame(rows)))
    assert error <= 1e-5
    assert ForestExpert.from_model(model).sizes["sets"] > 0


def test_other_models_are_refused_by_name():
    table, labels = draw_table(2, 50, missing=False)
    for model, word in (
        (LogisticRegression(), "model=LogisticRegression"),
        (AdaBoostClassifier(), "model=AdaBoostClassifier"),
        (GradientBoostingClassifier(init=DummyClassifier()), "init=Dummy"),
    ):
        with pytest.raises(ValueError, match=f"^read_forest: .*{word}"):
            read_forest(model.fit(table, labels))
    with pytest.raises(ValueError, match="must be a fitted classifier"):
        read_forest(RandomForestClassifier())
    with pytest.raises(ValueError, match="of scikit-learn, XGBoost, Light"):
        read_forest("forest")
    several = RandomForestClassifier(2).fit(table, np.stack([labels] * 2, 1))
    with pytest.raises(ValueError, match="outputs=2"):
        read_forest(several)
    table[:, CATEGORY] += 0.5
    model = MODELS["categories"]().fit(table, labels)
    with pytest.raises(ValueError, match=r"must be places 0\.\.L-1"):
        read_forest(model)
