"""New inputs for a copy of a model."""

from collections.abc import Sequence
from typing import Any

import keras


def copy_inputs(
    model: keras.Model, shapes: Sequence[Sequence[int | None]] | None = None
) -> Any:
    """Inputs like those of a model, to call its layers on.

    `keras.models.clone_model` makes some too, but calls each layer by the name
    of its tensor, which may be a name that no layer can have.

    Args:
        model: functional.
        shapes: of the new inputs; None for the model's own.

    Returns:
        Tensors in the structure of `model.input`.
    """
    made = []
    for place, tensor in enumerate(keras.tree.flatten(model.input)):
        layer = tensor._keras_history.operation
        config = layer.get_config()
        if shapes is not None:
            config["batch_shape"] = (None, *shapes[place][1:])
        made.append(type(layer).from_config(config).output)
    return keras.tree.pack_sequence_as(model.input, made)
