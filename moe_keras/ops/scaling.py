"""Scaling to a sum or a length, right at every range that a float has.

A sum or a square of small numbers may be 0, and one of large ones infinite,
where the quotient is an ordinary number. So everything here is divided by the
largest of its row first. That is no part of the gradient: what is scaled does
not depend on it.
"""

from typing import Any

import keras
import numpy as np
from keras import ops

# Of a vector; a shorter one grows evenly from zeros, so that its gradient is
# finite.
SHORTEST = 1e-12


def widen(tensor: Any) -> Any:
    """At least float32, for sums and logarithms under a half policy."""
    dtype = keras.backend.standardize_dtype(tensor.dtype)
    return tensor if dtype == "float64" else ops.cast(tensor, "float32")


def smallest(tensor: Any) -> float:
    """What counts as above 0: less than that, some machines take for 0.

    Args:
        tensor: float32 or float64.
    """
    dtype = keras.backend.standardize_dtype(tensor.dtype)
    return float(np.finfo(dtype).tiny)


def scale_to_sum(weights: Any, total: Any = 1.0) -> Any:
    """The weights of each row, scaled to a sum; zeros stay, without a gradient.

    Args:
        weights: float `(..., E)`, not negative; a row with NaN becomes NaN.
        total: number or float `(..., 1)`.

    Returns:
        float `(..., E)`, in the dtype of the weights, computed in at least
        float32.
    """
    wide = widen(weights)
    wide = ops.where(wide == 0, ops.zeros_like(wide), wide)
    # From 0, as there may be no rows.
    largest = ops.max(wide, axis=-1, keepdims=True, initial=0)
    largest = ops.stop_gradient(largest)
    nothing = largest < smallest(wide)
    parts = wide / ops.where(nothing, ops.ones_like(largest), largest)
    parts = ops.where(nothing, ops.zeros_like(parts), parts)
    sums = ops.sum(parts, axis=-1, keepdims=True)
    shares = parts / ops.where(nothing, ops.ones_like(sums), sums)
    return ops.cast(shares * ops.cast(total, wide.dtype), weights.dtype)


def scale_to_unit(vectors: Any, axis: int) -> Any:
    """Vectors of length 1 along an axis; zeros stay zeros.

    Args:
        vectors: float, of any shape, finite.
        axis: int.
    """
    largest = ops.max(ops.abs(vectors), axis=axis, keepdims=True, initial=0)
    largest = ops.maximum(ops.stop_gradient(largest), SHORTEST)
    parts = vectors / largest
    squares = ops.sum(ops.square(parts), axis=axis, keepdims=True)
    return parts * ops.rsqrt(ops.maximum(squares, 1.0))
