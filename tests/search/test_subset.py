"""Which training rows a search sees."""

import numpy as np
import pytest

from moe_keras.data import load_dataset
from moe_keras.search.subset import limit_training_rows


def test_classes_keep_their_shares():
    data = load_dataset("breast_cancer")
    small = limit_training_rows(data, 100)
    assert len(small.train) == 100
    whole = np.bincount(data.train.labels) / len(data.train)
    assert np.abs(np.bincount(small.train.labels) / 100 - whole).max() <= 0.01
    # Rows of the data, each once, in their order.
    rows = [
        np.flatnonzero((data.train.inputs == r).all(1))
        for r in small.train.inputs
    ]
    places = np.array([row[0] for row in rows])
    assert (np.diff(places) > 0).all()
    assert (data.train.labels[places] == small.train.labels).all()
    assert small.validation is data.validation


def test_always_the_same_rows():
    one, two = (limit_training_rows(load_dataset("digits"), 50) for _ in "ab")
    assert (one.train.inputs == two.train.inputs).all()


def test_all_rows():
    data = load_dataset("digits")
    assert limit_training_rows(data, None) is data
    assert limit_training_rows(data, 10_000) is data


@pytest.mark.parametrize("limit", [9, 0, -3, 20.0, True])
def test_too_few_rows(limit):
    rule = "tune: `limit` must be an integer of at least 10, .* Received: limit"
    with pytest.raises(ValueError, match=rule):
        limit_training_rows(load_dataset("digits"), limit)


def test_what_is_left_is_all_that_there_is_to_learn_from():
    found = limit_training_rows(load_dataset("digits"), 100)
    assert len(found.whole_train()) == 100
