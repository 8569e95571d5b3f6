"""The data sets that the zoo is trained on, where they lie prepared."""

import os

import numpy as np
import pytest

from moe_keras.data import load_dataset
from moe_keras.data.tfds_files import VARIABLE, data_folder, find_prepared

pytest.importorskip("tensorflow_datasets")

# Rows of train, validation and test; rows of train and validation by class;
# the sum of the numbers of the first thousand validation rows.
EXPECTED = {
    "fashion_mnist": (53865, 6135, 10000),
    "german_credit_numeric": (896, 104, None),
    "imdb_reviews": (22468, 2532, 25000),
    "taiwan_credit_default": (26938, 3062, None),
}


@pytest.fixture(params=EXPECTED)
def data(request):
    if not os.environ.get(VARIABLE):
        pytest.skip(f"{VARIABLE} does not say where prepared data are")
    if find_prepared(request.param, data_folder()) is None:
        pytest.skip(f"{request.param} is not prepared in {data_folder()}")
    return load_dataset(f"tfds:{request.param}", download=False)


def test_sizes_order_and_classes(data):
    name = data.name.removeprefix("tfds:")
    assert EXPECTED[name] == (
        len(data.train),
        len(data.validation),
        data.test and len(data.test),
    )
    shares = [
        np.bincount(split.labels, minlength=len(data.classes)) / len(split)
        for split in (data.train, data.validation)
    ]
    # Mixed classes: within four standard errors of the smaller split.
    allowed = 4 * np.sqrt(shares[0] * (1 - shares[0]) / len(data.validation))
    assert (np.abs(shares[0] - shares[1]) < allowed).all()
    assert "not given" not in data.licence
    if data.task == "tabular":
        assert len(set(data.train.names)) == data.train.inputs.shape[1]
