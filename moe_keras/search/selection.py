"""What a search for experts found."""

from dataclasses import dataclass

import keras
from matplotlib.figure import Figure

from moe_keras.search.subsets import Subset

UNITS = {
    "multiply_adds": "multiply-adds per example",
    "parameters": "parameters",
    "latency": "latency in ms (a model of it)",
}


@dataclass(frozen=True)
class Selection:
    """A subset of experts within a budget, and how it was found.

    Attributes:
        indices: of the experts that are kept, ascending.
        loss: mean log-loss of the kept model on the data, in nats, before any
            fine-tuning.
        cost: of the kept model.
        path: `(cost, loss)` of each step of the search: of greedy, after each
            expert that is added; of backward, from all experts to one, those
            above the budget too; of random, each time a better one was drawn;
            of genetic, the best of each generation; of exhaustive, the best of
            each number of experts.
        evaluations: how many different subsets were evaluated.
        model: the smaller model; see `keep_experts`.
        budget: what it may cost at most.
        cost_kind: `"multiply_adds"`, `"parameters"` or `"latency"`.
        method: the name of the search.
        tuned_loss: the loss after the gate was fine-tuned, or None.
    """

    indices: Subset
    loss: float
    cost: float
    path: tuple[tuple[float, float], ...]
    evaluations: int
    model: keras.Model
    budget: float
    cost_kind: str
    method: str
    tuned_loss: float | None = None

    def plot(self) -> Figure:
        """The steps of the search, what was chosen, and the budget.

        Returns:
            A matplotlib figure: cost across, loss up.
        """
        figure = Figure(figsize=(5, 3.4), layout="constrained")
        axes = figure.subplots()
        costs, losses = zip(*self.path, strict=True)
        axes.plot(costs, losses, ".-", label=f"{self.method} steps")
        axes.plot([self.cost], [self.loss], "k*", ms=12, label="chosen")
        axes.axvline(self.budget, color="gray", ls="--", label="budget")
        axes.set(
            title=f"{len(self.indices)} experts kept",
            xlabel=UNITS[self.cost_kind],
            ylabel="log-loss in nats",
        )
        axes.legend()
        return figure
