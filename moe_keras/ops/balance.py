"""Auxiliary losses that keep a router balanced and its logits small."""

from typing import Any

from keras import ops


def mean_over_rows(values: Any, real: Any | None) -> Any:
    """Mean over the real rows, `(N, ...) -> (...)`.

    Args:
        values: float `(N, ...)`.
        real: float `(N,)`, 1 for a row that counts and 0 for padding, or None
            when every row counts.

    Returns:
        float `(...)`; zeros where no row counts.
    """
    if real is None:
        return ops.mean(values, axis=0)
    weights = ops.reshape(real, (-1,) + (1,) * (len(values.shape) - 1))
    count = ops.maximum(ops.sum(real), 1.0)
    # `where`, not a product: what a padding row holds may be NaN.
    kept = ops.where(weights > 0, values, ops.zeros_like(values))
    return ops.sum(kept, axis=0) / count


def switch_balance_loss(
    probabilities: Any, chosen: Any, top_k: int, real: Any | None = None
) -> Any:
    """E * sum_e f_e P_e: 1 at perfect balance, up to E / K when collapsed.

    f_e is the share of the N*K choices that fell on expert e (no gradient), P_e
    the router's mean probability for it.

    Args:
        probabilities: float `(N, E)`, softmax over all experts.
        chosen: bool or float `(N, E)`, K of them true in each row.
        top_k: int, K; counts are divided by it so that the minimum is 1.
        real: float `(N,)` or None, see `mean_over_rows`.

    Returns:
        float scalar, not yet multiplied by its coefficient.

    Source: Fedus et al. (2021), arXiv:2101.03961, eq. 4-6; counts divided by k
        as in MegaBlocks, arXiv:2211.15841.
    """
    num_experts = probabilities.shape[-1]
    counts = ops.stop_gradient(ops.cast(chosen, probabilities.dtype))
    shares = mean_over_rows(counts, real) / top_k
    return num_experts * ops.sum(shares * mean_over_rows(probabilities, real))


def z_loss(logits: Any, real: Any | None = None) -> Any:
    """mean(logsumexp(logits)^2): keeps the logits where float32 is precise.

    Args:
        logits: float `(N, E)`, without noise.
        real: float `(N,)` or None, see `mean_over_rows`.

    Returns:
        float scalar, not yet multiplied by its coefficient.

    Source: Zoph et al. (2022), ST-MoE, arXiv:2202.08906, eq. 5.
    """
    return mean_over_rows(ops.square(ops.logsumexp(logits, axis=-1)), real)
