"""A column of any container to one column of values."""

import datetime
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest

from moe_keras.tables.cells import as_numbers, as_texts
from moe_keras.tables.notation import Notation

USUAL = Notation()


def array(values):
    return (
        values if isinstance(values, np.ndarray) else np.array(values, object)
    )


@pytest.mark.parametrize(
    ("values", "expected", "wrong"),
    [
        (["1", "2.5", "", "NA"], [1, 2.5, np.nan, np.nan], []),
        ([1, 2.5, None, pd.NA, np.nan], [1, 2.5] + [np.nan] * 3, []),
        ([True, "False", "1", Decimal("0.5")], [1, 0, 1, 0.5], []),
        (np.array([True, False]), [1, 0], []),
        (np.array([1, 2], "uint8"), [1, 2], []),
        (np.array(["1", "x"]), [1, np.nan], [1]),
        ([b"1", "2", datetime.date(2020, 1, 1)], [np.nan, 2, np.nan], [0, 2]),
        ([str(2**53 + 2), "1e400"], [2**53 + 2, np.inf], []),
        ([], [], []),
    ],
)
def test_numbers(values, expected, wrong):
    found, bad = as_numbers(array(values), USUAL)
    np.testing.assert_array_equal(found, np.array(expected, "float64"))
    assert found.dtype == "float64"
    assert np.flatnonzero(bad).tolist() == wrong


@pytest.mark.parametrize(
    ("values", "levels", "expected"),
    [
        # A level is a level, whatever stands for a missing value elsewhere.
        (["NA", "?", "N/A", "own", ""], ["NA", "?", "own"], "NA ? - own -"),
        (["None", " None", "x"], ["None"], "None None x"),
        # Blanks around it, of the cell or of the level.
        ([" own", "own ", "rent"], ["own", " rent"], ["own", "own", " rent"]),
        ([" a", "a"], ["a", " a"], [" a", "a"]),
        # Booleans, in every spelling.
        ([True, False, "TRUE", "false", 1, 0.0], ["False", "True"], None),
        (np.array([True, False]), ["true", "false"], ["true", "false"]),
        # Codes: how they are written, or the same number.
        ([7, 8.0, "7", 9], ["7", "8"], "7 8 7 9"),
        ([7, "7", "07"], ["07", "08"], ["07", "7", "07"]),
        ([1, 2], ["1.0", "2.0"], ["1.0", "2.0"]),
        ([None, np.nan, pd.NaT], ["a"], ["", "", ""]),
        ([7, 2.5, True, Decimal("3")], [], "7 2.5 True 3"),
        ([pd.Interval(0, 1)], ["(0, 1]"], ["(0, 1]"]),
        (np.array(["a", "b\0"], object), ["b\0"], ["a", "b\0"]),
    ],
)
def test_texts(values, levels, expected):
    if expected is None:
        expected = ["True", "False", "True", "False", "True", "False"]
    if isinstance(expected, str):
        expected = ["" if one == "-" else one for one in expected.split()]
    found, wrong = as_texts(array(values), USUAL, levels)
    assert found.tolist() == expected
    assert not wrong.any()


@pytest.mark.parametrize("value", [1.5, True, b"own", datetime.date.today()])
def test_what_no_text_can_be(value):
    _, wrong = as_texts(array([value, "own"]), USUAL, ["own", "rent"])
    assert wrong.tolist() == [True, False]
