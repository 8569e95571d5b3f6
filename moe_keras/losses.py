"""Losses of a mixture of classifiers: of all experts together, and of each.

They read logits `(P..., E, C)` of E experts and C classes, gates `(P..., E)`
and labels `(P...)`, and return nats in at least float32, one loss for each row
or expert: the mean over the rows is the caller's.
"""

from typing import Any

import numpy as np
from keras import ops

from moe_keras.errors import require
from moe_keras.ops.scaling import widen


def mixture_likelihood(
    expert_logits: Any,
    gates: Any,
    labels: Any,
    sample_weight: Any = None,
    mask: Any = None,
) -> Any:
    """-log sum_e g_e p_e(y), p_e the softmax of expert e's logits.

    The experts compete for the rows: the gradient of expert e is that of its
    own cross-entropy times its posterior share g_e p_e(y) / sum_j g_j p_j(y),
    so that the one who does best on a row learns the most from it.

    Args:
        expert_logits: float `(P..., E, C)`.
        gates: float `(P..., E)`, not negative. An expert whose gate is 0 has
            no say and no gradient, whatever its logits hold.
        labels: int `(P...)`, in 0..C-1.
        sample_weight: float `(P...)`, the rows' weights, or None for 1. A row
            with 0 does not count, whatever it holds.
        mask: bool `(P...)`, False for a row that does not count, or None.

    Returns:
        float `(P...)`, nats times weight; 0 for a row whose gates are all 0.

    Source: Jacobs et al. (1991), Neural Computation 3(1), eq. 1.3, with the
        categorical distribution in the place of their Gaussian.
    """
    logs, heard = _heard_logs(expert_logits, gates, labels, sample_weight, mask)
    shares = ops.where(heard, ops.cast(gates, logs.dtype), ops.ones_like(logs))
    silent = ops.logical_not(ops.any(heard, axis=-1, keepdims=True))
    # A row without experts must not meet the log of nothing.
    absent = ops.where(
        silent, ops.zeros_like(logs), ops.full_like(logs, float("-inf"))
    )
    terms = ops.where(heard, logs + ops.log(shares), absent)
    total = ops.logsumexp(terms, axis=-1)
    silent = ops.squeeze(silent, axis=-1)
    return _weigh(ops.where(silent, 0.0, -total), sample_weight)


def averaged_loss(
    expert_logits: Any,
    gates: Any,
    labels: Any,
    sample_weight: Any = None,
    mask: Any = None,
) -> Any:
    """Sum_e g_e CE_e, CE_e = -log p_e(y): what the gate expects to pay.

    The gradient of expert e is that of its own cross-entropy times g_e, so that
    every expert learns from every row that it is given, well or badly.

    Args:
        expert_logits: float `(P..., E, C)`.
        gates: float `(P..., E)`, not negative. An expert whose gate is 0 has
            no say and no gradient, whatever its logits hold.
        labels: int `(P...)`, in 0..C-1.
        sample_weight: float `(P...)`, the rows' weights, or None for 1. A row
            with 0 does not count, whatever it holds.
        mask: bool `(P...)`, False for a row that does not count, or None.

    Returns:
        float `(P...)`, nats times weight.

    Source: Jacobs et al. (1991), Neural Computation 3(1), eq. 1.2, with the
        cross-entropy in the place of their squared error.
    """
    logs, heard = _heard_logs(expert_logits, gates, labels, sample_weight, mask)
    shares = ops.where(heard, ops.cast(gates, logs.dtype), ops.zeros_like(logs))
    return _weigh(-ops.sum(shares * logs, axis=-1), sample_weight)


def expert_losses(
    expert_logits: Any,
    labels: Any,
    expert_weights: Any = None,
    sample_weight: Any = None,
    mask: Any = None,
) -> Any:
    """CE_e = -log p_e(y) of each expert by itself, without a gate.

    Args:
        expert_logits: float `(P..., E, C)`.
        labels: int `(P...)`, in 0..C-1.
        expert_weights: E numbers >= 0 that the experts' losses are multiplied
            by, or None for 1. An expert with 0 has no gradient.
        sample_weight: float `(P...)`, the rows' weights, or None for 1. A row
            with 0 does not count, whatever it holds.
        mask: bool `(P...)`, False for a row that does not count, or None.

    Returns:
        float `(P..., E)`, nats times weights.

    Raises:
        ValueError: when `expert_weights` are not one for each expert.
    """
    num_experts = expert_logits.shape[-2]
    weights = np.ones(num_experts) if expert_weights is None else expert_weights
    require(
        np.shape(weights) == (num_experts,),
        "expert_losses",
        "`expert_weights` must be one number for each expert.",
        expert_weights=expert_weights,
        num_experts=num_experts,
    )
    shares = ops.broadcast_to(
        ops.convert_to_tensor(weights, widen(expert_logits).dtype),
        ops.shape(expert_logits)[:-1],
    )
    logs, heard = _heard_logs(
        expert_logits, shares, labels, sample_weight, mask
    )
    losses = -ops.where(heard, shares * logs, ops.zeros_like(logs))
    if sample_weight is not None:
        sample_weight = ops.expand_dims(sample_weight, -1)
    return _weigh(losses, sample_weight)


def _heard_logs(
    expert_logits: Any, gates: Any, labels: Any, sample_weight: Any, mask: Any
) -> tuple[Any, Any]:
    """The experts' log p_e(y) `(P..., E)`, and which of them count.

    Where they do not count they are those of equal logits: finite, and without
    a gradient.
    """
    heard = gates > 0
    for rows in (mask, sample_weight):
        if rows is not None:
            counts = ops.cast(rows, "bool")
            heard = ops.logical_and(heard, ops.expand_dims(counts, -1))
    logits = widen(expert_logits)
    logits = ops.where(
        ops.expand_dims(heard, -1), logits, ops.zeros_like(logits)
    )
    places = ops.expand_dims(ops.cast(labels, "int32"), (-1, -2))
    if mask is not None:
        # Padding may have any label.
        places = ops.where(ops.expand_dims(mask, (-1, -2)), places, 0)
    places = ops.broadcast_to(places, (*ops.shape(logits)[:-1], 1))
    logs = ops.take_along_axis(ops.log_softmax(logits), places, axis=-1)
    return ops.squeeze(logs, axis=-1), heard


def _weigh(losses: Any, sample_weight: Any) -> Any:
    if sample_weight is None:
        return losses
    return ops.cast(sample_weight, losses.dtype) * losses
