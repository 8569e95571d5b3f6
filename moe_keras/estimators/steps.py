"""What a long `fit` is at: one bar, on request."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
)


@contextmanager
def show_steps(
    label: str, steps: int, shown: bool, console: Console | None = None
) -> Iterator[Callable[[str], None] | None]:
    """Show the steps of a training as one line.

    Args:
        label: what is trained.
        steps: int > 0, how many there are at most.
        shown: whether anything is shown.
        console: where; a new one by default.

    Yields:
        What is to be told of each step as it begins; None where nothing is
        shown.
    """
    if not shown:
        yield None
        return
    begun = 0
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=12),
        MofNCompleteColumn(),
        TextColumn("steps"),
        TimeElapsedColumn(),
        TextColumn("{task.fields[now]}"),
        console=console,
    ) as progress:
        task = progress.add_task(label, total=steps, now="")

        def note(text: str) -> None:
            nonlocal begun
            progress.update(task, completed=begun, now=text)
            begun += 1

        yield note
        # A gate without a weight has no step.
        progress.update(task, completed=begun, total=begun, now="done")
