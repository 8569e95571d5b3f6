"""Pooling over the real positions of sequences."""

from typing import Any

import keras
from keras import ops


def clear_padding(values: Any, mask: Any) -> Any:
    """Zeros at padded positions, whatever stood there, NaN too.

    Args:
        values: float `(N, T, ...)`.
        mask: bool `(N, T)`, or None for no padding.
    """
    if mask is None:
        return values
    return ops.where(_beside(mask, values), values, ops.zeros_like(values))


def masked_max(values: Any, mask: Any) -> Any:
    """Maximum over the real positions, `(N, T, ...) -> (N, ...)`.

    Args:
        values: float `(N, T, ...)`.
        mask: bool `(N, T)`, or None for no padding.

    Returns:
        float `(N, ...)`; zeros for a row without a real position.
    """
    if mask is None:
        return ops.max(values, axis=1)
    real = _beside(mask, values)
    largest = ops.max(ops.where(real, values, float("-inf")), axis=1)
    return ops.where(ops.any(real, axis=1), largest, 0.0)


def masked_mean(values: Any, mask: Any) -> Any:
    """Mean over the real positions, `(N, T, ...) -> (N, ...)`.

    The sum is in float32 at least: one of many halves would be wrong.

    Args:
        values: float `(N, T, ...)`.
        mask: bool `(N, T)`, or None for no padding.

    Returns:
        float `(N, ...)`; zeros for a row without a real position.
    """
    dtype = keras.backend.standardize_dtype(values.dtype)
    if dtype != "float64":
        values = ops.cast(values, "float32")
    if mask is None:
        return ops.cast(ops.mean(values, axis=1), dtype)
    real = ops.cast(_beside(mask, values), values.dtype)
    count = ops.maximum(ops.sum(real, axis=1), 1.0)
    total = ops.sum(clear_padding(values, mask), axis=1)
    return ops.cast(total / count, dtype)


def _beside(mask: Any, values: Any) -> Any:
    """The mask as bool, with an axis for each that only the values have."""
    mask = ops.cast(mask, "bool")
    for _ in range(len(values.shape) - len(mask.shape)):
        mask = ops.expand_dims(mask, -1)
    return mask
