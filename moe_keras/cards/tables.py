"""A comparison on the terminal."""

from rich.table import Table

from moe_keras.cards.card import millions, thousands
from moe_keras.cards.comparison import Comparison, mean_and_sd


def comparison_table(comparison: Comparison) -> Table:
    """A row for each contestant: scores over its seeds, cost, the difference.

    Args:
        comparison: see `compare_recipe`.

    Returns:
        `rich.table.Table`. The difference is the model's accuracy minus the
        rival's, in points, with its 95 % interval and p-value.
    """
    rows = comparison.rows[0]["rows"]
    table = Table(
        title=f"{comparison.recipe.name}, {comparison.split} split, "
        f"{rows:,} rows",
        title_justify="left",
    )
    table.add_column("model")
    for heading in (
        *("seeds", "accuracy %", "log-loss", "ECE", "weights", "active"),
        "ahead by (95 %)",
    ):
        table.add_column(heading, justify="right")
    for name in comparison.contestants():
        accuracy = [100 * x for x in comparison.scores(name, "accuracy")]
        first = next(r for r in comparison.rows if r["contestant"] == name)
        table.add_row(
            name,
            str(len(accuracy)),
            mean_and_sd(accuracy, 2),
            mean_and_sd(comparison.scores(name, "log_loss"), 4),
            mean_and_sd(comparison.scores(name, "ece"), 4),
            thousands(first["parameters"]),
            millions(first["active_multiply_adds"]),
            _difference(comparison, name),
        )
    return table


def _difference(comparison: Comparison, name: str) -> str:
    gap = comparison.differences.get(name)
    if gap is None:
        return ""
    mean, low, high = (100 * value for value in gap[:3])
    return f"{mean:+.2f} ({low:+.2f} to {high:+.2f}), p {gap.p_value:.3f}"
