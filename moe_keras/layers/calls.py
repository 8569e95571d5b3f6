"""Small helpers for layers that call other layers."""

import inspect
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import keras
from keras import ops


def call_with(layer: keras.layers.Layer, inputs: Any, **context: Any) -> Any:
    """Call a layer with what it knows of the context.

    Keras hands `training` on by itself, but not where a layer's `call` is
    entered directly, as `stateless_call` does. What is None is left out.
    """
    # Of a method, the function: it outlives the layer, and all have one.
    known = _names(getattr(layer.call, "__func__", layer.call))
    given = {k: v for k, v in context.items() if k in known and v is not None}
    return layer(inputs, **given)


@lru_cache(maxsize=256)
def _names(function: Callable[..., Any]) -> frozenset[str]:
    """A function's arguments; to find them takes longer than small layers."""
    return frozenset(inspect.signature(function).parameters)


def carried_mask(inputs: Any, mask: Any) -> Any:
    """The mask that was given, or the one that the inputs carry, or None.

    Keras hands the latter on by itself only where no other tensor comes in.
    """
    return getattr(inputs, "_keras_mask", None) if mask is None else mask


def cast_floats(tensor: Any, dtype: str) -> Any:
    """Cast to `dtype`, unless the tensor holds identifiers."""
    is_float = keras.backend.is_float_dtype(
        keras.backend.standardize_dtype(tensor.dtype)
    )
    return ops.cast(tensor, dtype) if is_float else tensor


def join_axes(tensor: Any, depth: int) -> Any:
    """Make the first `depth` axes one; None stays None."""
    if tensor is None or depth == 1:
        return tensor
    return ops.reshape(tensor, (-1, *ops.shape(tensor)[depth:]))


def read_layers(config: dict[str, Any], *names: str) -> dict[str, Any]:
    """A config with the layers under these names made; None stays None."""
    made = {
        name: keras.saving.deserialize_keras_object(config[name])
        for name in names
        if config.get(name) is not None
    }
    return {**config, **made}


def freeze(layer: keras.layers.Layer) -> None:
    """Freeze a layer and all that is in it, one built while frozen too.

    Of what a frozen layer makes in `build`, Keras freezes the weights, but not
    those of further layers, as attention has them. And on TensorFlow setting
    `trainable` to what it is does nothing.
    """
    for part in layer._flatten_layers():
        keras.layers.Layer.trainable.fset(part, False)
