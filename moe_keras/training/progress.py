"""One line for a whole training, where Keras' own bar takes one per epoch."""

from collections.abc import Sequence
from typing import Any

import keras
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
)


class ProgressBar(keras.callbacks.Callback):
    """Show the epochs of a `fit` as one bar, with the latest loss and metrics.

    Args:
        label: str, what is trained.
        console: `rich.console.Console` to draw on; a new one by default.
        show: names in the epoch's log to show; what is not there is left out.
    """

    def __init__(
        self,
        label: str,
        console: Console | None = None,
        show: Sequence[str] = ("loss", "accuracy"),
    ):
        super().__init__()
        self._show = show
        self._label = label
        self._console = console
        self._progress: Progress | None = None

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=12),
            MofNCompleteColumn(),
            TextColumn("epochs"),
            TimeElapsedColumn(),
            TextColumn("{task.fields[logs]}"),
            console=self._console,
        )
        self._task = self._progress.add_task(
            f"{self._label:<17}", total=self.params["epochs"], logs=""
        )
        self._progress.start()

    def on_epoch_end(
        self, epoch: int, logs: dict[str, Any] | None = None
    ) -> None:
        if self._progress is not None:
            text = "  ".join(
                f"{name} {logs[name]:.4f}"
                for name in self._show
                if logs and name in logs
            )
            self._progress.update(self._task, completed=epoch + 1, logs=text)

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        if self._progress is not None:
            self._progress.stop()
            self._progress = None
