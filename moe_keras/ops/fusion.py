"""Fusion: from expert outputs `(P..., E, R...)` and gates to `(P..., R...)`.

In all of them an expert whose gate is 0 has no say, whatever it holds: 0 * NaN
is NaN, in the gradient too, so outputs are cleared before they are used.
"""

import math
from typing import Any

from keras import ops

from moe_keras.ops import kernels
from moe_keras.ops.scaling import scale_to_sum, smallest, widen


def clear_unheard(outputs: Any, gates: Any) -> Any:
    """Zeros for the experts whose gate is 0.

    Args:
        outputs: float `(P..., E, R...)`, one slice per expert.
        gates: float `(P..., E)`.
    """
    return ops.where(
        _spread(gates, outputs) == 0, ops.zeros_like(outputs), outputs
    )


def weighted_sum(outputs: Any, gates: Any, cleared: bool = False) -> Any:
    """Y = sum_e g_e f_e(x).

    Args:
        outputs: float `(P..., E, R...)`, one slice per expert.
        gates: float `(P..., E)`.
        cleared: whether the outputs are known to be 0 where the gate is.

    Returns:
        float `(P..., R...)`.

    Source: Jacobs et al. (1991), Neural Computation 3(1), eq. 1.2; Shazeer et
        al. (2017), arXiv:1701.06538, eq. 1.
    """
    if not cleared:
        outputs = clear_unheard(outputs, gates)
    num_experts, axis = gates.shape[-1], _expert_axis(gates)
    if num_experts == 1:
        return ops.squeeze(_spread(gates, outputs) * outputs, axis=axis)
    if axis == 1 and len(outputs.shape) == 3:
        return kernels.weigh(gates, outputs)
    shape = ops.shape(outputs)
    width = math.prod(shape[axis + 1 :])
    fused = kernels.weigh(
        ops.reshape(gates, (-1, num_experts)),
        ops.reshape(outputs, (-1, num_experts, width)),
    )
    return ops.reshape(fused, (*shape[:axis], *shape[axis + 1 :]))


def drop_non_finite(outputs: Any, gates: Any) -> tuple[Any, Any]:
    """Leave out the experts whose output for a row is not finite.

    The other gates of the row are scaled up to the sum that all of them had;
    with no finite expert, they are all 0. An output that is left out has no
    gradient.

    Args:
        outputs: float `(P..., E, R...)`.
        gates: float `(P..., E)`, not negative.

    Returns:
        outputs: the same, with zeros for what was left out.
        gates: float `(P..., E)`.
    """
    trailing = tuple(range(len(gates.shape), len(outputs.shape)))
    finite = ops.isfinite(outputs)
    if trailing:
        finite = ops.all(finite, axis=trailing)
    kept = ops.where(_spread(finite, outputs), outputs, ops.zeros_like(outputs))
    heard = ops.logical_and(finite, gates != 0)
    rest = ops.where(heard, gates, ops.zeros_like(gates))
    return kept, scale_to_sum(rest, _total_of(gates))


def linear_pool(logits: Any, gates: Any) -> Any:
    """Y = log sum_e g_e softmax(o_e), without leaving the log domain.

    Args:
        logits: float `(P..., E, ..., U)`, the experts' logits of U classes.
        gates: float `(P..., E)`, not negative.

    Returns:
        float `(P..., ..., U)`, log-probabilities if the gates of a row sum to
        1; the uniform distribution for a row whose gates are all 0.

    Source: Stone (1961), Annals of Mathematical Statistics 32(4) (linear
        opinion pool); Jacobs et al. (1991), Neural Computation 3(1).
    """
    axis = _expert_axis(gates)
    wide, gates = widen(logits), widen(gates)
    spread = _spread(gates, wide)
    heard = spread >= smallest(gates)
    logs = ops.log_softmax(
        ops.where(heard, wide, ops.zeros_like(wide)), axis=-1
    )
    terms = logs + _logs_of(spread, heard)
    silent = ops.logical_not(ops.any(heard, axis=axis, keepdims=True))
    best = _best_of(terms, heard, axis)
    below = ops.where(heard, terms - best, ops.zeros_like(terms))
    powers = ops.where(heard, ops.exp(below), ops.zeros_like(terms))
    total = ops.sum(powers, axis=axis, keepdims=True)
    total = ops.where(silent, ops.ones_like(total), total)
    uniform = -math.log(logits.shape[-1])
    pooled = ops.where(silent, uniform, best + ops.log(total))
    return ops.cast(ops.squeeze(pooled, axis=axis), logits.dtype)


def log_pool(logits: Any, gates: Any) -> Any:
    """Y = log softmax(sum_e g_e o_e): a product of experts with powers g_e.

    Args:
        logits: float `(P..., E, ..., U)`, the experts' logits of U classes.
        gates: float `(P..., E)`.

    Returns:
        float `(P..., ..., U)`, log-probabilities; the uniform distribution for
        a row whose gates are all 0.

    Source: Genest & Zidek (1986), Statistical Science 1(1) (logarithmic opinion
        pool); Hinton (2002), Neural Computation 14(8) (product of experts).
    """
    return ops.log_softmax(weighted_sum(logits, gates), axis=-1)


def attention_gates(scores: Any, gates: Any) -> Any:
    """Gates times exp(scores), scaled back to the sum that the gates had.

    Where all scores are equal these are the gates. Keeping their sum keeps the
    gradient of a top-1 gate, which a softmax over one expert would cancel.

    Args:
        scores: float `(P..., E)`.
        gates: float `(P..., E)`, not negative.

    Returns:
        float `(P..., E)`, 0 where the gate is 0.

    Source: Bahdanau et al. (2015), arXiv:1409.0473, eq. 6, with the gates as
        prior weights.
    """
    wide, scores = widen(gates), widen(scores)
    heard = wide >= smallest(wide)
    # Together before they are powers: the largest of them is then 1.
    terms = _logs_of(wide, heard) + ops.where(
        heard, scores, ops.zeros_like(scores)
    )
    below = ops.where(
        heard, terms - _best_of(terms, heard, -1), ops.zeros_like(terms)
    )
    powers = ops.where(heard, ops.exp(below), ops.zeros_like(terms))
    weights = scale_to_sum(powers, _total_of(gates))
    return ops.cast(weights, gates.dtype)


def _total_of(gates: Any) -> Any:
    """The sum of each row's gates, `(P..., 1)`; a gate of 0 has no gradient."""
    heard = ops.where(gates == 0, ops.zeros_like(gates), gates)
    return ops.sum(widen(heard), axis=-1, keepdims=True)


def _best_of(terms: Any, heard: Any, axis: int) -> Any:
    """The largest of the terms that are heard, 0 without any; no gradient."""
    lowest = ops.full_like(terms, float("-inf"))
    best = ops.max(
        ops.where(heard, terms, lowest),
        axis=axis,
        keepdims=True,
        # With an initial value it is right for no rows too.
        initial=float("-inf"),
    )
    silent = ops.logical_not(ops.any(heard, axis=axis, keepdims=True))
    return ops.stop_gradient(ops.where(silent, ops.zeros_like(best), best))


def _logs_of(gates: Any, heard: Any) -> Any:
    """Logarithms of the gates that are heard, 0 for the others."""
    return ops.log(ops.where(heard, gates, ops.ones_like(gates)))


def _expert_axis(gates: Any) -> int:
    return len(gates.shape) - 1


def _spread(gates: Any, outputs: Any) -> Any:
    """Gates `(P..., E)` as `(P..., E, 1...)`, to meet the outputs."""
    for _ in range(len(outputs.shape) - len(gates.shape)):
        gates = ops.expand_dims(gates, -1)
    return gates
