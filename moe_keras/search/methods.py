"""Ways to look for a subset: each returns its steps, subsets in the budget."""

from collections.abc import Callable
from itertools import combinations

import numpy as np

from moe_keras.search.genetic import search_genetic
from moe_keras.search.subsets import Subset, Subsets

# 4,095 subsets.
MOST_EXHAUSTIVE = 12
# Draws for each new subset that is asked for.
TRIES = 20

Method = Callable[[Subsets, int, np.random.Generator], list[Subset]]


def search_greedy(
    subsets: Subsets, evaluations: int, rng: np.random.Generator
) -> list[Subset]:
    """Add the expert that helps most, as long as one fits into the budget."""
    steps: list[Subset] = []
    kept: Subset = ()
    while True:
        left = set(range(subsets.num_experts)) - set(kept)
        wider = [tuple(sorted((*kept, expert))) for expert in sorted(left)]
        wider = [option for option in wider if subsets.fits(option)]
        if not wider:
            return steps
        kept = subsets.best(wider)
        steps.append(kept)


def search_backward(
    subsets: Subsets, evaluations: int, rng: np.random.Generator
) -> list[Subset]:
    """Remove the expert that is missed least, down to one that fits."""
    kept = tuple(range(subsets.num_experts))
    subsets.loss(kept)
    steps = [kept]
    while len(kept) > 1:
        smaller = [
            tuple(other for other in kept if other != expert) for expert in kept
        ]
        # Not into a corner from which no subset in the budget is left.
        affordable = set(subsets.affordable)
        kept = subsets.best([one for one in smaller if affordable & set(one)])
        steps.append(kept)
    return steps


def search_random(
    subsets: Subsets, evaluations: int, rng: np.random.Generator
) -> list[Subset]:
    """Draw subsets, until as many different ones as asked are there."""
    drawn: dict[Subset, None] = {}
    for _ in range(TRIES * evaluations):
        if len(drawn) == evaluations:
            break
        drawn[subsets.draw(rng)] = None
    subsets.ask(list(drawn))
    steps: list[Subset] = []
    for kept in drawn:
        if not steps or subsets.loss(kept) < subsets.loss(steps[-1]):
            steps.append(kept)
    return steps


def search_exhaustive(
    subsets: Subsets, evaluations: int, rng: np.random.Generator
) -> list[Subset]:
    """Evaluate all that fit; a step is the best of each size."""
    everyone, steps = range(subsets.num_experts), []
    for size in range(1, subsets.num_experts + 1):
        fitting = [
            kept for kept in combinations(everyone, size) if subsets.fits(kept)
        ]
        if fitting:
            steps.append(subsets.best(fitting))
    return steps


METHODS: dict[str, Method] = {
    "greedy": search_greedy,
    "backward": search_backward,
    "random": search_random,
    "genetic": search_genetic,
    "exhaustive": search_exhaustive,
}
