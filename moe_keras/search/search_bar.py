"""How a search goes on, on one line."""

from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from moe_keras.training.progress import ShownInside


class SearchBar(ShownInside):
    """Shows how many subsets were evaluated, and the lowest loss.

    Args:
        label: str, what is run.
        verbose: int; 0 shows nothing.
    """

    def __init__(self, label: str, verbose: int):
        super().__init__(
            Progress(
                SpinnerColumn(),
                TextColumn("{task.description}"),
                TextColumn("{task.completed:.0f} subsets"),
                TimeElapsedColumn(),
                TextColumn("{task.fields[loss]}"),
                disable=not verbose,
            )
        )
        self._task = self._progress.add_task(label, total=None, loss="")
        self._lowest = float("inf")

    def advance(self, losses: list[float]) -> None:
        """So many more subsets were evaluated."""
        self._lowest = min(self._lowest, *losses)
        self._progress.update(
            self._task,
            advance=len(losses),
            loss=f"lowest loss {self._lowest:.4f}",
        )
