"""Gating: from router logits `(..., E)` to gates `(..., E)`."""

from typing import Any

from keras import ops

from moe_keras.ops import kernels

# Shazeer et al. (2017), arXiv:1701.06538, eq. 4 has a bare softplus; the
# authors' own code adds this floor so that the noise never dies out.
NOISE_FLOOR = 1e-2


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
    return logits + normal * (ops.softplus(noise_logits) + NOISE_FLOOR)


def choose_top_k(scores: Any, k: int) -> Any:
    """Which experts are among the k best of their row, ties to the lower index.

    Args:
        scores: float `(..., E)`.
        k: int in 1..E.

    Returns:
        bool `(..., E)`, exactly k of them true in each row.
    """
    num_experts = scores.shape[-1]
    _, experts = kernels.top_k(scores, k)
    return ops.any(
        ops.equal(
            ops.expand_dims(experts, -1),
            ops.arange(num_experts, dtype=experts.dtype),
        ),
        axis=-2,
    )


def softmax(logits: Any) -> Any:
    """Softmax over the experts; of a single one, 1 without Keras' warning."""
    if logits.shape[-1] == 1:
        return ops.ones_like(logits)
    return ops.softmax(logits, axis=-1)


def softmax_gates(
    logits: Any, top_k: int | None = None, normalize: bool = True
) -> tuple[Any, Any]:
    """Softmax over all experts, then the k largest, renormalised.

    Renormalising the k largest probabilities gives the softmax over the k
    largest logits. With `top_k=1` that would be the constant 1, and the router
    would learn nothing from the task: there the probability is kept as it is.

    Args:
        logits: float `(..., E)`.
        top_k: int in 1..E, or None for all experts.
        normalize: whether the gates of a row sum to 1 for `top_k` > 1.

    Returns:
        gates: float `(..., E)`, in [0, 1], 0 where an expert is not chosen.
        chosen: bool `(..., E)`.

    Source: Fedus et al. (2021), arXiv:2101.03961, eq. 1-2 (k = 1); Shazeer et
        al. (2017), arXiv:1701.06538, eq. 3 and 5 (k > 1).
    """
    probabilities = softmax(logits)
    if top_k is None or top_k == logits.shape[-1]:
        return probabilities, ops.ones_like(probabilities, dtype="bool")
    chosen = choose_top_k(logits, top_k)
    gates = ops.where(chosen, probabilities, ops.zeros_like(probabilities))
    if normalize and top_k > 1:
        gates = gates / ops.sum(gates, axis=-1, keepdims=True)
    return gates, chosen
