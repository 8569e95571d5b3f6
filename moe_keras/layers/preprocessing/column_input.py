"""A model's input for a column whose name no layer can have."""

from collections.abc import Collection, Sequence
from typing import Any

import keras

from moe_keras.layers.registration import register


@register
class ColumnInput(keras.layers.InputLayer):
    """An input whose tensor, and so its key in a dict, is called otherwise.

    Names of layers have no `/`, and no two layers of a model have one name. A
    column may be called `debt/income`, or like another layer.

    Args:
        column: name of the tensor.
        **kwargs: `keras.layers.InputLayer` arguments.
    """

    def __init__(self, column: str, **kwargs: Any):
        super().__init__(**kwargs)
        self.column = column
        self.output.name = column

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "column": self.column}


def make_inputs(
    columns: dict[str, bool], taken: Collection[str]
) -> dict[str, keras.KerasTensor]:
    """A model's inputs by the names of columns.

    Args:
        columns: by name, whether it holds texts.
        taken: the names of the model's other layers.

    Returns:
        By column, float32 `(B,)`, or strings `(B,)`.
    """
    inputs = {}
    for name, layer in _layer_names([*columns], taken).items():
        dtype = "string" if columns[name] else None
        if layer == name:
            inputs[name] = keras.Input((), dtype=dtype, name=name)
        else:
            made = ColumnInput(name, shape=(), dtype=dtype, name=layer)
            inputs[name] = made.output
    return inputs


def _layer_names(
    columns: Sequence[str], taken: Collection[str]
) -> dict[str, str]:
    """All different; the column's own wherever that can be."""
    found = {name: name for name in columns if _can_be(name, taken)}
    used = {*taken, *found}
    for name in columns:
        if name not in found:
            layer = name.replace("/", "_")
            while layer in used:
                layer += "_"
            used.add(layer)
            found[name] = layer
    return {name: found[name] for name in columns}


def _can_be(name: str, taken: Collection[str]) -> bool:
    return "/" not in name and name not in taken
