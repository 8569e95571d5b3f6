"""The data sets that the zoo is trained on, where they lie prepared."""

import hashlib
import os

import numpy as np
import pytest

from moe_keras.data import load_dataset
from moe_keras.data.tfds_files import VARIABLE, data_folder, find_prepared

pytest.importorskip("tensorflow_datasets")

# Rows of train, validation and test, and which labels the validation rows have.
EXPECTED = {
    "fashion_mnist": (53865, 6135, 10000, "26c9ce64dbeb4c0d"),
    "german_credit_numeric": (896, 104, None, "eecb9d4aa17f8356"),
    "imdb_reviews": (22468, 2532, 25000, "fe6cd80fc18449bd"),
    "taiwan_credit_default": (26938, 3062, None, "bf7c2656f7fc0263"),
}


def load(name):
    if not os.environ.get(VARIABLE):
        pytest.skip(f"{VARIABLE} does not say where prepared data are")
    if find_prepared(name, data_folder()) is None:
        pytest.skip(f"{name} is not prepared in {data_folder()}")
    return load_dataset(f"tfds:{name}", download=False)


def check(data):
    """Sizes, the very validation rows, and that their classes are mixed."""
    labels = data.validation.labels.astype("uint8").tobytes()
    assert EXPECTED[data.name.removeprefix("tfds:")] == (
        len(data.train),
        len(data.validation),
        data.test and len(data.test),
        hashlib.sha256(labels).hexdigest()[:16],
    )
    train, validation = (
        np.bincount(split.labels, minlength=len(data.classes)) / len(split)
        for split in (data.train, data.validation)
    )
    # Within four standard errors of the smaller split.
    allowed = 4 * np.sqrt(train * (1 - train) / len(data.validation))
    assert (np.abs(train - validation) < allowed).all()
    assert "not given" not in data.licence


def test_fashion_mnist():
    data = load("fashion_mnist")
    check(data)
    whole = data.whole_train()
    assert np.bincount(whole.labels).tolist() == [6000] * 10
    # As published of the 60,000 training images.
    assert whole.inputs.mean() / 255 == pytest.approx(0.2860, abs=5e-5)
    assert whole.inputs.std() / 255 == pytest.approx(0.3530, abs=5e-5)
    assert data.classes[0] == "T-shirt/top"


def test_imdb_reviews():
    data = load("imdb_reviews")
    check(data)
    for split in (data.whole_train(), data.test):
        assert np.bincount(split.labels).tolist() == [12500, 12500]
        words = sum(len(text.split()) for text in split.inputs) / len(split)
        assert words == pytest.approx(231, abs=3)
    assert "Maas" in data.citation


def test_german_credit():
    data = load("german_credit_numeric")
    check(data)
    frame = data.whole_train().frame()
    assert np.bincount(data.whole_train().labels).tolist() == [300, 700]
    # From the publisher's description of the attributes.
    assert (frame["age_years"].min(), frame["age_years"].max()) == (19, 75)
    assert frame["duration_months"].between(4, 72).all()
    assert set(frame["foreign_worker"]) == {1, 2}
    for indicators in ("purpose_", "other_debtors_", "housing_", "job_"):
        found = frame.filter(like=indicators)
        assert set(np.unique(found)) == {0, 1}
        assert found.sum(axis=1).max() == 1


def test_taiwan_credit():
    data = load("taiwan_credit_default")
    check(data)
    whole = data.whole_train()
    assert whole.labels.sum() == 6636
    frame = whole.frame()
    assert set(frame["SEX"]) == {1, 2}
    assert frame["LIMIT_BAL"].min() == 10_000
    assert frame.filter(regex="PAY_[0-6]").min().min() == -2
    assert (frame.filter(like="PAY_AMT") >= 0).all().all()
    assert (frame.filter(like="BILL_AMT") < 0).any().any()
