"""Results on the terminal: a row for each, their mean and SD below."""

import statistics
from collections.abc import Sequence
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table

# Key, heading, factor, decimals.
SCORES = (
    ("accuracy", "accuracy %", 100, 2),
    ("log_loss", "log-loss", 1, 3),
    ("ece", "ECE", 1, 3),
)


def results_table(results: Sequence[dict[str, Any]], title: str) -> Table:
    """A table of `result.json` or of evaluations.

    Args:
        results: rows with `seed`, scores and cost.
        title: above the table.

    Returns:
        `rich.table.Table`; from two rows on with mean ± SD (n - 1). Below
        `active` stand the multiply-adds per example.
    """
    # No frame: with it, three scores ± SD would not fit into 80 columns.
    table = Table(
        title=title,
        title_justify="left",
        box=SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
    )
    table.add_column("seed", no_wrap=True)
    headings = [heading for _, heading, _, _ in SCORES]
    for heading in (*headings, "weights", "active", "seconds"):
        table.add_column(heading, justify="right", no_wrap=True)
    for result in results:
        seed = result["seed"]
        table.add_row(
            "-" if seed is None else str(seed),
            *(
                f"{factor * result[key]:.{decimals}f}"
                for key, _, factor, decimals in SCORES
            ),
            short(result["parameters"]),
            short(result["active_multiply_adds"]),
            short(result.get("train_seconds")),
        )
    if len(results) > 1:
        means = [
            _mean_and_sd([factor * row[key] for row in results], decimals)
            for key, _, factor, decimals in SCORES
        ]
        table.add_section()
        table.add_row("mean", *means)
    return table


def _mean_and_sd(values: Sequence[float], decimals: int) -> str:
    mean, deviation = statistics.mean(values), statistics.stdev(values)
    return f"{mean:.{decimals}f} ± {deviation:.{decimals}f}"


def short(value: float | None) -> str:
    """A number in three digits, with k, M or G."""
    if value is None:
        return "-"
    for limit, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= limit:
            return f"{value / limit:.3g}{letter}"
    return f"{value:.3g}"
