"""Soft routing: weights between the tokens of a sample and the slots."""

from typing import Any

from keras import ops

from moe_keras.ops.scaling import scale_to_unit
from moe_keras.ops.service import exclude


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
    slots = scale * scale_to_unit(kernel, axis=0)
    logits = ops.matmul(scale_to_unit(tokens, axis=-1), slots)
    if mask is None:
        return _softmax(logits, axis=1), _softmax(logits, axis=2)
    real = ops.expand_dims(mask, -1)
    dispatch = _softmax(exclude(logits, real), axis=1)
    combine = _softmax(logits, axis=2)
    nothing = ops.zeros_like(logits)
    return ops.where(real, dispatch, nothing), ops.where(real, combine, nothing)


def _softmax(logits: Any, axis: int) -> Any:
    """Softmax; over one value it is 1, of which Keras would warn."""
    if logits.shape[axis] == 1:
        return ops.ones_like(logits)
    return ops.softmax(logits, axis=axis)
