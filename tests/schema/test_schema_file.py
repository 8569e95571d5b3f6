"""Schemas in YAML: there and back, and what is refused by name."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from moe_keras.schema import Categorical, Numeric, RiskSchema
from tests.schema.test_risk_schema import SCHEMA


def load(text, folder):
    path = folder / "schema.yaml"
    path.write_text(text, encoding="utf-8")
    return RiskSchema.from_yaml(path)


def test_there_and_back(tmp_path):
    path = tmp_path / "schema.yaml"
    text = SCHEMA.to_yaml(path)
    assert path.read_text(encoding="utf-8") == text
    assert RiskSchema.from_yaml(path) == SCHEMA
    assert RiskSchema.from_yaml(str(path)).to_yaml() == text


@given(
    st.lists(
        st.one_of(
            st.sampled_from(
                ["yes", "no", "true", "1e5", "1", "~", "a: b", "é"]
            ),
            st.text(st.characters(codec="utf-8"), min_size=1),
        ),
        min_size=1,
        max_size=4,
        unique=True,
    ),
    st.floats(width=32, allow_nan=False, allow_infinity=False),
)
def test_any_texts_and_numbers(tmp_path, levels, number):
    schema = RiskSchema(
        categorical=[Categorical(name="c", levels=levels)],
        numeric=[Numeric(name="x", special=[number], minimum=number)],
    )
    path = tmp_path / "schema.yaml"
    schema.to_yaml(path)
    found = RiskSchema.from_yaml(path)
    assert found == schema
    assert type(found.numeric[0].special[0]) is float


def test_words_and_numbers_by_hand(tmp_path):
    schema = load(
        "numeric:\n- {name: x, special: [-9, 1e3], minimum: 0}\n"
        "categorical:\n- {name: c, levels: [yes, no, on]}\n"
        "hide_protected: true\n",
        tmp_path,
    )
    assert schema.numeric[0].special == [-9, 1000.0]
    assert schema.categorical[0].levels == ["yes", "no", "on"]
    assert schema.hide_protected is True
    assert np.isclose(schema.numeric[0].minimum, 0)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("numerc: []", r"numerc: unknown key; did you mean numeric\? Rec"),
        (
            "numeric:\n- {name: x}\n- {name: y, minimun: 3}",
            r"numeric.1.minimun: unknown key; did you mean minimum\?",
        ),
        (
            "target: {name: y, values: [0, 1], bad: 1, good: 0}",
            "target.good: unknown key. Received: 0",
        ),
        ("numeric:\n- {unit: EUR}", "numeric.0.name: is missing$"),
        ("numeric:\n- {name: 3}", "numeric.0.name: .*string. Received: 3"),
        (
            "categorical:\n- {name: c, levels: [true, false]}",
            "categorical.0.levels.0: must be a text or a number.*True",
        ),
        (
            "categorical:\n- {name: c, levels: [2020-01-01]}",
            "categorical.0.levels.0: must be a text or a number.*date",
        ),
        (
            "categorical:\n- {name: c, levels: [.inf]}",
            "categorical.0.levels.0: .*finite number",
        ),
        (
            "numeric:\n- {name: x}\nderived:\n- {name: d, expression: x ** 2}",
            r"operators are .* expression='x \*\* 2'",
        ),
        ("numeric: []\nnumeric: []", ":1: numeric is there twice"),
        ("- a", "is not a mapping"),
        ("", "is not a mapping"),
        ("a: [", ":1: "),
        (
            "numeric:\n- {name: x}\nprotected: [race]",
            "protected: 'race' is no column of the schema; there are x",
        ),
        ("protected: [race]", "there must be a column"),
        (
            "numeric:\n- {name: x, minimum: a}\n- {name: y, monotone: 2}",
            r"numeric.0.minimum: .*\n.*numeric.1.monotone: ",
        ),
    ],
)
def test_refused(text, message, tmp_path):
    with pytest.raises(ValueError, match=rf"schema\.yaml.*{message}"):
        load(text, tmp_path)


def test_no_file(tmp_path):
    with pytest.raises(FileNotFoundError):
        RiskSchema.from_yaml(tmp_path / "none.yaml")
    (tmp_path / "bad.yaml").write_bytes(b"a: \xff")
    with pytest.raises(ValueError, match=r"bad\.yaml"):
        RiskSchema.from_yaml(tmp_path / "bad.yaml")
