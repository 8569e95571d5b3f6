"""The digits: whole, split once, stratified."""

import hashlib

import numpy as np

from moe_keras.data import load_digits


def test_sizes_and_classes():
    digits = load_digits()
    assert (len(digits.train), len(digits.test)) == (1437, 360)
    assert digits.train.inputs.shape == (1437, 8, 8, 1)
    assert digits.train.inputs.dtype == np.float32
    assert (digits.train.inputs.min(), digits.train.inputs.max()) == (0, 16)
    assert digits.classes == tuple("0123456789")


def test_the_split_is_stratified_and_no_image_is_in_both():
    digits = load_digits()
    shares = [
        np.bincount(split.labels, minlength=10) / len(split)
        for split in (digits.train, digits.test)
    ]
    assert np.abs(shares[0] - shares[1]).max() < 0.005
    train = {image.tobytes() for image in digits.train.inputs}
    assert not train & {image.tobytes() for image in digits.test.inputs}


def test_the_split_never_changes():
    labels = load_digits().test.labels.astype("uint8").tobytes()
    found = hashlib.sha256(labels).hexdigest()
    assert found.startswith("70ee2850bb25b543")
