"""Subsets of experts: which are within a budget, and how good they are."""

from collections.abc import Callable, Iterator, Sequence
from itertools import groupby, islice

import numpy as np

from moe_keras.search.costs import CostOf

Subset = tuple[int, ...]

# Subsets that are evaluated before a progress bar moves.
AT_ONCE = 64


def batches(subsets: Sequence[Subset]) -> Iterator[list[Subset]]:
    """Some at a time, each time of one size."""
    for _, same in groupby(sorted(set(subsets), key=len), key=len):
        while some := list(islice(same, AT_ONCE)):
            yield some


class Subsets:
    """The subsets of E experts within a budget, each evaluated once.

    Args:
        num_experts: int > 0, E.
        evaluate: from subsets to their losses, remembered by the caller.
        cost_of: from a subset to its cost.
        budget: float, the most that a subset may cost.
    """

    def __init__(
        self,
        num_experts: int,
        evaluate: Callable[[Sequence[Subset]], list[float]],
        cost_of: CostOf,
        budget: float,
    ):
        self.num_experts = num_experts
        self.cost_of = cost_of
        self.budget = budget
        self._evaluate = evaluate
        self._losses: dict[Subset, float] = {}
        self.affordable = [e for e in range(num_experts) if self.fits((e,))]

    def fits(self, kept: Sequence[int]) -> bool:
        """Whether a subset that is not empty is within the budget."""
        return len(kept) > 0 and self.cost_of(kept) <= self.budget

    def loss(self, kept: Subset) -> float:
        """The loss of a subset, evaluated at most once."""
        self.ask([kept])
        return self._losses[kept]

    def ask(self, subsets: Sequence[Subset]) -> None:
        """Evaluate several, which takes less time than one by one."""
        new = [kept for kept in subsets if kept not in self._losses]
        self._losses.update(zip(new, self._evaluate(new), strict=True))

    @property
    def evaluations(self) -> int:
        """How many different subsets were asked for."""
        return len(self._losses)

    def best(self, subsets: Sequence[Subset]) -> Subset:
        """The one with the lowest loss; of equals the cheapest, then first."""
        self.ask(subsets)
        return min(
            subsets, key=lambda kept: (self.loss(kept), self.cost_of(kept))
        )

    def fill(self, order: Sequence[int], size: int) -> Subset:
        """As many experts of an order, first come, as fit, `size` at most."""
        kept: list[int] = []
        for expert in order:
            if len(kept) < size and self.fits(sorted([*kept, int(expert)])):
                kept.append(int(expert))
        return tuple(sorted(kept))

    def draw(self, rng: np.random.Generator) -> Subset:
        """A random subset within the budget, of a random size."""
        size = int(rng.integers(1, self.num_experts + 1))
        return self.fill(rng.permutation(self.num_experts), size)
