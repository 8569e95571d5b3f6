"""Auxiliary losses that keep a router balanced and its logits small."""

from typing import Any

from keras import ops

from moe_keras.ops.scaling import scale_to_sum
from moe_keras.ops.service import lowest


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


def experts_at_work(in_service: Any, real: Any | None, dtype: Any) -> Any:
    """Float `(E,)`: 1 for an expert that is in service for some real row.

    Args:
        in_service: bool `(E,)` or `(N, E)`.
        real: float `(N,)` or None, see `mean_over_rows`.
        dtype: of the result.
    """
    if len(in_service.shape) == 1:
        return ops.cast(in_service, dtype)
    if real is not None:
        kept = ops.expand_dims(real, -1) > 0
        in_service = ops.logical_and(in_service, kept)
    return ops.cast(ops.any(in_service, axis=0), dtype)


def is_choice(chosen: Any, real: Any | None, experts: Any) -> Any:
    """Float scalar: 1 where rows reach fewer experts than are at work, else 0.

    Args:
        chosen: bool `(N, E)`.
        real: float `(N,)` or None, see `mean_over_rows`.
        experts: float `(E,)`, see `experts_at_work`.
    """
    reached = ops.sum(mean_over_rows(ops.cast(chosen, experts.dtype), real))
    # Half a row of a very large batch: more than a float's rounding.
    return ops.cast(reached < ops.sum(experts) - 1e-4, experts.dtype)


def switch_balance_loss(
    probabilities: Any,
    chosen: Any,
    real: Any | None = None,
    experts: Any | None = None,
) -> Any:
    """E * sum_e f_e P_e: 1 at perfect balance, up to E / K when collapsed.

    f_e is the share of all choices that fell on expert e (no gradient), P_e
    the router's mean probability for it. With K choices per row this divides
    the counts by K, so that the minimum is 1.

    Args:
        probabilities: float `(N, E)`, rows sum to 1.
        chosen: bool or float `(N, E)`.
        real: float `(N,)` or None, see `mean_over_rows`.
        experts: float `(E,)`, 1 for an expert in service and 0 else, or None.

    Returns:
        float scalar, not yet multiplied by its coefficient.

    Source: Fedus et al. (2021), arXiv:2101.03961, eq. 4-6; counts divided by k
        as in MegaBlocks, arXiv:2211.15841.
    """
    counts = ops.stop_gradient(ops.cast(chosen, probabilities.dtype))
    reached = mean_over_rows(counts, real)
    shares = reached / ops.maximum(ops.sum(reached), 1e-10)
    means = mean_over_rows(probabilities, real)
    number = probabilities.shape[-1] if experts is None else ops.sum(experts)
    return number * ops.sum(shares * means)


def importance_loss(
    gates: Any, real: Any | None = None, experts: Any | None = None
) -> Any:
    """CV^2 of the experts' importance, 0 when all matter alike, at most E - 1.

    The importance of an expert is the sum of its gates over the rows; CV^2 is
    its variance over the experts divided by its squared mean, written without
    the root whose gradient is not defined at 0.

    Args:
        gates: float `(N, E)`.
        real: float `(N,)` or None, see `mean_over_rows`.
        experts: float `(E,)`, 1 for an expert in service and 0 else, or None.

    Returns:
        float scalar, not yet multiplied by its coefficient.

    Source: Shazeer et al. (2017), arXiv:1701.06538, eq. 6-7.
    """
    return _square_variation(mean_over_rows(gates, real), experts)


def load_loss(
    probabilities: Any, real: Any | None = None, experts: Any | None = None
) -> Any:
    """CV^2 of the experts' load, 0 when all are chosen alike.

    The load of an expert is the sum over the rows of the probability that it
    is chosen under a new draw of its noise: a smooth count of its rows.

    Args:
        probabilities: float `(N, E)`, of `gating.top_k_probability`.
        real: float `(N,)` or None, see `mean_over_rows`.
        experts: float `(E,)`, 1 for an expert in service and 0 else, or None.

    Returns:
        float scalar, not yet multiplied by its coefficient.

    Source: Shazeer et al. (2017), arXiv:1701.06538, appendix A, eq. 10-11.
    """
    return _square_variation(mean_over_rows(probabilities, real), experts)


def _square_variation(values: Any, experts: Any | None) -> Any:
    if experts is None:
        experts = ops.ones_like(values)
    number = ops.maximum(ops.sum(experts), 1.0)
    # Over their mean before they are squared. Zeros, where every row is
    # padding, are like the mean.
    relative = number * scale_to_sum(values * experts)
    away = ops.square(relative - 1.0) * experts
    return ops.where(ops.any(values > 0), ops.sum(away) / number, 0.0)


def load_step(
    chosen: Any, real: Any | None = None, experts: Any | None = None
) -> Any:
    """+1 for an expert with less than the mean load, -1 for one with more.

    Args:
        chosen: bool `(N, E)`.
        real: float `(N,)` or None, see `mean_over_rows`.
        experts: float `(E,)`, 1 for an expert in service and 0 else, or None:
            the others are left alone and do not count in the mean.

    Returns:
        float `(E,)`: -1, 0 or 1.

    Source: Wang et al. (2024), arXiv:2408.15664, algorithm 1.
    """
    counts = ops.cast(chosen, "float32")
    if real is not None:
        counts = counts * ops.cast(ops.expand_dims(real, -1) > 0, "float32")
    # Whole numbers, so that an even load is exactly even.
    load = ops.sum(counts, axis=0)
    if experts is None:
        return ops.sign(ops.sum(load) - load * load.shape[0])
    experts = ops.cast(experts, "float32")
    return experts * ops.sign(ops.sum(load) - load * ops.sum(experts))


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
    local = entropy_loss(gates, real)
    return _entropy(mean_over_rows(gates, real)) - local


def _entropy(shares: Any) -> Any:
    """-sum p ln p over the last axis; 0 ln 0 is 0, with a finite gradient."""
    safe = ops.where(shares > 0, shares, ops.ones_like(shares))
    return -ops.sum(shares * ops.log(safe), axis=-1)


def entropy_loss(probabilities: Any, real: Any | None = None) -> Any:
    """Mean entropy of the rows' probabilities, in nats, from 0 to ln E.

    Args:
        probabilities: float `(N, E)`, rows sum to 1.
        real: float `(N,)` or None, see `mean_over_rows`.

    Returns:
        float scalar, not yet multiplied by its coefficient.

    Source: the local entropy of Mustafa et al. (2022), LIMoE, arXiv:2206.02770,
        section 2.2.
    """
    return mean_over_rows(_entropy(probabilities), real)


def z_loss(logits: Any, real: Any | None = None) -> Any:
    """mean(logsumexp(logits)^2): keeps the logits where float32 is precise.

    Args:
        logits: float `(N, E)`, without noise.
        real: float `(N,)` or None, see `mean_over_rows`.

    Returns:
        float scalar, not yet multiplied by its coefficient.

    Source: Zoph et al. (2022), ST-MoE, arXiv:2202.08906, eq. 5.
    """
    partitions = ops.logsumexp(logits, axis=-1)
    # A row without an expert in service, whose square would overflow.
    partitions = ops.where(partitions > lowest(logits) / 2, partitions, 0.0)
    return mean_over_rows(ops.square(partitions), real)
