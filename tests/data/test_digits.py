"""The digits: whole, split once, stratified."""

import hashlib

import numpy as np

from moe_keras.data import load_dataset, load_digits


def digest(values):
    return hashlib.sha256(values.astype("uint8").tobytes()).hexdigest()


def test_sizes_and_classes():
    digits = load_digits()
    train = digits.whole_train()
    assert (len(train), len(digits.test)) == (1437, 360)
    assert (len(digits.train), len(digits.validation)) == (1294, 143)
    assert digits.train.inputs.shape == (1294, 8, 8, 1)
    assert digits.train.inputs.dtype == np.float32
    assert (train.inputs.min(), train.inputs.max()) == (0, 16)
    assert digits.classes == tuple("0123456789")
    assert digits.schema[0].shape == (8, 8, 1)


def test_the_split_is_stratified_and_no_image_is_in_two():
    digits = load_digits()
    shares = [
        np.bincount(split.labels, minlength=10) / len(split)
        for split in (digits.whole_train(), digits.test)
    ]
    assert np.abs(shares[0] - shares[1]).max() < 0.005
    assert np.bincount(digits.validation.labels).min() >= 9
    train, validation, test = (
        {image.tobytes() for image in split.inputs}
        for split in (digits.train, digits.validation, digits.test)
    )
    assert not train & test
    assert not train & validation
    assert not validation & test


def test_the_splits_never_change():
    digits = load_digits()
    assert digest(digits.test.labels).startswith("70ee2850bb25b543")
    train = digits.whole_train()
    assert digest(train.labels).startswith("33fe81a53fa12d9c")
    assert digest(train.inputs).startswith("5760f944f9d45833")
    assert digest(digits.validation.labels).startswith("afd470d0302ad9c6")


def test_it_has_a_name_and_the_common_options():
    named = load_dataset("digits", validation_share=0.3)
    assert named.name == "digits"
    assert set(load_digits().validation_rows) < set(named.validation_rows)
