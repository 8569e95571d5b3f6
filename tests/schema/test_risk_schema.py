"""What a schema says of the row, and what it refuses to say."""

import re

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError

from moe_keras.layers import TableColumns
from moe_keras.schema import (
    Categorical,
    Derived,
    Numeric,
    Ordinal,
    RiskSchema,
    Target,
)
from tests.tools import numpy_of

SCHEMA = RiskSchema(
    target=Target(name="risk", values=["good", "late", "bad"], bad="bad"),
    numeric=[
        Numeric(name="limit", unit="EUR", minimum=0, monotone=-1),
        Numeric(name="bill", special=[-9], monotone=1),
        Numeric(name="age", minimum=18, maximum=100, outside="clip"),
    ],
    ordinal=[Ordinal(name="grade", levels=["c", "b", "a"], monotone=-1)],
    categorical=[
        Categorical(name="sex", levels=[1, 2]),
        Categorical(name="home", levels=["own", "rent"], unseen="error"),
    ],
    derived=[
        Derived(name="used", expression="bill / limit"),
        Derived(name="double", expression="used * 2 + age"),
        Derived(name="old", expression="log1p(age - 50)", monotone=1),
    ],
    protected=["age", "sex"],
)
FRAME = pd.DataFrame(
    {
        "id": ["p", "q", "r"],
        "limit": [100, 200, None],
        "bill": [50, -9, 3],
        "age": [17, 30, 60],
        "grade": ["a", None, "x"],
        "sex": [1, 2, 3],
        "home": ["rent", "own", None],
        "risk": ["bad", "late", "good"],
    }
)
NAMES = [
    *("limit", "bill", "age", "grade", "used", "double", "old"),
    *("sex", "home", "bill=-9"),
]


def test_rows_of_a_frame():
    layer = TableColumns(**SCHEMA.table_columns())
    assert layer.row_names == NAMES
    rows = numpy_of(layer(SCHEMA.check(FRAME)))
    nan = np.nan
    expected = [
        [100, 50, 18, 2, 0.5, 19, 0, 0, 1, 0],
        [200, nan, 30, nan, nan, nan, 0, 1, 0, 1],
        [nan, 3, 60, nan, nan, nan, np.log(11), nan, nan, 0],
    ]
    np.testing.assert_allclose(rows, expected, rtol=1e-6)


def test_protected_columns_can_be_hidden():
    hidden = SCHEMA.model_copy(update={"hide_protected": True})
    layer = TableColumns(**hidden.table_columns())
    assert layer.row_names == [
        *("limit", "bill", "grade", "used", "home", "bill=-9")
    ]
    assert list(hidden.check(FRAME)) == ["limit", "bill", "grade", "home"]
    assert hidden.check(FRAME.drop(columns=["age", "sex"])).keys() == set(
        layer.raw_names
    )
    assert len(hidden.row_monotone().signs) == 6
    with pytest.raises(ValidationError, match="there must be a column"):
        RiskSchema(
            numeric=[Numeric(name="age")],
            derived=[Derived(name="old", expression="age - 50")],
            protected=["age"],
            hide_protected=True,
        )


def test_what_depends_on_what():
    assert SCHEMA.depends_on("limit") == ("limit",)
    assert SCHEMA.depends_on("used") == ("bill", "limit")
    assert SCHEMA.depends_on("double") == ("bill", "limit", "age")
    assert SCHEMA.depends_on("bill=-9") == ("bill",)
    assert SCHEMA.depends_on("home") == ("home",)
    with pytest.raises(ValueError, match=r"no such column.*name='risk'"):
        SCHEMA.depends_on("risk")


def test_what_is_monotone():
    monotone = SCHEMA.row_monotone()
    assert monotone.signs == (-1, 1, 0, -1, 0, 0, 1, 0, 0, 0)
    assert dict(zip(NAMES, monotone.sources, strict=True)) == {
        "limit": ("limit",),
        "bill": ("bill",),
        "age": (),
        "grade": ("grade",),
        "used": ("bill", "limit"),
        "double": ("bill", "limit"),
        "old": ("old",),
        "sex": (),
        "home": (),
        "bill=-9": ("bill",),
    }


def test_labels():
    np.testing.assert_array_equal(SCHEMA.labels(FRAME), [1, 0, 0])
    assert SCHEMA.labels(FRAME).dtype == np.int64
    part = SCHEMA.labels(FRAME[1:], one_class=True)
    np.testing.assert_array_equal(part, [0, 0])
    numbers = RiskSchema(
        target=Target(name="y", values=[1, 2], bad=2),
        numeric=[Numeric(name="x")],
    )
    for values in ([2.0, 1.0], np.array([2, 1]), pd.array([2, 1], "Int64")):
        found = numbers.labels({"y": pd.Series(values)})
        np.testing.assert_array_equal(found, [1, 0])
    assert numbers.labels({"y": np.zeros(0)}).shape == (0,)


def test_booleans_are_0_and_1():
    schema = RiskSchema(
        target=Target(name="y", values=[0, 1], bad=1),
        numeric=[Numeric(name="x")],
    )
    for kind in ("bool", "boolean", "object"):
        given = pd.Series([True, False, True]).astype(kind)
        np.testing.assert_array_equal(schema.labels({"y": given}), [1, 0, 1])
    with pytest.raises(ValidationError, match="1 or 0 where the column holds"):
        Target(name="y", values=[True, False], bad=True)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (["bad", None, "bad"], "value of the target is missing.*row=2"),
        (["bad", "good", "x"], "none of the target's.*row=3, value='x'"),
        (["bad", 1, "good"], "a text belongs.*row=2, value=1"),
        (["bad"] * 3, "all rows are of one class.*rows=3, bad=3"),
        (["good", "late", "late"], "all rows are of one class.*bad=0"),
    ],
)
def test_labels_refused(values, message):
    frame = FRAME.assign(risk=pd.Series(values, dtype=object))
    with pytest.raises(
        ValueError, match=f"^RiskSchema.labels: .*{message}"
    ) as caught:
        SCHEMA.labels(frame)
    assert "column='risk'" in str(caught.value)


def test_labels_of_several_targets():
    early = Target(name="early", values=[0, 1], bad=1)
    schema = SCHEMA.model_copy(update={"other_targets": [early]})
    assert [one.name for one in schema.targets] == ["risk", "early"]
    frame = FRAME.assign(early=[1, None, 0], risk=["bad", None, "late"])
    found = schema.labels_by_target(frame)
    np.testing.assert_array_equal(found["risk"], [1, -1, 0])
    np.testing.assert_array_equal(found["early"], [1, -1, 0])
    assert found["early"].dtype == np.int64
    for early, message in (
        ([1, None, None], "all rows are of one class.*rows=1, bad=1"),
        ([None] * 3, "all rows are of one class.*rows=0"),
        ([1, 0, 2], "none of the target's.*row=3"),
    ):
        with pytest.raises(ValueError, match=f"labels_by_target: .*{message}"):
            schema.labels_by_target(frame.assign(early=early))
    again = schema.labels_by_target(frame[:2], one_class=True)
    np.testing.assert_array_equal(again["early"], [1, -1])
    assert SCHEMA.model_copy(update={"target": None}).targets == []


def test_labels_need_a_target():
    schema = RiskSchema(numeric=[Numeric(name="x")])
    with pytest.raises(ValueError, match="the schema has no target"):
        schema.labels(FRAME)
    with pytest.raises(ValueError, match=r"a column is missing.*'risk'"):
        SCHEMA.labels(FRAME.drop(columns="risk"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"numeric": [{"name": "sex"}]}, "two columns have one name"),
        ({"target": {"name": "sex", "values": [0, 1], "bad": 1}}, "column too"),
        (
            {"other_targets": [{"name": "sex", "values": [0, 1], "bad": 1}]},
            "'sex' is a column too",
        ),
        (
            {"other_targets": [{"name": "risk", "values": [0, 1], "bad": 1}]},
            "two targets have one name: 'risk'",
        ),
        ({"protected": ["race"]}, "'race' is no column"),
        ({"colour": 1}, "colour\n.*Extra inputs"),
        ({"numeric": [{"name": "x", "monotone": 2}]}, "-1, 0 or 1"),
        ({"numeric": [{"name": "x", "minimum": "0"}]}, "valid number"),
        ({"numeric": [{"name": "x", "special": ["a"]}]}, "be a number"),
        ({"numeric": [{"name": "x", "special": [True]}]}, "be a number"),
        ({"numeric": [{"name": "x", "special": [1e39]}]}, "finite in float32"),
        ({"categorical": [{"name": "x", "levels": []}]}, "at least 1 item"),
        ({"categorical": [{"name": "x", "levels": ["a", 2]}]}, "all of them n"),
        (
            {"derived": [{"name": "d", "expression": "bill + x"}]},
            "no column of numbers 'x'",
        ),
        (
            {"derived": [{"name": "d", "expression": "bill", "monotone": 1}]},
            "'d' cannot be monotone by itself: it reads bill",
        ),
        (
            {"target": {"name": "y", "values": [0, 1], "bad": 2}},
            r"must be one of the values \[0, 1\]",
        ),
        (
            {"target": {"name": "y", "values": ["a", 1], "bad": 1}},
            "texts, or all",
        ),
        ({"target": {"name": "y", "values": [1, 1], "bad": 1}}, "different"),
        ({"target": {"name": "y", "values": [1], "bad": 1}}, "at least 2"),
    ],
)
def test_schemas_refused(changes, message):
    values = {**SCHEMA.model_dump(), **changes}
    if "numeric" in changes or "categorical" in changes:
        values |= {"protected": [], "derived": []}
    with pytest.raises(ValidationError, match=re.compile(message, re.DOTALL)):
        RiskSchema.model_validate(values)
