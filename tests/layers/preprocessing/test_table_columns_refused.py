"""What is no table, and what no table can be said to be."""

import keras
import numpy as np
import pytest

from moe_keras.layers import TableColumns
from tests.layers.preprocessing.tables import ARGUMENTS, table
from tests.tools import BACKEND


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "there must be a column"),
        ({"numbers": ["x"]}, "`numbers` must hold dicts.*found='x'"),
        ({"numbers": [{}]}, "a column in `numbers` needs 'name'"),
        ({"numbers": [{"name": ""}]}, "name must be a text"),
        ({"numbers": [{"name": 3}]}, "name must be a text.*name=3"),
        ({"numbers": [{"name": "x", "min": 0}]}, "no such key.*key='min'"),
        (
            {"numbers": [{"name": "x", "special": 3}]},
            "special values must be a list.*column='x', special=3",
        ),
        ({"numbers": [{"name": "x", "special": [np.nan]}]}, "special values"),
        ({"numbers": [{"name": "x", "special": [True]}]}, "special values"),
        (
            {"numbers": [{"name": "x", "special": [2**24, 2**24 + 1]}]},
            "special values must all be different.*twice=16777217",
        ),
        (
            {"numbers": [{"name": "x", "minimum": "0"}]},
            "minimum must be a number.*minimum='0'",
        ),
        (
            {"numbers": [{"name": "x", "minimum": 2, "maximum": 1}]},
            "minimum is above the maximum",
        ),
        (
            {"numbers": [{"name": "x", "outside": "error"}]},
            "one of missing, clip.*outside='error'",
        ),
        ({"categories": [{"name": "c"}]}, "needs 'levels'"),
        ({"categories": [{"name": "c", "levels": []}]}, "levels must be texts"),
        (
            {"categories": [{"name": "c", "levels": ["a", 1]}]},
            "levels must be texts.*column='c'",
        ),
        ({"categories": [{"name": "c", "levels": ["a", ""]}]}, "none of them"),
        ({"ordinals": [{"name": "c", "levels": "ab"}]}, "levels must be texts"),
        (
            {"ordinals": [{"name": "c", "levels": ["a", "b", "a"]}]},
            "levels must all be different.*twice='a'",
        ),
        (
            {"numbers": [{"name": "x"}, {"name": "x"}]},
            "two columns have one name.*column='x'",
        ),
        (
            {"numbers": [{"name": "x", "special": [-9]}, {"name": "x=-9"}]},
            "two columns have one name.*column='x=-9'",
        ),
        (
            {
                "numbers": [{"name": "x"}],
                "derived": [{"name": "d", "expression": "x + y"}],
            },
            "no column of numbers 'y'",
        ),
        (
            {
                "categories": [{"name": "c", "levels": [1, 2]}],
                "derived": [{"name": "d", "expression": "c + 1"}],
            },
            "no column of numbers 'c'",
        ),
        (
            {
                "numbers": [{"name": "x"}],
                "derived": [
                    {"name": "d", "expression": "e + 1"},
                    {"name": "e", "expression": "x + 1"},
                ],
            },
            "no column of numbers 'e'; there are 'x'",
        ),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=f"^TableColumns: .*{message}"):
        TableColumns(**arguments)


def changed(**changes):
    return {**table(4), **changes}


def without(name):
    columns = table(4)
    del columns[name]
    return columns


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        (without("n"), r"`inputs` lacks columns.*missing=\['n'\]"),
        (np.ones((4, 2)), "`inputs` must be a dict"),
        (
            changed(x=np.array(["1", "2", "3", "4"])),
            "a column must hold numbers.*column='x'",
        ),
        (
            changed(x=np.array([1, 2, 3, None])),
            "a column must hold numbers.*column='x', dtype='object'",
        ),
        (
            changed(home=np.ones(4)),
            "a column must hold texts.*column='home', dtype='float64'",
        ),
        (
            changed(x=np.ones(3)),
            "all columns must have the same rows.*'x'.*3",
        ),
        (changed(x=np.ones((4, 2))), r"\(B,\) or \(B, 1\).*column='x'"),
        (changed(x=np.float32(3)), r"\(B,\) or \(B, 1\).*column='x'"),
        (changed(home=np.array([["a"] * 2] * 4)), r"\(B,\) or \(B, 1\)"),
    ],
)
def test_bad_tables(inputs, message):
    layer = TableColumns(**ARGUMENTS)
    with pytest.raises(ValueError, match=f"TableColumns: .*{message}"):
        layer(inputs)


def test_bad_symbols():
    layer = TableColumns([{"name": "x"}, {"name": "y"}])
    x, text = keras.Input(()), keras.Input((), dtype="string")
    with pytest.raises(ValueError, match=r"lacks columns.*missing=\['y'\]"):
        layer({"x": x})
    with pytest.raises(ValueError, match=r"hold numbers.*dtype='string'"):
        layer({"x": x, "y": text})
    with pytest.raises(ValueError, match=r"\(B, 1\).*shape=\(None, 2\)"):
        layer({"x": x, "y": keras.Input((2,))})


@pytest.mark.skipif(BACKEND == "tensorflow", reason="texts are read there")
def test_models_of_texts_need_tensorflow():
    layer = TableColumns(categories=[{"name": "c", "levels": ["a"]}])
    with pytest.raises(ValueError, match="needs the TensorFlow backend"):
        layer(layer.make_inputs())
    # Outside of a model, arrays of texts are fine.
    found = layer({"c": np.array(["b", "a"])})
    np.testing.assert_array_equal(found, [[np.nan], [0]])
