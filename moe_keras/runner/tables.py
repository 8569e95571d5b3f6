"""Results on the terminal: a row for each, their mean and SD below."""

from collections.abc import Sequence
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table

from moe_keras.runner.metrics import metrics_of

# Of 80 columns, there is no room for more.
DECIMALS = 3


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
    shown = [
        metric for metric in metrics_of(results[0]) if metric.key != "brier"
    ]
    headings = [metric.heading for metric in shown]
    for heading in (*headings, "weights", "active", "seconds"):
        table.add_column(heading, justify="right", no_wrap=True)
    for result in results:
        seed = result["seed"]
        table.add_row(
            "-" if seed is None else str(seed),
            *(
                metric.mean_and_sd([result], min(metric.decimals, DECIMALS))
                for metric in shown
            ),
            short(result["parameters"]),
            short(result["active_multiply_adds"]),
            short(result.get("train_seconds")),
        )
    if len(results) > 1:
        means = [
            metric.mean_and_sd(results, min(metric.decimals, DECIMALS))
            for metric in shown
        ]
        table.add_section()
        table.add_row("mean", *means)
    return table


def short(value: float | None) -> str:
    """A number in three digits, with k, M or G."""
    if value is None:
        return "-"
    for limit, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= limit:
            return f"{value / limit:.3g}{letter}"
    return f"{value:.3g}"
