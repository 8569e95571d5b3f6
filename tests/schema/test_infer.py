"""Schemas from values: kinds of columns, and tables that tell nothing."""

import re

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from moe_keras.schema import (
    Categorical,
    Numeric,
    Ordinal,
    Target,
    infer_schema,
)

ROWS = 40
RNG = np.random.default_rng(0)


def frame(**columns):
    y = np.resize([0, 1], ROWS)
    return pd.DataFrame({"x": RNG.normal(size=ROWS), **columns, "y": y})


def column_of(values, **options):
    found = infer_schema(frame(c=values), "y", **options)
    columns = [*found.numeric, *found.ordinal, *found.categorical]
    return [one for one in columns if one.name == "c"]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (RNG.normal(size=ROWS), Numeric(name="c")),
        (np.resize(np.arange(6), ROWS), Numeric(name="c")),
        (np.resize([0.5, 1, 2], ROWS), Numeric(name="c")),
        (np.resize([3, 1, 2, 5, 9], ROWS), [1, 2, 3, 5, 9]),
        (np.resize([1.0, np.nan, 2], ROWS), [1, 2]),
        (np.resize([0.5, 0.25], ROWS), [0.25, 0.5]),
        (np.resize([True, False], ROWS), [0, 1]),
        (pd.array(np.resize([1, 2], ROWS), "Int64"), [1, 2]),
        (np.resize(["b", "a"], ROWS), ["a", "b"]),
        (np.resize(np.array(["b", None], object), ROWS), ["b"]),
        (np.resize(["10", "9"], ROWS), ["10", "9"]),
        (np.resize([7, np.nan], ROWS), [7]),
        (pd.Categorical(np.resize(["b", "a"], ROWS)), ["a", "b"]),
    ],
)
def test_kinds(values, expected):
    if isinstance(expected, list):
        expected = Categorical(name="c", levels=expected)
    assert column_of(values) == [expected]


def test_ordered_categories():
    for levels in (["low", "mid", "high"], [3, 1, 2]):
        dtype = pd.CategoricalDtype(levels, ordered=True)
        values = pd.Series(np.resize(np.array(levels[:2]), ROWS), dtype=dtype)
        assert column_of(values) == [Ordinal(name="c", levels=levels)]


def test_options():
    few = np.resize(np.arange(6), ROWS)
    (found,) = column_of(few, few=6)
    assert found == Categorical(name="c", levels=[0, 1, 2, 3, 4, 5])
    assert column_of(few, drop=["c"]) == []
    texts = np.resize(["a", "b", "c"], ROWS)
    with pytest.raises(ValueError, match=r"more than 2 levels.*'c', levels=3"):
        column_of(texts, most_levels=2)


@pytest.mark.parametrize(
    ("values", "why"),
    [
        (np.full(ROWS, np.nan), "has no value"),
        ([None] * ROWS, "has no value"),
        ([""] * ROWS, "has no value"),
        (np.ones(ROWS), "has one value only, np.float64(1.0)"),
        (["a"] * ROWS, "has one value only, 'a'"),
    ],
)
def test_columns_that_tell_nothing(values, why):
    message = re.escape(f"column 'c' {why} and is left out")
    with pytest.warns(UserWarning, match=message):
        assert column_of(values) == []


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([f"id{i}" for i in range(ROWS)], "as ids have.*first='id0', rows=40"),
        (np.arange(ROWS) + 7, "as ids have.*first=7.0"),
        (RNG.permutation(ROWS).astype("float64"), "as ids have"),
        (
            pd.date_range("2020-01-01", periods=ROWS),
            "make numbers of dates.*row=1, dtype='datetime64",
        ),
        ([1, "a"] * (ROWS // 2), "a number belongs.*row=2, value='a'"),
        (["a", 1] * (ROWS // 2), "a text belongs.*row=2, value=1"),
        ([1.0, np.inf] * (ROWS // 2), "finite in float32.*row=2"),
    ],
)
def test_columns_refused(values, message):
    with pytest.raises(ValueError, match=f"^infer_schema: .*{message}") as e:
        column_of(values)
    assert "column='c'" in str(e.value)


def test_what_differs_in_all_rows_is_no_id_by_itself():
    with_gaps = np.arange(ROWS) * 3
    assert column_of(with_gaps) == [Numeric(name="c")]
    few = {"c": ["a", "b", "c"], "y": [0, 1, 1]}
    assert infer_schema(few, "y").categorical[0].levels == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("values", "bad", "expected"),
    [
        ([0, 1], None, ([0, 1], 1)),
        ([2, 1], None, ([1, 2], 2)),
        ([True, False], None, ([0, 1], 1)),
        ([0, 1], 0, ([0, 1], 0)),
        (["good", "bad"], "bad", (["bad", "good"], "bad")),
        ([1, 2, 3], 3.0, ([1, 2, 3], 3)),
    ],
)
def test_targets(values, bad, expected):
    table = {"x": [0.5, 1.5, 2.5], "y": [values[0], *values][-3:]}
    target = infer_schema(table, "y", bad).target
    assert (target.values, target.bad) == expected
    assert type(target.bad) is type(expected[1])
    assert infer_schema(table, "y", positive=bad).target == target
    assert target.positive == target.bad
    assert infer_schema({"x": [1, 2, 2]}, None).target is None


def test_the_positive_value_has_two_names():
    table = {"x": [0.5, 1.5, 2.5], "churn": ["no", "yes", "no"]}
    target = infer_schema(table, "churn", positive="yes").target
    # What is stored is read by earlier versions too.
    assert target.model_dump() == {
        "name": "churn",
        "values": ["no", "yes"],
        "bad": "yes",
    }
    same = {"name": "churn", "values": ["no", "yes"], "positive": "yes"}
    assert Target.model_validate(same) == target
    with pytest.raises(ValueError, match="one key: give one of them"):
        Target.model_validate({**same, "bad": "no"})
    with pytest.raises(ValueError, match=r"two names.*bad=0, positive=0"):
        infer_schema({"x": [1.5, 2.5], "y": [0, 1]}, "y", 0, positive=0)


@pytest.mark.parametrize(
    ("values", "bad", "message"),
    [
        (["a", "b"], None, "must say which value.*'a', 'b'"),
        ([1, 2, 3], None, "`positive` .*must say which"),
        ([0, 1], 2, "is no value.*positive=2"),
        ([1, 1], None, "must have 2 to 20 classes.*classes=1, first=1"),
        (np.arange(21.0), 1, "2 to 20 classes.*classes=21"),
        ([0, None], None, "value of the target is missing.*row=2"),
        ([0, "a"], None, "a number belongs.*row=2"),
        ([], None, "the table has no row"),
    ],
)
def test_targets_refused(values, bad, message):
    table = {"x": np.arange(len(values)) % 2, "y": np.array(values, object)}
    with (
        pytest.raises(ValueError, match=f"^infer_schema: .*{message}"),
        pytest.warns() if not len(values) else _nothing(),
    ):
        infer_schema(table, "y", bad)


def _nothing():
    import contextlib

    return contextlib.nullcontext()


def test_tables_refused():
    with pytest.raises(ValueError, match=r"no such column.*column='z'"):
        infer_schema(frame(), "z")
    with pytest.raises(ValueError, match=r"no such column.*column='z'"):
        infer_schema(frame(), "y", drop=["z"])
    twice = frame(c=1)
    twice.columns = ["x", "x", "y"]
    with pytest.raises(ValueError, match=r"columns 1 and 2 have.*column='x'"):
        infer_schema(twice, "y")
    with pytest.raises(ValueError, match=r"name of a column.*column=0"):
        infer_schema(pd.DataFrame(np.ones((2, 2))), None)
    with (
        pytest.raises(ValueError, match="there must be a column"),
        pytest.warns(UserWarning, match="has no value"),
    ):
        infer_schema({"x": [np.nan, np.nan], "y": [0, 1]}, "y")


@given(
    st.lists(
        st.tuples(
            st.one_of(st.none(), st.floats(-5, 5), st.integers(0, 3)),
            st.sampled_from(["a", "b", "", None]),
        ),
        min_size=1,
        max_size=12,
    )
)
@pytest.mark.filterwarnings("ignore:infer_schema")
def test_what_is_inferred_fits_the_table(rows):
    x, c = zip(*rows, strict=True)
    table = pd.DataFrame({"x": x, "c": c, "z": np.arange(len(rows)) / 3})
    table["k"] = [0.5] + [1.5] * (len(rows) - 1)
    if len(rows) < 2:
        with pytest.raises(ValueError, match="there must be a column"):
            infer_schema(table[["k"]], None)
        return
    schema = infer_schema(table, None)
    checked = schema.check(table)
    for one in schema.categorical:
        values = checked[one.name]
        there = values[(values != "") & (values == values)]
        assert set(there) == set(one.levels)
