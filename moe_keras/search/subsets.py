"""Subsets of experts: which are within a budget, and how good they are."""

from collections.abc import Callable, Sequence

import numpy as np

from moe_keras.search.costs import CostOf

Subset = tuple[int, ...]


class Subsets:
    """The subsets of E experts within a budget, each evaluated once.

    Args:
        num_experts: int > 0, E.
        evaluate: from a subset to its loss, remembered by the caller.
        cost_of: from a subset to its cost.
        budget: float, the most that a subset may cost.
    """

    def __init__(
        self,
        num_experts: int,
        evaluate: Callable[[Subset], float],
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

    def loss(self, kept: Sequence[int]) -> float:
        """The loss of a subset, evaluated at most once."""
        subset = tuple(sorted(kept))
        if subset not in self._losses:
            self._losses[subset] = self._evaluate(subset)
        return self._losses[subset]

    @property
    def evaluations(self) -> int:
        """How many different subsets were asked for."""
        return len(self._losses)

    def best(self, subsets: Sequence[Subset]) -> Subset:
        """The one with the lowest loss; of equals the cheapest, then first."""
        return min(subsets, key=lambda kept: (self.loss(kept), self.cost(kept)))

    def cost(self, kept: Sequence[int]) -> float:
        """The cost of a subset."""
        return self.cost_of(tuple(sorted(kept)))

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
