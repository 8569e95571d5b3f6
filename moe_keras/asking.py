"""What a model says of some rows, without a trace that does not pay."""

from typing import Any

import keras
import numpy as np

from moe_keras.quiet import without_log

# Batches up to which a call of each takes less than a trace of the model. A
# trace of trees and networks takes 2 s, a call of them 0.2 s.
FEW = 4


def ask(model: keras.Model, inputs: Any, batch_size: int) -> Any:
    """What `predict` returns, for a model that is asked once.

    `predict` traces the model first. On TensorFlow, where operations run
    without a trace as well, a few batches are put to the model itself.

    Args:
        model: `keras.Model`, built.
        inputs: array `(N, ...)`, or a dict or list of them.
        batch_size: int > 0.

    Returns:
        Arrays `(N, ...)`, in the structure of the model's outputs.
    """
    rows = len(keras.tree.flatten(inputs)[0])
    if asks_few(rows, batch_size):
        parts = [
            ask_batch(
                model, rows_of(inputs, slice(start, start + batch_size)), True
            )
            for start in range(0, rows, batch_size)
        ]
        if _fit_together(parts):
            return keras.tree.map_structure(
                lambda *arrays: np.concatenate(arrays), *parts
            )
    # TensorFlow takes the functions of several models for one that changes.
    with without_log("tensorflow", "triggered tf.function retracing"):
        return model.predict(inputs, batch_size=batch_size, verbose=0)


def ask_batch(model: keras.Model, batch: Any, few: bool) -> Any:
    """What a model says of one batch, as arrays.

    Args:
        model: `keras.Model`, built.
        batch: tensors, such as of `rows_of`.
        few: whether the model is asked without a trace; see `asks_few`.
    """
    if few:
        return keras.tree.map_structure(
            keras.ops.convert_to_numpy, model(batch, training=False)
        )
    # A batch may be smaller than the others, or its texts longer.
    with without_log("tensorflow", "triggered tf.function retracing"):
        return model.predict_on_batch(batch)


def asks_few(rows: int, batch_size: int) -> bool:
    """Whether so few rows are quicker without a trace."""
    few = 0 < rows <= FEW * batch_size
    return few and keras.backend.backend() == "tensorflow"


def _fit_together(parts: list[Any]) -> bool:
    """Not so of texts, whose batches have lengths of their own."""
    shapes = [
        tuple(array.shape[1:] for array in keras.tree.flatten(part))
        for part in parts
    ]
    return len(set(shapes)) == 1


def rows_of(inputs: Any, places: Any) -> Any:
    """Some rows of arrays as tensors, of the types that `predict` makes."""

    def cut(array: Any) -> Any:
        found = array[places]
        if not isinstance(found, np.ndarray):
            return found
        dtype = "string"
        if found.dtype != object:
            dtype = keras.backend.standardize_dtype(found.dtype)
            if "float" in dtype:
                dtype = keras.backend.floatx()
        return keras.ops.convert_to_tensor(found, dtype=dtype)

    return keras.tree.map_structure(cut, inputs)
