"""One line for a whole training, where Keras' own bar takes one per epoch."""

from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any, Self

import keras
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
)

from moe_keras.still_busy import Busy, still_busy


def _make_bar(unit: str, console: Console | None) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=12),
        MofNCompleteColumn(),
        TextColumn(unit),
        TimeElapsedColumn(),
        TextColumn("{task.fields[logs]}"),
        console=console,
    )


def _say_lines(lines: ExitStack, console: Console, label: str) -> Busy | None:
    """Lines beside a bar, where the bar is shown only once it is done."""
    if console.is_terminal:
        return None
    return lines.enter_context(still_busy(console, f"{label}: begins"))


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
        self._console = console or Console()
        self._progress: Progress | None = None
        self._lines = ExitStack()
        self._busy: Busy | None = None

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        self.on_train_end()
        self._progress = _make_bar("epochs", self._console)
        self._busy = _say_lines(self._lines, self._console, self._label)
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
            if self._busy is not None:
                done = f"{epoch + 1}/{self.params['epochs']} epochs"
                self._busy.text = f"{self._label}: {done}  {text}"

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        if self._progress is not None:
            self._lines.close()
            self._progress.stop()
            self._progress = None


class ShownInside:
    """A bar that is drawn inside a `with` block, and nowhere else.

    Args:
        progress: `rich.progress.Progress`, the bar.
    """

    def __init__(self, progress: Progress):
        self._progress = progress

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, kind: Any, *_: Any) -> None:
        self._progress.stop()


class StepBar(ShownInside):
    """Show the steps of a training as one bar, with the name of this one.

    Args:
        label: str, what is trained.
        steps: int > 0.
        console: `rich.console.Console` to draw on; a new one by default.
    """

    def __init__(self, label: str, steps: int, console: Console | None = None):
        self._label, self._console = label, console or Console()
        super().__init__(_make_bar("steps", self._console))
        self._task = self._progress.add_task(
            f"{label:<17}", total=steps, logs=""
        )
        self._begun = 0
        self._lines = ExitStack()
        self._busy: Busy | None = None

    def __enter__(self) -> Self:
        self._busy = _say_lines(self._lines, self._console, self._label)
        return super().__enter__()

    def __exit__(self, kind: Any, *rest: Any) -> None:
        self._lines.close()
        if kind is None:
            task = self._progress.tasks[0]
            self._progress.update(self._task, completed=task.total, logs="")
        super().__exit__(kind, *rest)

    def begin(self, step: str) -> None:
        """Say that a step begins, and so that the one before it is done."""
        self._progress.update(self._task, completed=self._begun, logs=step)
        self._begun += 1
        if self._busy is not None:
            self._busy.say(f"{self._label}: {step}")
