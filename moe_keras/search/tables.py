"""The trials of a search on the terminal."""

from collections.abc import Sequence
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table

from moe_keras.runner.tables import short
from moe_keras.search.trials import SearchResult, Trial

LEGEND = (
    "Before a trial: * the best one, - no other is both better and cheaper. "
    "top_k 0: all experts."
)


def trials_table(result: SearchResult) -> Table:
    """A row for each trial, the best score first.

    Args:
        result: of a search.

    Returns:
        `rich.table.Table`; `*` stands before the best trial, `-` before the
        others of the front, as is said below it. Of a configuration stands
        there what is not the same in all trials.
    """
    table = Table(
        title=f"{len(result.trials)} trials, {result.rejected} refused before",
        title_justify="left",
        caption=LEGEND,
        caption_justify="left",
        box=SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
    )
    for heading in ("", "#", "accuracy %", "log-loss", "active", "weights"):
        table.add_column(heading, justify="right", no_wrap=True)
    for heading in ("seconds", "epochs"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("configuration")
    varied = _varied(result)
    for trial in sorted(result.trials, key=lambda t: _order(t, result)):
        table.add_row(
            _mark(trial, result),
            str(trial.number),
            f"{100 * trial.scores['accuracy']:.2f}" if trial.scores else "-",
            f"{trial.scores['log_loss']:.4f}" if trial.scores else "-",
            short(trial.multiply_adds),
            short(trial.parameters),
            f"{trial.seconds:.1f}",
            str(trial.epochs or "-"),
            _describe(trial, varied) + _trouble(trial),
        )
    return table


def _varied(result: SearchResult) -> list[str]:
    """Names of the space of which trials have different values."""
    seen: dict[str, set[Any]] = {}
    for trial in result.trials:
        for name, value in trial.values.items():
            seen.setdefault(name, set()).add(value)
    return [name for name, values in seen.items() if len(values) > 1]


def _describe(trial: Trial, names: Sequence[str]) -> str:
    words = []
    for name in names:
        if name not in trial.values:
            continue
        value = trial.values[name]
        shown = f"{value:.2g}" if isinstance(value, float) else str(value)
        words.append(f"{name} {shown}")
    return ", ".join(words)


def _trouble(trial: Trial) -> str:
    return "" if trial.status == "done" else f" ({trial.status})"


def _mark(trial: Trial, result: SearchResult) -> str:
    if trial is result.best:
        return "*"
    return "-" if trial in result.front else ""


def _order(trial: Trial, result: SearchResult) -> tuple[bool, float, int]:
    score = trial.score
    sign = 1 if result.objective == "log_loss" else -1
    return (score is None, sign * (score or 0.0), trial.number)
