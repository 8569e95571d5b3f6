"""Gating: from router logits `(..., E)` to gates `(..., E)`."""

from functools import reduce
from typing import Any

from keras import ops

from moe_keras.ops import kernels
from moe_keras.ops.service import LOWEST, exclude

# Shazeer et al. (2017), arXiv:1701.06538, eq. 4 has a bare softplus; the
# authors' own code adds this floor so that the noise never dies out.
NOISE_FLOOR = 1e-2

ORDERS = ("softmax_top_k", "top_k_softmax")


def noise_scale(noise_logits: Any) -> Any:
    """Standard deviation of the noise, softplus(x W_noise) + 0.01.

    Args:
        noise_logits: float `(..., E)`, x W_noise.

    Returns:
        float `(..., E)`, in units of a logit.
    """
    return ops.softplus(noise_logits) + NOISE_FLOOR


def add_noise(logits: Any, noise_logits: Any, normal: Any) -> Any:
    """Noisy logits `x W_g + N(0, 1) * (softplus(x W_noise) + 0.01)`.

    Args:
        logits: float `(..., E)`, x W_g.
        noise_logits: float `(..., E)`, x W_noise.
        normal: float `(..., E)`, a draw from the standard normal distribution.

    Returns:
        float `(..., E)`.

    Source: Shazeer et al. (2017), arXiv:1701.06538, eq. 4.
    """
    return logits + normal * noise_scale(noise_logits)


def choose_top_k(scores: Any, k: int) -> Any:
    """Which experts are among the k best of their row, ties to the lower index.

    Args:
        scores: float `(..., E)`.
        k: int in 1..E.

    Returns:
        bool `(..., E)`, exactly k of them true in each row.
    """
    _, experts = kernels.top_k(scores, k)
    return _mark(experts, scores.shape[-1])


def reach_top_p(shares: Any, picks: Any, top_p: float) -> Any:
    """Which of the picked experts are needed to reach a share; at least one.

    Args:
        shares: float `(..., E)`, rows sum to 1.
        picks: int `(..., K)`, experts, best first.
        top_p: float in (0, 1].

    Returns:
        bool `(..., K)`.

    Source: Huang et al. (2024), arXiv:2403.07652.
    """
    picked = ops.take_along_axis(shares, picks, axis=-1)
    # One is in while those before it have not reached the share.
    return ops.cumsum(picked, axis=-1) - picked < top_p


def _mark(picks: Any, num_experts: int, kept: Any = None) -> Any:
    """Bool `(..., E)` from expert numbers `(..., K)`."""
    numbers = ops.arange(num_experts, dtype=picks.dtype)
    marks = []
    # A comparison for each choice: `(..., K, E)` would take twice the time.
    for place in range(picks.shape[-1]):
        only = slice(place, place + 1)
        mark = ops.equal(picks[..., only], numbers)
        if kept is not None:
            mark = ops.logical_and(mark, kept[..., only])
        marks.append(mark)
    return reduce(ops.logical_or, marks)


def softmax(logits: Any) -> Any:
    """Softmax over the experts; of a single one, 1 without Keras' warning."""
    if logits.shape[-1] == 1:
        return ops.ones_like(logits)
    return ops.softmax(logits, axis=-1)


ACTIVATIONS = {"softmax": softmax, "sigmoid": ops.sigmoid}


def shares_of(logits: Any, activation: str = "softmax") -> Any:
    """Scores of all experts, divided by their sum: `(..., E)`.

    Args:
        logits: float `(..., E)`.
        activation: `"softmax"` or `"sigmoid"`.
    """
    scores = ACTIVATIONS[activation](logits)
    if activation == "softmax":
        return scores
    return _divide(scores, ops.sum(scores, axis=-1, keepdims=True))


def choose_gates(
    logits: Any,
    top_k: int | None = None,
    normalize: bool = True,
    activation: str = "softmax",
    order: str = "softmax_top_k",
    top_p: float | None = None,
    bias: Any = None,
    in_service: Any = None,
) -> tuple[Any, Any, Any]:
    """Scores of all experts, then the best of them, renormalised.

    A row with a single expert keeps its score as it is: divided by itself it
    would be the constant 1, and the router would learn nothing from the task.

    Args:
        logits: float `(..., E)`.
        top_k: int in 1..E, or None for all experts.
        normalize: whether the gates of a row with several experts sum to 1.
        activation: `"softmax"` or `"sigmoid"`.
        order: `"softmax_top_k"`: the softmax is over all experts.
            `"top_k_softmax"`: it is over the chosen ones.
        top_p: float in (0, 1] or None; see `reach_top_p`.
        bias: float `(E,)` or None, added to the scores for the choice only.
        in_service: bool, broadcasts to `(..., E)`, or None for all.

    Returns:
        gates: float `(..., E)`, in [0, 1], 0 where an expert is not chosen.
        chosen: bool `(..., E)`.
        picks: int `(..., k)`, experts, best first, among which are all that
            are chosen; None where that is everyone.

    Source: Fedus et al. (2021), arXiv:2101.03961, eq. 1-2 (k = 1); Shazeer et
        al. (2017), arXiv:1701.06538, eq. 3 and 5 (k > 1); DeepSeek-AI (2024),
        arXiv:2412.19437, eq. 12-16 (sigmoid, bias).
    """
    k = logits.shape[-1] if top_k is None else top_k
    logits = exclude(logits, in_service)
    scores = ACTIVATIONS[activation](logits)
    everyone = k == logits.shape[-1] and top_p is None
    picks = None
    if everyone:
        chosen = ops.ones_like(scores, dtype="bool")
    else:
        best = logits if bias is None else exclude(scores + bias, in_service)
        _, picks = kernels.top_k(best, k)
        reached = None
        if top_p is not None:
            shares = shares_of(logits, activation)
            reached = reach_top_p(shares, picks, top_p)
        chosen = _mark(picks, scores.shape[-1], reached)
    if in_service is not None:
        chosen = ops.logical_and(chosen, in_service)
    if order == "top_k_softmax" and not everyone:
        scores = softmax(ops.where(chosen, logits, LOWEST))
    gates = ops.where(chosen, scores, 0.0)
    if normalize and k > 1 and not (everyone and activation == "softmax"):
        total = ops.sum(gates, axis=-1, keepdims=True)
        if top_p is not None or in_service is not None:
            # Or all rows have k experts.
            count = ops.sum(ops.cast(chosen, "int32"), axis=-1, keepdims=True)
            total = ops.where(count > 1, total, 1.0)
        gates = _divide(gates, total)
    return gates, chosen, picks


def _divide(values: Any, total: Any) -> Any:
    """Zeros stay zeros where there is nothing to divide by."""
    return values / ops.where(total > 0, total, 1.0)


def top_k_probability(logits: Any, noisy: Any, scale: Any, k: int) -> Any:
    """How likely each expert is among the k best under a new draw of its noise.

    The draws of the other experts stay as they are. All are on the scale of
    the logits.

    Args:
        logits: float `(..., E)`, without noise.
        noisy: float `(..., E)`, with noise.
        scale: float `(..., E)`, standard deviation of the noise.
        k: int in 1..E-1.

    Returns:
        float `(..., E)`, in [0, 1].

    Source: Shazeer et al. (2017), arXiv:1701.06538, appendix A, eq. 8-9.
    """
    best, _ = kernels.top_k(noisy, k + 1)
    inside, outside = best[..., k : k + 1], best[..., k - 1 : k]
    # The k-th best of the others.
    rival = ops.where(choose_top_k(noisy, k), inside, outside)
    # sqrt(2): the error function is of a normal of variance 1/2.
    return 0.5 * (1.0 + ops.erf((logits - rival) / (scale * 2**0.5)))
