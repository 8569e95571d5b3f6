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


def importance_loss(gates: Any, real: Any | None = None) -> Any:
    """CV^2 of the experts' importance, 0 when all matter alike, at most E - 1.

    The importance of an expert is the sum of its gates over the rows; CV^2 is
    its variance over the experts divided by its squared mean, written without
    the root whose gradient is not defined at 0.

    Args:
        gates: float `(N, E)`.
        real: float `(N,)` or None, see `mean_over_rows`.

    Returns:
        float scalar, not yet multiplied by its coefficient.

    Source: Shazeer et al. (2017), arXiv:1701.06538, eq. 6-7.
    """
    importance = mean_over_rows(gates, real)
    mean = ops.mean(importance)
    # Every gate of the batch is 0 where every row is padding.
    return ops.var(importance) / ops.maximum(ops.square(mean), 1e-10)


def mutual_information(gates: Any, real: Any | None = None) -> Any:
    """I(row; expert) = H(mean gates) - mean H(gates), in nats.

    It is 0 when every row has the same gates, and ln E when every row is sure
    of its expert and all experts are used alike.

    Args:
        gates: float `(N, E)`, rows sum to 1.
        real: float `(N,)` or None, see `mean_over_rows`.

    Returns:
        float scalar in [0, ln E].

    Source: the difference of the global and the local entropy of Mustafa et al.
        (2022), LIMoE, arXiv:2206.02770, section 2.2.
    """
    entropies = mean_over_rows(_entropy(gates), real)
    return _entropy(mean_over_rows(gates, real)) - entropies


def _entropy(shares: Any) -> Any:
    """-sum p ln p over the last axis; 0 ln 0 is 0, with a finite gradient."""
    safe = ops.where(shares > 0, shares, ops.ones_like(shares))
    return -ops.sum(shares * ops.log(safe), axis=-1)


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
