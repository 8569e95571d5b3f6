"""The mixtures that no other one beats in both score and cost."""

from collections.abc import Sequence
from typing import TypeVar

from matplotlib.figure import Figure

from moe_keras.search.trials import Trial

T = TypeVar("T")


def pareto_front(costs: Sequence[float], losses: Sequence[float]) -> list[int]:
    """Which points are beaten by none: cheaper, or better, than each other one.

    Point i is beaten by j if cost_j <= cost_i and loss_j <= loss_i, and one of
    the two is less. Of points that are the same, the first is kept.

    Args:
        costs: float `(N,)`.
        losses: float `(N,)`, less is better.

    Returns:
        Their places, in the order of rising cost.
    """
    front: list[int] = []
    # Along rising costs, a point is on the front if its loss is a new low.
    points = zip(costs, losses, range(len(costs)), strict=True)
    for _, loss, place in sorted(points):
        if not front or loss < losses[front[-1]]:
            front.append(place)
    return front


def plot_pareto(
    trials: Sequence[Trial],
    front: Sequence[Trial],
    objective: str,
    limit: float | None = None,
) -> Figure:
    """Score against active multiply-adds, with the front as a line.

    Args:
        trials: with a score and a cost; others are left out.
        front: those of them that no other one beats.
        objective: `"log_loss"` or `"accuracy"`.
        limit: the budget's multiply-adds, or None.

    Returns:
        A matplotlib figure: cost across, in powers of ten, score up.
    """
    figure = Figure(figsize=(6, 3.8), layout="constrained")
    axes = figure.subplots()
    shown = [t for t in trials if t.score is not None and t.multiply_adds]
    axes.plot(
        [trial.multiply_adds for trial in shown],
        [trial.score for trial in shown],
        "o",
        color="gray",
        label="trials",
    )
    line = [(trial.multiply_adds, trial.score) for trial in front]
    if line:
        axes.plot(*zip(*line, strict=True), "k.-", label="front")
    for trial in front:
        axes.annotate(
            f"#{trial.number}",
            (trial.multiply_adds, trial.score),
            xytext=(4, 4),
            textcoords="offset points",
            fontsize=8,
        )
    if limit is not None:
        axes.axvline(limit, color="gray", ls="--", label="budget")
    unit = "nats" if objective == "log_loss" else "share correct"
    axes.set(
        title=f"validation {objective.replace('_', '-')} and cost",
        xlabel="active multiply-adds per example",
        ylabel=unit,
        xscale="log",
    )
    axes.legend()
    return figure
