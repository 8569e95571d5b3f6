"""How numbers are written, and which options would read them."""

import math

import pytest

from moe_keras.tables.notation import (
    MISSING,
    Notation,
    clean,
    is_decorated,
    read_notation,
    suggest_notation,
)


@pytest.mark.parametrize(
    ("cell", "options", "expected"),
    [
        ("1.5", {}, 1.5),
        (" -1e3 ", {}, -1000),
        ("\ufeff7", {}, 7),
        ("\u00a07\u200b", {}, 7),
        ("+.5", {}, 0.5),
        ("5.", {}, 5),
        ("TRUE", {}, 1),
        ("false", {}, 0),
        ("4,282", {}, None),
        ("1_000", {}, None),
        ("0x1F", {}, None),
        ("1 000", {}, None),
        ("", {}, math.nan),
        (" NA ", {}, math.nan),
        ("#N/A", {}, math.nan),
        ("#N/A", {"missing": ["-"]}, None),
        ("-", {"missing": ["-"]}, math.nan),
        ("-9", {"missing": ["-9"]}, math.nan),
        ("-9.0", {"missing": ["-9"]}, -9),
        ("4,282", {"thousands": ","}, 4282),
        ("4,282.75", {"thousands": ","}, 4282.75),
        ("921", {"thousands": ","}, 921),
        ("1,234,567", {"thousands": ","}, 1234567),
        ("-4,282", {"thousands": ","}, -4282),
        ("4282", {"thousands": ","}, 4282),
        # Groups of another size are none.
        ("4,28", {"thousands": ","}, None),
        ("0,282", {"thousands": ","}, None),
        ("42,82,111", {"thousands": ","}, None),
        ("1,2345", {"thousands": ","}, None),
        ("1,5", {"decimal": ","}, 1.5),
        ("1.5", {"decimal": ","}, None),
        ("4.282,5", {"decimal": ",", "thousands": "."}, 4282.5),
        ("1\u202f234,5", {"decimal": ",", "thousands": " "}, 1234.5),
        ("1\u2019234.5", {"thousands": "'"}, 1234.5),
        ("inf", {}, math.inf),
        ("-Infinity", {}, -math.inf),
        (",", {"thousands": ","}, None),
        (".", {}, None),
        ("e5", {}, None),
    ],
)
def test_numbers(cell, options, expected):
    found = Notation(**options).read_number(cell)
    assert (found is None) == (expected is None)
    if expected is not None:
        assert found == expected or (found != found and expected != expected)


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        # Never a decimal comma where all are groups of three digits.
        (["4,282"], '`thousands=","`'),
        (["4,282", "12,000", "1,234,567.5"], '`thousands=","`'),
        (["1,5"], '`decimal=","`'),
        (["1,5", "4,282"], '`decimal=","`'),
        (["0,125"], '`decimal=","`'),
        (["4.282,50", "12,5"], '`decimal=","` and `thousands="."`'),
        (["1.234.567"], '`decimal=","` and `thousands="."`'),
        (["1 234"], '`thousands=" "`'),
        (["1 234,5"], '`decimal=","` and `thousands=" "`'),
        (["1'234.5"], '`thousands="\'"`'),
        (["much"], None),
        (["1,5", "-"], None),
        ([""], None),
        (["12.05.2020"], None),
    ],
)
def test_options_that_would_read_them(cells, expected):
    assert suggest_notation(cells) == expected


def test_signs_of_money_and_per_cent():
    for cell in (
        "$4000",
        "4.2%",
        "\u20ac 1.234,50",
        "USD 12",
        "(500)",
        "-$4,0",
    ):
        assert is_decorated(cell), cell
    for cell in ("4000", "A11", "3+", "$", "%", "", "12kg", "2020-01-01", "B$"):
        assert not is_decorated(cell), cell


def test_what_is_missing_is_what_pandas_says_and_a_question_mark():
    from pandas._libs.parsers import STR_NA_VALUES

    assert {*MISSING} == {*STR_NA_VALUES, "?"}


def test_blanks():
    assert clean("\ufeff a b\u00a0") == "a b"
    assert clean("a\ufeffb") == "a\ufeffb"
    assert clean("") == clean("\ufeff") == clean(" \u200b ") == ""


@pytest.mark.parametrize(
    ("options", "rule"),
    [
        ({"decimal": ";"}, "`decimal` must be a point or a comma"),
        ({"thousands": "_"}, "`thousands` must be a comma"),
        ({"thousands": "."}, "not the decimal mark"),
        ({"missing": "NA"}, "`missing` must be a list of texts.*'NA'"),
    ],
)
def test_refused(options, rule):
    with pytest.raises(ValueError, match=f"^me: .*{rule}"):
        read_notation("me", **options)
