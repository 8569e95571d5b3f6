"""What a preset says of its builder, where the number of texts decides."""

import numpy as np
import pytest

from moe_keras.data import load_dataset
from moe_keras.training.builders import build_from_data, describe_build
from tests.tools import only_tensorflow

RARITY = {"weighting": "inverse_frequency"}


@pytest.fixture(scope="module")
def data():
    return load_dataset("synthetic_reviews", size=200, test_size=10)


def described(arguments, data):
    found = describe_build("sentiment", arguments, data)
    assert found["name"] == "sentiment"
    told = found["arguments"]
    assert told.pop("num_classes") == 2
    return told


def skewed(data):
    """The same texts, one class a tenth of them."""
    split = data.train
    labels = (np.arange(len(split)) % 10 == 0).astype(split.labels.dtype)
    changed = type(split)(split.inputs, labels)
    return type(data)(**{**vars(data), "train": changed})


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({}, {"ngram": [{"min_texts": 2}], "conv": 1}),
        ({"experts": {"conv": 2}}, {"conv": 2}),
        ({"experts": {"ngram": 2}}, {"ngram": [{"min_texts": 2}] * 2}),
        (
            {"experts": {"ngram": [{"span": 9}, {"min_texts": 4}, RARITY]}},
            {
                "ngram": [
                    {"span": 9, "min_texts": 2},
                    {"min_texts": 4},
                    {**RARITY, "min_texts": 2},
                ]
            },
        ),
        (
            {"experts": {"ngram": [{"min_texts": None}]}},
            {"ngram": [{"min_texts": 2}]},
        ),
    ],
)
def test_thresholds_are_numbers(data, arguments, expected):
    given = repr(arguments)
    told = described({**arguments, "max_length": 40}, data)
    assert told.pop("experts", {"conv": 2}) == expected
    assert told == {"max_length": 40, "min_count": 1}
    # What was given is left as it was, and what is written stays.
    assert repr(arguments) == given
    again = described({**told, "experts": expected}, data)
    assert again == {**told, "experts": expected}


def test_what_is_said_or_not_needed_stays(data):
    assert described({"min_count": 3}, data)["min_count"] == 3
    told = described({"vocabulary": ["a"]}, data)
    assert "min_count" not in told
    ngrams = {"experts": {"ngram": [{}, RARITY]}}
    told = described(ngrams, skewed(data))["experts"]["ngram"]
    assert [one["min_texts"] for one in told] == [5, 2]


@only_tensorflow
def test_what_is_written_builds_the_same(data):
    arguments = {
        "experts": {"ngram": [{"max_order": 2}, RARITY]},
        "max_length": 40,
    }
    for some in (data, skewed(data)):
        one = build_from_data("sentiment", arguments, some, "a")
        told = described(arguments, some)
        two = build_from_data("sentiment", told, some, "a")
        assert one.layers[2].vocabulary == two.layers[2].vocabulary
        for left, right in zip(one.weights, two.weights, strict=True):
            if left.dtype == "int32":
                np.testing.assert_array_equal(left, right)
        # Other numbers know other n-grams.
        ngrams = [
            {**ngram, "min_texts": 4} for ngram in arguments["experts"]["ngram"]
        ]
        other = build_from_data(
            "sentiment", {**told, "experts": {"ngram": ngrams}}, some, "a"
        )
        assert other.count_params() != two.count_params()
