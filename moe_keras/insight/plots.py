"""Pictures, as matplotlib figures that the caller saves or shows."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from moe_keras.errors import require
from moe_keras.insight.scores import Reliability


def plot_history(histories: Any) -> Figure:
    """Training curves of several models side by side.

    Args:
        histories: by the model's name, what `fit` returned or its `history`:
            one value per epoch of `loss`, and of `accuracy` where it was
            measured. Of a single model, that alone.

    Returns:
        A figure with one panel for each of the two, and one line per model.

    Raises:
        ValueError: for what holds no such curves.
    """
    histories = _curves_by_name(histories)
    figure = Figure(figsize=(9, 3.4), layout="constrained")
    left, right = figure.subplots(1, 2)
    for name, history in histories.items():
        for axes, key in ((left, "loss"), (right, "accuracy")):
            values = history.get(key, ())
            axes.plot(range(1, len(values) + 1), values, label=name)
    left.set(title="training loss", xlabel="epoch", ylabel="nats", yscale="log")
    right.set(title="training accuracy", xlabel="epoch", ylabel="share correct")
    right.legend(loc="lower right")
    return figure


def plot_calibration(
    shown: Reliability, probability: str = "confidence", share: str = "right"
) -> Figure:
    """Confidence against accuracy, and how many rows have which confidence.

    Args:
        shown: see `reliability`.
        probability: what the confidence is to be called.
        share: what the accuracy is the share of.

    Returns:
        A figure with two panels: a bar per bin beside the diagonal, on which a
        calibrated model lies; and the share of rows in each bin.
    """
    figure = Figure(figsize=(8, 3.4), layout="constrained")
    left, right = figure.subplots(1, 2)
    bins = len(shown.count)
    middles = (np.arange(bins) + 0.5) / bins
    left.bar(middles, shown.accuracy, 0.9 / bins, label=f"share {share}")
    left.plot(shown.confidence, shown.confidence, "k.--", label="calibrated")
    left.set(title="calibration", xlabel=probability, xlim=(0, 1), ylim=(0, 1))
    left.legend(loc="upper left")
    right.bar(middles, shown.count / shown.count.sum(), 0.9 / bins)
    right.set(title="share of rows", xlabel=probability, xlim=(0, 1))
    return figure


def _curves_by_name(histories: Any) -> dict[str, Mapping[str, Any]]:
    """By the model's name, its curves by metric."""
    found = getattr(histories, "history", histories)
    single = isinstance(found, Mapping) and "loss" in found
    named = {"model": found} if single else found
    require(
        isinstance(named, Mapping),
        "plot_history",
        "`histories` must be what `fit` returned, or a dict of these by name.",
        histories=type(histories).__name__,
    )
    curves = {name: getattr(one, "history", one) for name, one in named.items()}
    for name, one in curves.items():
        require(
            isinstance(one, Mapping),
            "plot_history",
            "each of `histories` must be what `fit` returned, or its "
            "`history`.",
            name=name,
            found=type(one).__name__,
        )
    return curves


def plot_routing(
    table: Any, expert_names: Sequence[str], class_names: Sequence[str]
) -> Figure:
    """Which expert takes which class, as a heat map with its numbers.

    Args:
        table: float `(C, E)`, mean gates, from `expert_by_class`.
        expert_names: E names.
        class_names: C names.

    Returns:
        A figure: one row per expert, one column per class.
    """
    shares = np.asarray(table).T
    figure = Figure(
        figsize=(2.2 + 0.55 * len(class_names), 1.6 + 0.5 * len(expert_names)),
        layout="constrained",
    )
    axes = figure.subplots()
    image = axes.imshow(shares, vmin=0, vmax=1, cmap="Blues", aspect="auto")
    axes.set_xticks(range(len(class_names)), class_names)
    axes.set_yticks(range(len(expert_names)), expert_names)
    axes.set(title="mean gate of each expert by class", xlabel="class")
    for (expert, label), share in np.ndenumerate(shares):
        colour = "white" if share > 0.6 else "black"
        axes.text(
            label,
            expert,
            f"{share:.2f}",
            ha="center",
            va="center",
            color=colour,
            fontsize=8,
        )
    figure.colorbar(image, ax=axes, label="mean gate")
    return figure
