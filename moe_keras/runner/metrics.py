"""Which scores a table shows, and how they are written."""

import statistics
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple


class Metric(NamedTuple):
    """One score.

    Attributes:
        key: in a result.
        heading: above its column.
        factor: that it is shown times.
        decimals: that are shown of it, where there is room for them.
    """

    key: str
    heading: str
    factor: float = 1
    decimals: int = 4

    def mean_and_sd(
        self, rows: Sequence[Mapping[str, Any]], decimals: int | None = None
    ) -> str:
        """`mean ± SD` of results, as it is shown.

        Args:
            rows: results.
            decimals: defaults to the metric's own.
        """
        values = [self.factor * row[self.key] for row in rows]
        return mean_and_sd(
            values, self.decimals if decimals is None else decimals
        )


CLASSES = (
    Metric("accuracy", "accuracy %", 100, 2),
    Metric("log_loss", "log-loss"),
    Metric("ece", "ECE"),
)
RISKS = (
    Metric("auc", "AUC"),
    Metric("log_loss", "log-loss"),
    Metric("brier", "Brier"),
    Metric("ece", "ECE"),
)


def metrics_of(result: Mapping[str, Any]) -> tuple[Metric, ...]:
    """The scores that a result has, the one to judge by first."""
    return RISKS if "auc" in result else CLASSES


def mean_and_sd(values: Sequence[float], decimals: int) -> str:
    """`mean ± SD (n - 1)`; the value alone where there is one."""
    mean = f"{statistics.mean(values):.{decimals}f}"
    if len(values) < 2:
        return mean
    return f"{mean} ± {statistics.stdev(values):.{decimals}f}"
