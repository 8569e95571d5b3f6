"""Expert choice: every expert takes its best rows."""

from typing import Any

from keras import ops

from moe_keras.ops.gating import softmax
from moe_keras.ops.service import exclude


def expert_choice_gates(
    logits: Any,
    capacity_factor: float,
    real: Any = None,
    in_service: Any = None,
) -> Any:
    """S = softmax(logits) where an expert chose the row, 0 elsewhere.

    Every expert takes the k = ceil(c N / E) rows with its largest scores, ties
    to the earlier row. N counts the real rows, E the experts in service.

    Args:
        logits: float `(N, E)`.
        capacity_factor: float > 0, c: how many experts a row has on average.
        real: float `(N,)`, 1 for a row that counts and 0 else, or None.
        in_service: bool `(N, E)` or `(E,)`, or None for all.

    Returns:
        float `(N, E)`.

    Source: Zhou et al. (2022), arXiv:2202.09368, section 3.2.
    """
    shares = softmax(exclude(logits, in_service))
    eligible = ops.ones_like(shares, dtype="bool")
    if real is not None:
        eligible = ops.logical_and(eligible, ops.expand_dims(real, -1) > 0)
    if in_service is not None:
        eligible = ops.logical_and(eligible, in_service)
    present = ops.cast(ops.any(eligible, axis=-1), shares.dtype)
    serving = ops.cast(ops.any(eligible, axis=0), shares.dtype)
    places = (
        ops.sum(present) * capacity_factor / ops.maximum(ops.sum(serving), 1.0)
    )
    # A hair less, so that a quotient of whole numbers is not rounded up.
    places = ops.ceil(places * (1.0 - 1e-6))
    # The rank of each row in the eyes of each expert: (E, N).
    wanted = ops.transpose(ops.where(eligible, shares, -1.0))
    best_first = ops.argsort(-wanted, axis=-1)
    ranks = ops.cast(ops.argsort(best_first, axis=-1), shares.dtype)
    taken = ops.logical_and(ops.transpose(ranks) < places, eligible)
    return ops.where(taken, shares, 0.0)
