"""What the classifier refuses, and in which words."""

import numpy as np
import pandas as pd
import pytest
from sklearn.exceptions import NotFittedError

from moe_keras.estimators import MoEClassifier
from moe_keras.schema import infer_schema
from tests.estimators.test_moe_classifier import COUNT, LOANS, RISK, trees
from tests.tools import only_tensorflow

pytestmark = only_tensorflow


def changed(table, column, row, value):
    table = table.copy()
    table[column] = table[column].astype(object)
    table.loc[row, column] = value
    return table


def numbered(value):
    labels = (np.arange(COUNT) % 2).astype(float)
    labels[6] = value
    return labels


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        (["good"] * COUNT, r"there is one class only.*classes=\['good'\]"),
        (numbered(np.nan), "missing .* Received: row=7, missing=1"),
        ([*RISK[:-1], None], f"Received: row={COUNT}, missing=1"),
        (numbered(np.inf), "Input y contains infinity"),
        (numbered(0.5), "Unknown label type: continuous"),
        ([*RISK[:-1], 1], "texts, or numbers, not both"),
        (RISK[1:], f"a label for each row.*rows={COUNT}, labels={COUNT - 1}"),
        (None, "requires y to be passed, but the target y is None"),
        (["rare", *["bad", "good"] * (COUNT // 2)][:COUNT], "rarest=1"),
    ],
)
def test_labels(labels, words):
    if isinstance(labels, list):
        labels = pd.Series(labels, dtype=object)
    with pytest.raises(ValueError, match=words):
        trees().fit(LOANS, labels)


@pytest.mark.parametrize(
    ("table", "words"),
    [
        (changed(LOANS, "late", 4, np.inf), "finite.*column='late', row=5"),
        (changed(LOANS, "late", 4, "two"), "column='late', row=5, value='two'"),
        (changed(LOANS, "home", 4, 2), "column='home', row=5, value=2"),
        (
            LOANS.set_axis(["late", "late", "home"], axis=1),
            "unique column names, got:\n- 'late' 2 times",
        ),
        (LOANS[:0], r"a row and a column. Received: X_shape=\(0, 3\)"),
        (LOANS["late"].to_numpy(), "Expected 2D array"),
        (np.zeros((COUNT, 2), complex), "Complex data not supported"),
    ],
)
def test_tables_at_fit(table, words):
    with pytest.raises(ValueError, match=words):
        trees().fit(table, RISK[: len(table)])


def test_names_that_are_texts_and_numbers():
    with pytest.raises(TypeError, match="must convert them all to strings"):
        trees().fit(LOANS.set_axis(["a", 1, 2], axis=1), RISK)


@pytest.fixture(scope="module")
def fitted():
    return trees().fit(LOANS, RISK)


@pytest.mark.parametrize(
    ("table", "words"),
    [
        (LOANS[["income", "late"]], r"yet now missing:\s+- home"),
        (LOANS.assign(job=1), r"unseen at fit time:\s+- job"),
        (LOANS[["late", "income", "home"]], "must be in the same order"),
        (changed(LOANS, "late", 4, -np.inf), "finite.*column='late', row=5"),
        (changed(LOANS, "late", 4, "two"), "column='late', row=5, value='two'"),
        (LOANS.assign(late="text"), "column='late', row=1, value='text'"),
        (LOANS.assign(home=1.0), "a text belongs .* column='home', row=1"),
    ],
)
def test_tables_at_prediction(fitted, table, words):
    with pytest.raises(ValueError, match=words):
        fitted.predict_proba(table)


def test_another_number_of_columns():
    rows = LOANS[["income", "late"]].to_numpy()
    model = trees().fit(rows, RISK)
    with pytest.raises(ValueError, match="X has 1 features, but MoEClassifier"):
        model.predict(rows[:, :1])


def test_a_text_that_training_has_not_seen_is_missing(fitted):
    missing = fitted.predict_proba(LOANS.assign(home=None))
    unseen = fitted.predict_proba(LOANS.assign(home="castle"))
    np.testing.assert_array_equal(unseen, missing)
    assert np.any(missing != fitted.predict_proba(LOANS.assign(home="own")))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"schema": 3}, "`schema` must be .* Received: schema='int'"),
        ({"folds": 0}, "`folds` must be an integer above 0. Received: folds=0"),
        ({"folds": 1}, "`folds` must be an integer above 1"),
        ({"folds": "5"}, "Received: folds='5'"),
        ({"epochs": 0}, "`epochs` must be an integer above 0"),
        ({"experts": {"tree": 1}}, "kinds among"),
        ({"forests": ()}, "must map kinds of experts to their numbers"),
    ],
)
def test_arguments(options, words):
    with pytest.raises(ValueError, match=words):
        trees(**options).fit(LOANS, RISK)


def test_a_schema_with_a_column_that_is_not_there():
    schema = infer_schema(LOANS, None)
    with pytest.raises(ValueError, match=r"a column is missing.*'home'"):
        trees(schema=schema).fit(LOANS[["income", "late"]], RISK)


@pytest.mark.parametrize("method", ["predict", "predict_proba", "export"])
def test_not_fitted(method, tmp_path):
    given = tmp_path if method == "export" else LOANS
    with pytest.raises(NotFittedError, match="not fitted yet"):
        getattr(MoEClassifier(), method)(given)
