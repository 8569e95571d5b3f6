"""Formulas over columns: their values, and what is refused."""

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from moe_keras.ops.expression import evaluate_expression, parse_expression
from tests.tools import numpy_of

F32 = np.float32
NAMES = ("a", "b", "net pay")
FUNCTIONS = {
    "log1p": lambda x: np.log1p(max(x, F32(0))),
    "clip": lambda x, low, high: min(max(x, low), high),
}
ROWS = 6


def evaluate(text, **columns):
    columns = {name: np.asarray(v, "float32") for name, v in columns.items()}
    found = evaluate_expression(parse_expression(text, columns), columns)
    return numpy_of(found)


def python(formula, row):
    """The same formula as Python itself understands it, of one row."""
    numbers = re.sub(r"(?<![a-z])\d+\.?\d*", r"F32(\g<0>)", formula)
    known = {**FUNCTIONS, **row, "net_pay": row["net pay"], "F32": F32}
    try:
        with np.errstate(all="raise"):
            return eval(numbers.replace('"net pay"', "net_pay"), known)
    except FloatingPointError:
        return np.nan


def formulas():
    leaves = st.sampled_from(
        ["a", "b", '"net pay"', "2.5", "0.25", "-3", "(-a)", "+b"]
    )
    return st.recursive(
        leaves,
        lambda inner: st.one_of(
            st.tuples(inner, st.sampled_from("+-*/"), inner).map(
                lambda t: f"({t[0]} {t[1]} {t[2]})"
            ),
            inner.map(lambda x: f"abs({x})"),
            inner.map(lambda x: f"log1p({x})"),
            st.tuples(inner, inner).map(lambda t: f"min({t[0]}, {t[1]})"),
            st.tuples(inner, inner, inner).map(
                lambda t: f"max({t[0]}, {t[1]}, {t[2]})"
            ),
            inner.map(lambda x: f"clip({x}, -1, 2)"),
        ),
        max_leaves=6,
    )


@given(formulas())
def test_values_are_those_of_python(formula):
    # Not 0, and few digits: mere rounding decides nothing.
    values = np.random.default_rng(3).integers(1, 9, (3, ROWS)) / 4
    columns = dict(zip(NAMES, values.astype("float32"), strict=True))
    if not set("ab").intersection(re.findall(r"\b[a-z]+\b", formula)):
        formula = f"({formula}) + b"
    parsed = parse_expression(formula, NAMES)
    found = numpy_of(evaluate_expression(parsed, columns))
    rows = [{n: columns[n][place] for n in NAMES} for place in range(ROWS)]
    expected = [python(formula, row) for row in rows]
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("formula", "expected"),
    [
        ("a / b", [0.5, np.nan, np.nan, -2]),
        ("a - b * 2", [-3, 3, np.nan, 2]),
        ("-a", [-1, -3, np.nan, -1]),
        ("log1p(b - 1)", [np.log(2), 0, np.log(4), 0]),
        ("min(a, b, 1)", [1, 0, np.nan, -0.5]),
        ("max(a, b)", [2, 3, np.nan, 1]),
        ("clip(b, 0, 1)", [1, 0, 1, 0]),
        ("abs(b)", [2, 0, 4, 0.5]),
        ("a * 0", [0, 0, np.nan, 0]),
        # Missing on the way is missing at the end.
        ("clip(a / b, 0, 1)", [0.5, np.nan, np.nan, 0]),
        ("min(b / (b * 0), 1)", [np.nan] * 4),
        # Too large for float32 on the way.
        ("clip(b * 3e38 * 3e38, 0, 1)", [np.nan, 0, np.nan, np.nan]),
        ("\n a\n + 1 ", [2, 4, np.nan, 2]),
    ],
)
def test_missing_and_zero(formula, expected):
    found = evaluate(formula, a=[1, 3, np.nan, 1], b=[2, 0, 4, -0.5])
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_columns_are_those_that_are_read():
    found = parse_expression('b + "net pay" / b', NAMES)
    assert found.columns == ("b", "net pay")


@pytest.mark.parametrize(
    ("formula", "message"),
    [
        ("a ** 2", r"operators are \+ - \* and /.*part='a \*\* 2'"),
        ("a // 2", "operators are"),
        ("not a", "operators are"),
        ("a.b", "it may hold numbers.*part='a.b'"),
        ("a if b else 1", "it may hold"),
        ("a < b", "it may hold"),
        ("[a]", "it may hold"),
        ("(lambda: a)()", "its functions are"),
        ("__import__('os')", "its functions are abs, clip"),
        ("a.real()", "its functions are"),
        ("c + 1", "no column of numbers 'c'; there are 'a', 'b', 'net pay'"),
        ("'c' + 1", "no column of numbers 'c'"),
        ("min", "no column of numbers 'min'"),
        ("abs(a, b)", "abs takes 1 values"),
        ("min(a)", "min takes 2 values or more"),
        ("clip(a, high=1)", "clip takes 3"),
        ("min(*a, b)", "it may hold"),
        ("clip(a, 2, 1)", "lowest value is above the highest"),
        ("a / 0", "divides by 0.*part='a / 0'"),
        ("a / -0.0", "divides by 0"),
        ("a * 1e39", "finite in float32"),
        ("a * 1e999", "finite in float32"),
        ("a * True", "finite in float32"),
        ("a + 1j", "finite in float32"),
        ("a * None", "finite in float32"),
        ("1 + 2", "reads no column"),
        ("a +", "cannot be read"),
        ("a = 1", "cannot be read"),
        ("a\x00", "cannot be read"),
        ("-" * 60 + "a", "more than 50 deep"),
        ("(" * 900 + "a" + ")" * 90, "cannot be read"),
        ("", "text of 1 to 1,000 characters"),
        ("a" * 1001, "text of 1 to 1,000 characters"),
        (3, "text of 1 to 1,000 characters"),
    ],
)
def test_refused(formula, message):
    with pytest.raises(ValueError, match=f"^Owner: .*{message}"):
        parse_expression(formula, NAMES, "Owner")
