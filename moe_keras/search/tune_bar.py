"""How a search over mixtures goes on, on one line."""

from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
)

from moe_keras.search.trials import Trial
from moe_keras.training.progress import ShownInside


class TuneBar(ShownInside):
    """Shows how many trials are done, the best score, and what is running.

    Args:
        total: int, trials at most.
        objective: `"log_loss"` or `"accuracy"`.
        console: where to.
    """

    def __init__(self, total: int, objective: str, console: Console):
        self._objective = objective
        super().__init__(
            Progress(
                BarColumn(bar_width=12),
                MofNCompleteColumn(),
                TextColumn("trials"),
                TimeElapsedColumn(),
                TextColumn("{task.fields[best]}"),
                TextColumn("{task.fields[now]}"),
                console=console,
            )
        )
        self._task = self._progress.add_task("", total=total, best="", now="")

    def show(self, trials: Sequence[Trial]) -> None:
        """What is there now."""
        scores = [trial.score for trial in trials if trial.status == "done"]
        best = ""
        if scores:
            pick = min if self._objective == "log_loss" else max
            best = f"best {self._objective} {pick(scores):.4f}"
        running = [f"#{t.number}" for t in trials if t.status == "running"]
        self._progress.update(
            self._task,
            completed=len(trials) - len(running),
            best=best,
            now=", ".join(running),
        )

    def watch(self, event: str, subject: Any) -> None:
        """What a tuner of this process tells."""
        if event == "trial":
            self._now = f"#{int(subject.trial_id)}"
            self._progress.update(self._task, now=self._now)
        elif event == "epoch":
            now = f"{self._now} epoch {subject}"
            self._progress.update(self._task, now=now)
