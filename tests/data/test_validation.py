"""The validation rule: by hand, the same everywhere, whatever is added."""

import hashlib
import subprocess
import sys

import numpy as np
import pytest

from moe_keras.data import Dataset, Split
from moe_keras.data.dataset import Feature, assemble
from moe_keras.data.validation import validation_mask


def by_hand(key):
    first = hashlib.blake2b(str(key).encode("utf-8"), digest_size=8).hexdigest()
    return int(first, 16) / 2**64


def test_the_first_rows_never_change():
    found = np.flatnonzero(validation_mask(range(100)))
    # Found with coreutils: printf 18 | b2sum -l 64, below 1999999999999999.
    assert found.tolist() == [18, 29, 47, 55, 66, 71, 72, 90, 99]


@pytest.mark.parametrize("share", [0.01, 0.1, 0.5, 0.97])
def test_it_is_the_rule(share):
    mask = validation_mask(range(2000), share)
    expected = [by_hand(position) < share for position in range(2000)]
    assert mask.tolist() == expected
    # Five standard deviations of a binomial count.
    allowed = 5 * (2000 * share * (1 - share)) ** 0.5
    assert abs(mask.sum() - 2000 * share) < allowed


def test_it_does_not_hang_on_pythons_own_hash():
    program = (
        "from moe_keras.data.validation import validation_mask as mask\n"
        "print(mask([f'id {i}' for i in range(300)]).nonzero()[0].tolist())"
    )
    here = validation_mask([f"id {i}" for i in range(300)]).nonzero()[0]
    there = subprocess.run(
        [sys.executable, "-c", program],
        env={"PYTHONHASHSEED": "12345", "PYTHONPATH": ":".join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert there.stdout.strip() == str(here.tolist())


def test_more_rows_and_a_larger_share_keep_the_rows():
    small = validation_mask(range(500))
    assert (validation_mask(range(900))[:500] == small).all()
    assert validation_mask(range(500), 0.2)[small].all()


def test_rows_of_one_id_stay_together():
    ids = [f"customer {i % 40}" for i in range(400)]
    mask = validation_mask(ids, 0.3)
    assert {i for i, m in zip(ids, mask, strict=True) if m}.isdisjoint(
        i for i, m in zip(ids, mask, strict=True) if not m
    )
    assert 0 < mask.sum() < 400


def test_neither_side_is_ever_empty():
    few = validation_mask(range(3), 1e-9)
    assert few.tolist() == [
        by_hand(i) == min(map(by_hand, range(3))) for i in range(3)
    ]
    many = validation_mask(range(3), 1 - 1e-12)
    assert many.sum() == 2
    assert not many[np.argmax([by_hand(i) for i in range(3)])]
    assert validation_mask(range(2), np.nextafter(1, 0)).sum() == 1


@pytest.mark.parametrize("share", [0, 1, -0.1, 1.5, float("nan")])
def test_a_share_out_of_range(share):
    with pytest.raises(ValueError, match=r"`validation_share` must be between"):
        validation_mask(range(10), share)


@pytest.mark.parametrize("keys", [[], [1], ["a", "a"]])
def test_too_few_keys(keys):
    with pytest.raises(ValueError, match="two rows with different keys"):
        validation_mask(keys)


def dataset(count=200, **options):
    rng = np.random.default_rng(0)
    train = Split(
        {
            "x": np.arange(count),
            "word": np.array(["a", ""] * (count // 2), "O"),
        },
        rng.integers(0, 2, count),
        probability=rng.random(count),
    )
    return train, assemble(
        name="made up",
        task="tabular",
        train=train,
        test=None,
        classes=("no", "yes"),
        schema=(Feature("x", "int64"), Feature("word", "string")),
        licence="none",
        citation="nobody",
        source="here",
        **options,
    )


def test_the_whole_training_split_comes_back_in_its_order():
    train, data = dataset(validation_share=0.3)
    assert isinstance(data, Dataset)
    assert not set(data.train.inputs["x"]) & set(data.validation.inputs["x"])
    assert len(data.train) + len(data.validation) == len(train)
    assert data.validation.inputs["x"].tolist() == data.validation_rows.tolist()
    whole = data.whole_train()
    for name, column in train.inputs.items():
        assert (whole.inputs[name] == column).all()
    assert (whole.labels == train.labels).all()
    assert (whole.probability == train.probability).all()


def test_a_validation_split_of_the_publisher_is_kept():
    given = Split(
        {"x": np.arange(3), "word": np.array(["", "", ""], "O")},
        np.zeros(3, "int64"),
    )
    train, data = dataset(validation=given)
    assert data.validation is given
    assert data.train is train is data.whole_train()
    assert data.validation_rows is None
    with pytest.raises(ValueError, match="a validation split of its own"):
        dataset(validation=given, validation_share=0.2)


def test_the_positive_class_gets_label_1():
    train, data = dataset(positive="no")
    assert data.classes == ("yes", "no")
    whole = data.whole_train()
    assert (whole.labels == 1 - train.labels).all()
    assert (whole.probability == 1 - train.probability).all()
    _, same = dataset(positive="yes")
    assert same.classes == ("no", "yes")
    assert (same.whole_train().labels == train.labels).all()
    with pytest.raises(ValueError, match=r"Received: positive='maybe'"):
        dataset(positive="maybe")
