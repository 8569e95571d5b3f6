"""What only frames can hold: intervals, dates, categories of several types."""

import datetime
import warnings

import numpy as np
import pandas as pd
import pytest

from moe_keras.schema import infer_schema

ROWS = 40
X = np.random.default_rng(0).normal(size=ROWS)


def frame(column, name="c"):
    return pd.DataFrame({"x": X, name: column, "y": np.resize([0, 1], ROWS)})


def infer(column, **options):
    return infer_schema(frame(column), "y", **options)


def test_intervals_are_levels_in_order_and_are_found_again(tmp_path):
    cut = pd.cut(X, [-9, -0.5, 0.5, 9])
    schema = infer(cut)
    levels = ["(-9.0, -0.5]", "(-0.5, 0.5]", "(0.5, 9.0]"]
    assert schema.ordinal[0].levels == levels
    expected = [levels[i] for i in np.digitize(X, [-0.5, 0.5], right=True)]
    path = tmp_path / "t.csv"
    frame(cut).to_csv(path, index=False)
    for again in (frame(cut), frame(cut.astype(str)), pd.read_csv(path)):
        assert schema.check(again)["c"].tolist() == expected
    quarters = pd.qcut(X, 4, duplicates="drop")
    assert len(infer(quarters).ordinal[0].levels) == 4
    # Without an order, and not as categories.
    for other in (cut.as_unordered(), cut.astype(object)):
        found = infer(other)
        assert sorted(found.categorical[0].levels) == sorted(levels)
        assert found.check(frame(cut))["c"].tolist() == expected
    with_missing = pd.Series(cut).where(X < 1)
    assert schema.check(frame(with_missing))["c"].tolist().count("") > 0


DATES = pd.to_datetime(["2020-01-01", "2020-01-02"] * (ROWS // 2))


@pytest.mark.parametrize(
    "column",
    [
        DATES,
        pd.Categorical(DATES),
        pd.Categorical(DATES, ordered=True),
        DATES.date,
        DATES - DATES[0],
        [None, *DATES.astype(object)[1:]],
        pd.array(DATES.tz_localize("UTC")),
        [datetime.time(3)] * ROWS,
    ],
)
def test_dates_are_refused_by_the_column(column):
    with pytest.raises(
        ValueError, match=r"make numbers of dates, or name the .*column='c'"
    ):
        infer(column)
    assert infer(column, drop=["c"]).numeric[0].name == "x"


@pytest.mark.parametrize(
    ("column", "rule"),
    [
        (pd.Categorical([1, "a"] * 20), "a number belongs.*row=2, value='a'"),
        (
            pd.Categorical([1, "a"] * 20, [1, "a"], ordered=True),
            "a number belongs.*row=2, value='a'",
        ),
        (pd.Categorical(["a", 2.5] * 20), "a text belongs.*row=2, value=2.5"),
        ([b"a", b"b"] * 20, "a text belongs.*row=1, value=b'a'"),
        ([(1, 2)] * ROWS, "a text belongs.*row=1"),
        ([1 + 2j] * ROWS, "column='c'"),
        (pd.period_range("2020-01", periods=ROWS, freq="M"), "column='c'"),
        (["a", pd.Timestamp(0)] * 20, "make numbers of dates.*row=2"),
    ],
)
def test_several_types_are_refused_by_the_column(column, rule):
    with pytest.raises(ValueError, match=rf"^infer_schema: .*{rule}") as e:
        infer(column)
    assert "column='c'" in str(e.value)


def test_texts_that_are_wanted():
    found = infer(np.resize([7, 8, 10], ROWS), text=["c"])
    assert found.categorical[0].levels == ["10", "7", "8"]
    checked = found.check(frame(np.resize([7.0, 10.0], ROWS)))["c"]
    assert checked[:2].tolist() == ["7", "10"]
    with pytest.raises(ValueError, match=r"no such column.*'z'"):
        infer(X, text=["z"])


# --- sentences, not lines of another library ---


@pytest.mark.parametrize(
    ("table", "rule"),
    [
        ({"a": [1, 1, 1]}, r"a column that tells.*left_out=\['a'\]"),
        ({"a": ["b"] * 3, "c": [None] * 3}, r"left_out=\['a', 'c'\]"),
        (
            {"": [1.5, 2, 3]},
            "must be a text, and not empty.*column='', place=1",
        ),
        (
            {"a": [1.5, 2, 3], " ": [1.5, 2, 3]},
            "not empty.*column=' ', place=2",
        ),
        (
            {"a": [2**24, 2**24 + 1, 2**24]},
            "same number in float32: name the .*'a', codes=.16777216, 16777217",
        ),
        ({"a": [1.0, 2.0, 1e300]}, "finite in float32.*row=3, value=1e.300"),
        ({"a=-9": [1.5, 2, 3], "a": [1.5, 2, 3]}, None),
    ],
)
def test_faults_are_sentences(table, rule):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if rule is None:
            infer_schema({**table, "y": [0, 1, 0]}, "y")
            return
        with pytest.raises(ValueError, match=rule) as error:
            infer_schema({**table, "y": [0, 1, 0]}, "y")
    assert str(error.value).startswith("infer_schema: ")
    assert "pydantic" not in str(error.value)
    assert "\n" not in str(error.value)


def test_codes_that_meet_in_float32_can_be_texts():
    table = {"a": np.resize([2**24, 2**24 + 1], 6), "y": [0, 1] * 3}
    found = infer_schema(table, "y", text=["a"])
    assert found.categorical[0].levels == ["16777216", "16777217"]
    dtype = pd.CategoricalDtype([2**24 + 1, 2**24], ordered=True)
    ordered = pd.DataFrame(table).astype({"a": dtype})
    with pytest.raises(ValueError, match="the same number in float32"):
        infer_schema(ordered, "y")
