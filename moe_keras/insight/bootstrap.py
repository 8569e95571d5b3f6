"""Is one model better than another, or were these rows kind to it?"""

from typing import Any, NamedTuple

import numpy as np

from moe_keras.errors import is_count, require

# Two models of equal worth differ at p < 0.05 in one comparison of twenty.
LEVEL = 0.95
DRAWS = 10_000
# Rows drawn at a time: bounds the memory, not the result.
BLOCK = 500


class Difference(NamedTuple):
    """A mean difference of paired scores.

    Attributes:
        mean: float, first minus second.
        low: float, lower end of the 95 % interval.
        high: float, upper end.
        p_value: float in (0, 1], two-sided: how often a draw lies on the other
            side of 0, twice.
    """

    mean: float
    low: float
    high: float
    p_value: float


def paired_bootstrap(
    first: Any, second: Any, draws: int = DRAWS, seed: int = 0
) -> Difference:
    """The mean of first - second over rows, with its percentile interval.

    Both models are scored on the same rows; rows are drawn with replacement,
    pairs together, so that what makes a row hard for both cancels.

    Args:
        first: float `(N,)`, a score for each row, such as 1 for a right answer,
            or the mean of it over seeds.
        second: the same of the other model.
        draws: int > 0.
        seed: int, of the draws.

    Returns:
        `Difference`.

    Raises:
        ValueError: when the shapes differ, or there is no row.

    Source: Efron & Tibshirani (1993), An Introduction to the Bootstrap, ch. 13
        and 16; Koehn (2004), EMNLP (paired).
    """
    one, other = np.asarray(first, "float64"), np.asarray(second, "float64")
    require(
        one.ndim == 1 and one.shape == other.shape and len(one) > 0,
        "paired_bootstrap",
        "`first` and `second` must both be (N,), N above 0.",
        first_shape=one.shape,
        second_shape=other.shape,
    )
    require(
        is_count(draws),
        "paired_bootstrap",
        "`draws` must be an integer above 0.",
        draws=draws,
    )
    gaps = one - other
    generator = np.random.default_rng(seed)
    means = np.concatenate(
        [
            gaps[
                generator.integers(
                    0, len(gaps), (min(BLOCK, draws - start), len(gaps))
                )
            ].mean(axis=1)
            for start in range(0, draws, BLOCK)
        ]
    )
    tail = (1 - LEVEL) / 2
    low, high = np.quantile(means, [tail, 1 - tail])
    beyond = min((means <= 0).mean(), (means >= 0).mean())
    # One draw more: a p-value of 0 would claim more than the draws can show.
    p_value = min(1.0, 2 * (beyond * draws + 1) / (draws + 1))
    return Difference(float(gaps.mean()), float(low), float(high), p_value)
