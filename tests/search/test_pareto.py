"""The front against its definition."""

import numpy as np
import pytest

from moe_keras.search import pareto_front


def brute_force(costs, losses):
    """A point for each that nothing beats, by all pairs."""
    points = list(zip(costs, losses, strict=True))
    return sorted(
        {
            one
            for one in points
            if not any(
                other[0] <= one[0] and other[1] <= one[1] and other != one
                for other in points
            )
        }
    )


@pytest.mark.parametrize("seed", range(20))
def test_front(seed):
    rng = np.random.default_rng(seed)
    # Few values, so that many are equal.
    costs, losses = rng.integers(0, 8, (2, 1 + seed)).astype(float)
    front = pareto_front(costs, losses)
    points = [(costs[place], losses[place]) for place in front]
    assert points == brute_force(costs, losses)
    # Of points that are the same, the first.
    for place in front:
        same = (costs == costs[place]) & (losses == losses[place])
        assert place == np.flatnonzero(same)[0]


def test_no_point():
    assert pareto_front([], []) == []
