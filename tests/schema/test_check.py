"""Tables under a schema: what is read, and column and row of what is not."""

import re

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from moe_keras.layers import TableColumns
from moe_keras.schema import Categorical, Numeric, Ordinal, RiskSchema
from tests.tools import numpy_of

SCHEMA = RiskSchema(
    numeric=[
        Numeric(name="x", minimum=0, maximum=10, special=[-9]),
        Numeric(name="n"),
    ],
    ordinal=[Ordinal(name="grade", levels=[1, 2, 3], unseen="error")],
    categorical=[
        Categorical(name="home", levels=["own", "rent"], unseen="error"),
        Categorical(name="job", levels=["a", "b"]),
    ],
)
LAYER = TableColumns(**SCHEMA.table_columns())
NAMES = ["x", "n", "grade", "home", "job"]


def table(rows=4):
    return {
        "x": np.resize([1.0, -9, 10], rows),
        "n": np.resize([5, 6], rows),
        "grade": np.resize([3, 1], rows),
        "home": np.resize(["own", "rent"], rows).astype(object),
        "job": np.resize(["a", "z"], rows),
        "further": np.resize(["p", "q"], rows),
    }


def check(**changes):
    return SCHEMA.check({**table(), **changes})


@pytest.mark.parametrize("rows", [0, 1, 5])
@pytest.mark.parametrize("kind", [dict, pd.DataFrame])
def test_rows(kind, rows):
    found = SCHEMA.check(kind(table(rows)))
    assert list(found) == NAMES
    for name, values in found.items():
        texts = name in ("home", "job")
        assert values.dtype == (object if texts else np.float64)
        assert values.tolist() == table(rows)[name].tolist()
    row = numpy_of(LAYER(found))
    assert row.shape == (rows, 6)


@pytest.mark.parametrize(
    ("name", "values", "expected"),
    [
        ("n", pd.array([1, None, 3, 4], "Int64"), [1, np.nan, 3, 4]),
        (
            "n",
            pd.array([True, None, False, True], "boolean"),
            [1, np.nan, 0, 1],
        ),
        (
            "n",
            pd.Series([1, None, 3.5, True], dtype=object),
            [1, np.nan, 3.5, 1],
        ),
        ("n", np.array([True, False, True, True]), [1, 0, 1, 1]),
        ("n", pd.Categorical([1, 2, None, 1]), [1, 2, np.nan, 1]),
        ("n", [None] * 4, [np.nan] * 4),
        ("n", np.ones((4, 1)), [1] * 4),
        ("grade", [1, np.nan, 2, 3], [1, np.nan, 2, 3]),
        ("x", [0, 10, -9, np.nan], [0, 10, -9, np.nan]),
        ("home", ["own", None, "", np.nan], ["own", "", "", ""]),
        ("home", pd.array(["own", None, "own", "own"], "string"), None),
        ("home", pd.Categorical(["own", None, "own", "own"]), None),
        ("home", np.full(4, np.nan), [""] * 4),
        ("job", ["a", "new", "b", None], ["a", "new", "b", ""]),
    ],
)
def test_what_is_missing_and_of_which_type(name, values, expected):
    expected = ["own", "", "own", "own"] if expected is None else expected
    found = check(**{name: values})[name]
    if np.ndim(values) == 1:
        frame = pd.DataFrame({**table(), name: values})
        again = SCHEMA.check(frame)[name]
        np.testing.assert_array_equal(again, found)
    if name in ("home", "job"):
        assert found.tolist() == expected
    else:
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("n", [1, 2, np.inf, 3], "finite in float32.*row=3, value=inf"),
        ("n", [1e39, 2, 3, 4], "finite in float32.*row=1, value=1e+39"),
        ("n", [1, "two", 3, 4], "where 'two' stands.*row=2, value='two'"),
        ("n", [1, "2,5", 3, 4], 'decimal mark, give `decimal=","`.*row=2'),
        ("n", [1, "4,282", 3, 4], 'so, give `thousands=","`.*row=2'),
        ("n", [1, 2, 3, "-"], "missing value, say so.*row=4, value='-'"),
        ("n", np.array(["1", "b"] * 2), "where 'b' stands.*row=2, value='b'"),
        ("n", np.ones(4, "M8[s]"), "must hold numbers.*dtype='datetime64[s]'"),
        ("n", np.ones((4, 2)), "(N,) or (N, 1).*shape=(4, 2)"),
        ("n", np.ones(3), "all columns must have the same rows.*'n': 3"),
        ("x", [1, 2, 3, -1], "beyond the minimum 0.*row=4, value=-1.0"),
        ("x", [1, 11, -8, 3], "beyond the minimum 0.*row=3"),
        ("x", [1, 11, 2, 12], "beyond the maximum 10.*row=2, value=11.0"),
        ("grade", [1, 4, 2, 3], "none of the levels [1, 2, 3].*row=2"),
        ("grade", [1, "b", 2, 3], "a number belongs.*row=2"),
        (
            "home",
            ["own", "OWN", "", ""],
            "none of the levels.*row=2, value='OWN'",
        ),
        ("home", ["own", 1, "", ""], "a text belongs.*row=2, value=1"),
        ("home", [1.5] * 4, "a text belongs.*row=1, value=1.5"),
        ("home", [b"own"] * 4, "a text belongs.*row=1, value=b'own'"),
    ],
)
def test_refused(name, values, message):
    if isinstance(values, list):
        values = np.array(values, dtype=object)
    pattern = re.escape(message).replace(r"\.\*", ".*")
    with pytest.raises(
        ValueError, match=f"^RiskSchema.check: .*{pattern}"
    ) as e:
        check(**{name: values})
    assert f"'{name}'" in str(e.value)


def test_missing_and_duplicate_columns():
    for name in NAMES:
        columns = table()
        del columns[name]
        with pytest.raises(ValueError, match=f"is missing.*column='{name}'"):
            SCHEMA.check(columns)
    frame = pd.DataFrame(table())
    frame.columns = ["x", "n", "grade", "home", "job", "n"]
    with pytest.raises(
        ValueError, match=r"columns 2 and 6 have one.*column='n'"
    ):
        SCHEMA.check(frame)
    with pytest.raises(
        ValueError, match=r"data frame, or a dict.*frame='list'"
    ):
        SCHEMA.check([1, 2])


@given(
    st.lists(
        st.one_of(
            st.none(),
            st.floats(),
            st.integers(-(10**12), 10**12),
            st.text(max_size=2),
            st.booleans(),
            st.sampled_from([-9, 3, "own", ""]),
        ),
        max_size=5,
    ),
    st.sampled_from(NAMES),
)
def test_any_column_is_a_row_or_an_error_that_names_it(values, name):
    columns = table(len(values))
    columns[name] = pd.Series(values, dtype=object)
    try:
        found = SCHEMA.check(columns)
    except ValueError as error:
        message = str(error)
    else:
        row = numpy_of(LAYER(found))
        assert row.shape == (len(values), 6)
        assert not np.isinf(row).any()
        return
    assert f"column={name!r}" in message
    # That row alone is at fault, too.
    place = int(re.search(r"row=(\d+)", message)[1]) - 1
    one = {n: v[place : place + 1] for n, v in columns.items()}
    with pytest.raises(ValueError, match=rf"column='{name}', row=1"):
        SCHEMA.check(one)
