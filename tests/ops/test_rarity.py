"""How rare words and n-grams may be, at the borders of the rule."""

import pytest

from moe_keras.ops.rarity import usual_min_count, usual_min_texts


@pytest.mark.parametrize(
    ("num_texts", "expected"),
    [(0, 1), (1, 1), (4_999, 1), (5_000, 2), (1_000_000, 2)],
)
def test_words_by_the_number_of_texts(num_texts, expected):
    assert usual_min_count(num_texts) == expected


@pytest.mark.parametrize(
    ("class_sizes", "expected"),
    [
        # Equal classes: two of them, three, and one.
        ([1, 1], 2),
        ([2_499, 2_500], 2),
        ([2_500, 2_500], 3),
        ([9_999, 10_000], 3),
        ([10_000, 10_000], 5),
        ([30, 30, 30], 2),
        ([4_999], 2),
        ([5_000], 3),
        ([25_000], 5),
        # A small class: its share of an even one divides, and 5 is the end.
        ([40, 60], 2),
        ([39, 61], 3),
        ([35, 65], 3),
        ([28, 72], 4),
        ([22, 78], 5),
        ([1, 999], 5),
        ([10, 45, 45], 5),
        ([2_400, 3_600], 4),
        # Whichever class is the smaller one.
        ([65, 35], 3),
        # A class that has no text yet.
        ([0, 50], 5),
        ([0], 5),
    ],
)
def test_ngrams_by_texts_and_classes(class_sizes, expected):
    assert usual_min_texts(class_sizes) == expected


def test_inverse_frequencies_know_no_classes():
    for sizes, expected in (([1, 99], 2), ([10, 9_990], 3), ([0, 20_000], 5)):
        assert usual_min_texts(sizes, "inverse_frequency") == expected
        assert usual_min_texts(sizes, "log_count_ratio") == 5
