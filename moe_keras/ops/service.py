"""Which rows and experts take part: masks of experts, broken rows."""

from typing import Any

import keras
import numpy as np
from keras import ops

from moe_keras.ops import kernels

# Stands for minus infinity where 0 * inf would give NaN gradients: exp of it
# is 0, and no sum with a logit or with noise moves it.
LOWEST = -1e30


def lowest(tensor: Any) -> float:
    """`LOWEST`, or what float16 has for it, where it would be infinite."""
    dtype = keras.backend.standardize_dtype(tensor.dtype)
    return float(np.finfo("float16").min) if dtype == "float16" else LOWEST


def exclude(logits: Any, in_service: Any) -> Any:
    """Logits with the lowest value for experts that are out of service.

    Args:
        logits: float `(..., E)`.
        in_service: bool, broadcasts to `(..., E)`, or None for all.
    """
    if in_service is None:
        return logits
    return ops.where(in_service, logits, lowest(logits))


def finite_rows(rows: Any) -> Any:
    """Bool `(...)`: which rows of `(..., D)` hold finite numbers only."""
    return kernels.finite_rows(rows)


def clear_rows(rows: Any, good: Any) -> Any:
    """Zeros in the rows that are not good.

    Args:
        rows: `(..., D)`.
        good: bool `(...)`.
    """
    return ops.where(ops.expand_dims(good, -1), rows, ops.zeros_like(rows))


def spoil_rows(gates: Any, good: Any, k: int, in_service: Any = None) -> Any:
    """NaN for the first k experts in service, in the rows that are not good.

    A broken row goes to as many experts as any other, and its result is seen
    to be broken.

    Args:
        gates: float `(..., E)`.
        good: bool `(...)`.
        k: int in 1..E.
        in_service: bool, broadcasts to `(..., E)`, or None for all.
    """
    if in_service is None:
        first = ops.arange(gates.shape[-1]) < k
    else:
        place = ops.cumsum(ops.cast(in_service, "int32"), axis=-1)
        first = ops.logical_and(in_service, place <= k)
    good = ops.expand_dims(good, -1)
    broken = ops.where(first, float("nan"), 0.0)
    return ops.where(good, gates, ops.cast(broken, gates.dtype))


def drop_experts(uniform: Any, rate: float, in_service: Any = None) -> Any:
    """Take experts out of service at random, but never the last one.

    Args:
        uniform: float `(E,)`, a draw from [0, 1).
        rate: float in [0, 1), the share of experts that are taken out.
        in_service: bool `(..., E)` or None for all.

    Returns:
        bool `(..., E)`.
    """
    if in_service is None:
        return ops.logical_or(uniform >= rate, uniform >= ops.max(uniform))
    draws = ops.where(in_service, uniform, -1.0)
    largest = ops.max(draws, axis=-1, keepdims=True)
    kept = ops.logical_or(draws >= rate, draws >= largest)
    return ops.logical_and(kept, in_service)


def known_values(tensor: Any) -> np.ndarray | None:
    """The values as an array, or None while a graph is being traced."""
    try:
        return np.asarray(ops.convert_to_numpy(tensor))
    except (NotImplementedError, TypeError, ValueError, RuntimeError):
        return None
