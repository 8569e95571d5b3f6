"""How a search goes on, on one line."""

from collections.abc import Sequence

from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from moe_keras.training.progress import ShownInside


class SearchBar(ShownInside):
    """Shows how many subsets were evaluated, and the lowest loss in the budget.

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

    def begin(self, losses: Sequence[float]) -> None:
        """A budget is next; what is known of subsets within it."""
        self._lowest = float("inf")
        self.advance(0, losses)

    def advance(self, count: int, losses: Sequence[float]) -> None:
        """So many more subsets were evaluated; the losses of those that fit."""
        self._lowest = min(self._lowest, *losses, float("inf"))
        found = self._lowest < float("inf")
        self._progress.update(
            self._task,
            advance=count,
            loss=f"lowest loss within the budget {self._lowest:.4f}"
            if found
            else "",
        )
