"""A comparison on the terminal."""

from rich.table import Table

from moe_keras.cards.card import millions, thousands
from moe_keras.cards.comparison import Comparison
from moe_keras.insight import FoldDifference
from moe_keras.runner.metrics import metrics_of


def comparison_table(comparison: Comparison) -> Table:
    """A row for each contestant: scores over its seeds, cost, the difference.

    Args:
        comparison: see `compare_recipe`.

    Returns:
        `rich.table.Table`. The difference is the model's accuracy minus the
        rival's, in points, with its 95 % interval and p-value; of a
        cross-validation, AUC with the SD over folds.
    """
    rows = comparison.rows[0]["rows"]
    table = Table(
        title=f"{comparison.recipe.name}, {comparison.split} split, "
        f"{rows:,} rows",
        title_justify="left",
    )
    table.add_column("model")
    metrics = metrics_of(comparison.rows[0])
    for heading in (
        "seeds",
        *(metric.heading for metric in metrics),
        *("weights", "active", "ahead by"),
    ):
        table.add_column(heading, justify="right")
    for name in comparison.contestants():
        own = comparison.of(name)
        table.add_row(
            name,
            str(len(own)),
            *(metric.mean_and_sd(own) for metric in metrics),
            thousands(own[0]["parameters"]),
            millions(own[0]["active_multiply_adds"]),
            _difference(comparison, name),
        )
    return table


def _difference(comparison: Comparison, name: str) -> str:
    gap = comparison.differences.get(name)
    if gap is None:
        return ""
    if isinstance(gap, FoldDifference) and gap.folds == 1:
        return f"{gap.mean:+.4f}, one fold"
    if isinstance(gap, FoldDifference):
        return f"{gap.mean:+.4f} ± {gap.sd:.4f}, p {gap.p_value:.3f}"
    mean, low, high = (100 * value for value in gap[:3])
    return f"{mean:+.2f} ({low:+.2f} to {high:+.2f}), p {gap.p_value:.3f}"
