"""Rows in the order of their lengths, and back."""

import numpy as np

from moe_keras.data.lengths import in_order_of_length, text_lengths

TEXTS = np.array(["ccc", "", "bb", b"aaaa", "d"], dtype=object)


def test_lengths_are_those_of_texts():
    assert text_lengths(TEXTS).tolist() == [3, 0, 2, 4, 1]
    assert text_lengths(np.zeros((3, 2))) is None
    assert text_lengths({"a": TEXTS}) is None
    assert text_lengths(TEXTS[:0]).tolist() == []


def test_what_is_said_stands_where_the_rows_do():
    seen = []

    def say(rows):
        seen.append([len(row) for row in rows])
        return np.array([[len(row), 2.0] for row in rows])

    found = in_order_of_length(say, TEXTS)
    assert seen == [[0, 1, 2, 3, 4]]
    assert found.tolist() == [[n, 2.0] for n in (3, 0, 2, 4, 1)]
    numbers = np.arange(6.0).reshape(3, 2)
    assert in_order_of_length(lambda rows: rows * 2, numbers).tolist() == (
        (numbers * 2).tolist()
    )
