"""Made-up data: the known truth is the truth, and worth knowing."""

import functools
import hashlib
import math
import re

import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline

from moe_keras.data import load_dataset
from moe_keras.data.synthetic import Stream
from moe_keras.data.synthetic_reviews import WEIGHTS

NAMES = ("synthetic_credit", "synthetic_reviews")


def credit_by_hand(row):
    """The rule of the module's text, for one row."""
    late = min(row.late_payments, 4)
    if row.job == "salaried":
        burden = row.loan_eur / row.term_months / row.income_eur
        years = min(row.months_in_job / 12, 10)
        logit = -0.4 + 1.3 * math.log(burden) - 0.15 * years
    elif row.job == "self_employed":
        burden = row.loan_eur / row.term_months / row.income_eur
        logit = -2.6 + 0.2 * math.log(burden) + 0.9 * late
        logit += 1.8 if pd.isna(row.savings) or row.savings == "none" else 0
    elif row.job == "student":
        logit = -1.5 if row.housing != "family" else -3.5
    else:
        logit = 0.1 * (row.age_years - 82)
    logit += 0.3 * late
    logit += 0.4 if pd.isna(row.card_use) else 1.5 * row.card_use
    logit += 0.4 if row.purpose == "holiday" else 0
    return 1 / (1 + math.exp(-logit))


def review_by_hand(text):
    logit = 0
    for negation, word in re.findall(r"(not )?(\w+)", text):
        logit += WEIGHTS.get(word, 0) * (-1 if negation else 1)
    return 1 / (1 + math.exp(-logit))


def test_credit_is_its_rule():
    test = load_dataset("synthetic_credit", test_size=500).test
    expected = [credit_by_hand(row) for row in test.frame().itertuples()]
    np.testing.assert_allclose(test.probability, expected, rtol=1e-9)


def test_reviews_are_their_rule():
    test = load_dataset("synthetic_reviews", test_size=500).test
    expected = [review_by_hand(text) for text in test.inputs]
    np.testing.assert_allclose(test.probability, expected, rtol=1e-9)


@pytest.mark.parametrize("name", NAMES)
def test_labels_are_drawn_from_the_truth(name):
    test = load_dataset(name, size=100, test_size=20_000).test
    for low in np.arange(0, 1, 0.1):
        rows = (test.probability >= low) & (test.probability < low + 0.1)
        truth = test.probability[rows]
        error = np.sqrt((truth * (1 - truth)).sum()) / rows.sum()
        assert rows.sum() > 100
        assert abs(test.labels[rows].mean() - truth.mean()) < 4 * error


@pytest.mark.parametrize("name", NAMES)
def test_rows_are_the_same_for_every_size_and_others_for_every_seed(name):
    small = load_dataset(name, size=50, test_size=60)
    large = load_dataset(name, size=500, test_size=60)
    other = load_dataset(name, size=50, test_size=60, seed=1)
    one, two, three = (data.whole_train() for data in (small, large, other))
    first = two.take(slice(50))
    assert (one.labels == first.labels).all()
    # numpy's exp may differ in the last bit between the ends of an array.
    near = functools.partial(np.isclose, rtol=1e-12, atol=0)
    assert near(one.probability, first.probability).all()
    assert len(small.test) == 60
    assert near(small.test.probability, large.test.probability).all()
    assert near(one.probability, three.probability).mean() < 0.2
    assert near(one.probability, small.test.probability[:50]).mean() < 0.2


@pytest.mark.parametrize(
    ("name", "start"),
    [
        ("synthetic_credit", "636de123f1c4942f"),
        ("synthetic_reviews", "b5a6c257a8ced3e8"),
    ],
)
def test_the_rows_never_change(name, start):
    labels = load_dataset(name).test.labels.astype("uint8").tobytes()
    assert hashlib.sha256(labels).hexdigest().startswith(start)


def test_credit_columns():
    data = load_dataset("synthetic_credit", size=20_000)
    frame = data.whole_train().frame()
    jobs = frame["job"].value_counts(normalize=True).to_dict()
    shares = dict(salaried=0.5, self_employed=0.25, student=0.15, retired=0.1)
    assert jobs == pytest.approx(shares, abs=0.015)
    idle = frame["job"].isin(["student", "retired"])
    assert (frame["months_in_job"].isna() == idle).all()
    assert frame["savings"].isna().mean() == pytest.approx(0.2, abs=0.01)
    assert frame["card_use"].isna().mean() == pytest.approx(0.3, abs=0.01)
    assert frame["card_use"].dropna().between(0, 1).all()
    assert frame["age_years"].between(18, 79).all()
    at_work = frame[~idle]
    assert (at_work.months_in_job <= 12 * (at_work.age_years - 18)).all()
    assert 0.15 < data.train.labels.mean() < 0.25


def numbers(split):
    frame = pd.get_dummies(split.frame(), dummy_na=True).astype(float)
    return frame.fillna(frame.median())


def test_no_model_of_credit_beats_the_truth_and_a_linear_one_is_well_below():
    data = load_dataset("synthetic_credit", size=6000)
    train, test = data.whole_train(), data.test
    best = roc_auc_score(test.labels, test.probability)
    trees = HistGradientBoostingClassifier(
        max_iter=40, learning_rate=0.15, max_leaf_nodes=12, random_state=0
    ).fit(numbers(train), train.labels)
    scale = numbers(train).std().replace(0, 1)
    line = LogisticRegression(max_iter=500).fit(
        numbers(train) / scale, train.labels
    )
    of_trees, of_line = (
        roc_auc_score(test.labels, model.predict_proba(inputs)[:, 1])
        for model, inputs in (
            (trees, numbers(test)),
            (line, numbers(test) / scale),
        )
    )
    assert of_line + 0.02 < of_trees < best < 0.9


def test_reviews_need_to_see_what_not_belongs_to():
    data = load_dataset("synthetic_reviews")
    best = roc_auc_score(data.test.labels, data.test.probability)
    words, pairs = (
        roc_auc_score(
            data.test.labels,
            make_pipeline(
                CountVectorizer(ngram_range=(1, longest)),
                LogisticRegression(max_iter=500),
            )
            .fit(*data.whole_train().arrays)
            .predict_proba(data.test.inputs)[:, 1],
        )
        for longest in (1, 2)
    )
    assert words + 0.1 < pairs < best
    assert pairs > best - 0.03


@pytest.mark.parametrize("option", ["size", "test_size"])
@pytest.mark.parametrize("name", NAMES)
def test_sizes_out_of_range(name, option):
    with pytest.raises(ValueError, match=f"load_{name}: `{option}` must be an"):
        load_dataset(name, **{option: 0})


def test_streams():
    stream = Stream("a", 0, 20_000)
    uniform, normal = stream.uniform("u"), stream.normal("n")
    assert 0 <= uniform.min() < uniform.max() < 1
    assert uniform.mean() == pytest.approx(0.5, abs=0.01)
    assert np.isfinite(normal).all()
    assert normal.std() == pytest.approx(1, abs=0.02)
    assert abs(np.corrcoef(uniform, stream.uniform("v"))[0, 1]) < 0.03
    picked = stream.choice("c", {"x": 0.2, "y": 0.8})
    assert (picked == "x").mean() == pytest.approx(0.2, abs=0.015)
    # The first numbers of Philox, which numpy promises never to change.
    assert Stream("a", 0, 2).uniform("u").tolist() == uniform[:2].tolist()
