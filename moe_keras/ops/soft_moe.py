"""Soft routing: weights between the tokens of a sample and the slots."""

from typing import Any

from keras import ops

# Added to squared norms, whose gradient at 0 would be infinite; small enough
# that no token of ordinary size is changed.
NORM_FLOOR = 1e-12


def soft_weights(
    tokens: Any, kernel: Any, scale: Any, mask: Any = None
) -> tuple[Any, Any]:
    """Dispatch and combine weights from one matrix of logits.

    Args:
        tokens: float `(B, T, D)`, in the router's dtype.
        kernel: float `(D, S)`, one column per slot.
        scale: float scalar.
        mask: bool `(B, T)` or None; False marks padding.

    Returns:
        dispatch: float `(B, T, S)`, for each slot a softmax over the tokens; 0
            at padding, and everywhere in a sample that is all padding.
        combine: float `(B, T, S)`, for each token a softmax over the slots; 0
            at padding.

    Source: Puigcerver et al. (2023), arXiv:2308.00951, eq. 1-2, section 2.3.
    """
    slots = scale * l2_normalize(kernel, axis=0)
    logits = ops.matmul(l2_normalize(tokens, axis=-1), slots)
    if mask is None:
        return _softmax(logits, axis=1), _softmax(logits, axis=2)
    real = ops.expand_dims(mask, -1)
    lowest = ops.full_like(logits, -1e9)
    dispatch = _softmax(ops.where(real, logits, lowest), axis=1)
    combine = _softmax(logits, axis=2)
    nothing = ops.zeros_like(logits)
    return ops.where(real, dispatch, nothing), ops.where(real, combine, nothing)


def l2_normalize(tensor: Any, axis: int) -> Any:
    """Divide by the Euclidean norm along an axis; zeros stay zeros."""
    squares = ops.sum(ops.square(tensor), axis=axis, keepdims=True)
    return tensor * ops.rsqrt(squares + NORM_FLOOR)


def _softmax(logits: Any, axis: int) -> Any:
    """Softmax; over one value it is 1, of which Keras would warn."""
    if logits.shape[axis] == 1:
        return ops.ones_like(logits)
    return ops.softmax(logits, axis=axis)
