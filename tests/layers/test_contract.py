"""Every public layer, in the configurations that matter, under the contract."""

import inspect

import keras
import pytest

import moe_keras.layers
from tests.cases import CASES
from tests.contract import check_layer


def first_of_each_class():
    """Every case, those after the first one of a class as slow."""
    seen = set()
    for case, (layer_class, _, _) in CASES.items():
        marks = [pytest.mark.slow] if layer_class in seen else []
        seen.add(layer_class)
        yield pytest.param(case, marks=marks)


@pytest.mark.parametrize("case", list(first_of_each_class()))
def test_contract(case):
    layer_class, make_kwargs, inputs = CASES[case]
    check_layer(layer_class, make_kwargs, inputs)


def test_every_public_layer_is_under_the_contract():
    checked = {layer_class for layer_class, _, _ in CASES.values()}
    public = {
        value
        for value in vars(moe_keras.layers).values()
        if inspect.isclass(value) and issubclass(value, keras.layers.Layer)
    }
    abstract = {
        moe_keras.layers.ExpertBank,
        moe_keras.layers.Gate,
        moe_keras.layers.Fusion,
    }
    # See `tests/layers/preprocessing`.
    reading_texts = {moe_keras.layers.TextCleaning, moe_keras.layers.WordIds}
    # Of dicts of columns; see the same folder, and `tests/export`.
    reading_columns = {
        moe_keras.layers.TableColumns,
        moe_keras.layers.ColumnInput,
    }
    assert public - abstract - reading_texts - reading_columns == checked
