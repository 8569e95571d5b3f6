"""The breast cancer table: whole, split once, stratified."""

import hashlib

import numpy as np
import sklearn.datasets

from moe_keras.data import load_dataset


def test_every_row_is_in_one_split():
    data = load_dataset("breast_cancer")
    assert [len(s) for s in (data.train, data.validation, data.test)] == [
        411,
        44,
        114,
    ]
    rows = np.concatenate(
        [s.inputs for s in (data.train, data.validation, data.test)]
    )
    everything, _ = sklearn.datasets.load_breast_cancer(return_X_y=True)
    assert sorted(map(tuple, rows)) == sorted(map(tuple, everything))
    shares = [split.labels.mean() for split in (data.whole_train(), data.test)]
    assert abs(shares[0] - shares[1]) < 0.01


def test_the_splits_never_change():
    data = load_dataset("breast_cancer")
    for split, start in (
        (data.test, "539aa2942baf64bd"),
        (data.validation, "a88d659f8a3cd902"),
    ):
        found = hashlib.sha256(split.inputs.astype("<f8").tobytes()).hexdigest()
        assert found.startswith(start)


def test_labels_classes_and_columns():
    data = load_dataset("breast_cancer", positive="malignant")
    frame = data.test.frame()
    assert list(frame) == [column.name for column in data.schema]
    assert data.classes == ("benign", "malignant")
    # Malignant nuclei are larger.
    radius = frame["mean_radius"]
    assert radius[data.test.labels == 1].mean() > 1.2 * (
        radius[data.test.labels == 0].mean()
    )
