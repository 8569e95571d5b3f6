"""From a table in a file to a compared, reported and exported mixture."""

import os
import shlex
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
from rich.console import Console

from moe_keras.cards.comparison import Comparison
from moe_keras.cards.publish import publish_compared
from moe_keras.cards.table_folder import RUNS, claim_folder, default_folder
from moe_keras.errors import either
from moe_keras.export import export_saved_model
from moe_keras.one_writer import one_writer
from moe_keras.runner import train_recipe
from moe_keras.runner.files import MODEL, is_finished, read_model
from moe_keras.still_busy import still_busy
from moe_keras.storage import new_folder, write_file
from moe_keras.training import Recipe
from moe_keras.training.table_recipe import make_table_recipe
from moe_keras.zoo.presets.saving import check_name


@dataclass(frozen=True)
class TableRun:
    """What `train_table` made.

    Attributes:
        folder: where it is: `recipe.yaml`, `card.md` with pictures and
            `results.json`; `model.keras` and `saved_model`, trained on all
            rows; and `runs`, a run for each fold.
        recipe: that was trained.
        comparison: the mixture beside what users would pick instead, on the
            folds that were held out.
    """

    folder: Path
    recipe: Recipe
    comparison: Comparison

    def load(self) -> keras.Model:
        """The model that was trained on all rows."""
        return read_model(self.folder / MODEL)


def train_table(
    path: str | os.PathLike[str],
    target: str,
    bad: str | None = None,
    out: str | os.PathLike[str] | None = None,
    drop: Collection[str] = (),
    folds: int = 5,
    epochs: int | None = None,
    console: Console | None = None,
    positive: str | None = None,
    reading: Mapping[str, Any] | None = None,
) -> TableRun:
    """Train a risk mixture on any table of two classes, and say how good it is.

    The columns are inferred, see `infer_table_schema`. The same call goes on
    after an interruption. It reads the folder's `recipe.yaml`, if there is one:
    so what was inferred can be changed there; what was trained before, in
    `runs`, then has to be removed. A folder belongs to what was asked for when
    it was made: the rows of the file, target, options and folds.

    Args:
        path: of a CSV or Parquet file.
        target: name of the column to predict.
        bad: the value of it that is bad; the larger of two numbers if None.
        out: folder to write into; by default `runs/<name of the file>`, with
            some digits of the name behind it where that has capitals, spaces
            or letters that are not English.
        drop: columns that the model is not to read, such as ids.
        folds: int > 1. Of the cross-validation that all models go through.
        epochs: int > 0. Of the networks; by default such as make about 2,000
            updates, 4 at least and 40 at most.
        console: where progress goes; a new one by default.
        positive: the same as `bad`, for a target of which no value is bad: a
            churn, a diagnosis, a sale.
        reading: how the file is written, and which columns are texts; see
            `make_table_recipe`. Kept in the recipe: tables that the model is
            asked about are read so.

    Returns:
        `TableRun`.

    Raises:
        FileNotFoundError: when there is no such file.
        ValueError: with file, column and row, when the file is not such a
            table, or the target has not two classes; for more folds than there
            are rows for; with what differs, for a folder of another call.
        FolderInUse: when another process trains in the folder.
    """
    console = console or Console()
    bad = either("train_table", bad=bad, positive=positive)
    recipe = make_table_recipe(
        path, target, bad, drop, folds, epochs, reading=reading
    )
    folder = Path(out or default_folder(Path(path), recipe.name))
    # Now, not when all folds are trained.
    check_name(folder, "train_table")
    named = [
        *("--csv", os.fspath(path), "--target", target),
        *(() if bad is None else ("--positive", str(bad))),
        *(part for name in drop for part in ("--drop", name)),
        *_as_options(reading or {}),
        *("--folds", str(folds), "--out", str(folder)),
    ]
    command = shlex.join(["moe-keras", "train", *named])
    with one_writer(folder, "train_table"):
        recipe = claim_folder(folder, Path(path), recipe, epochs)
        return _train(recipe, folder, command, console)


def _train(
    recipe: Recipe, folder: Path, command: str, console: Console
) -> TableRun:
    """All steps, of which those that are done are not done again."""
    runs = folder / RUNS
    all_rows = runs / "all_rows"
    done = [runs / str(fold) for fold in recipe.seeds] + [all_rows / "0"]
    if not all(map(is_finished, done)):
        # Of a training before: what its reader has changed counts.
        (folder / MODEL).unlink(missing_ok=True)
    for fold in recipe.seeds:
        train_recipe(recipe, fold, runs, console=console)
    console.print(f"{folder}: training on all rows")
    whole = recipe.model_copy(update={"folds": None})
    trained = train_recipe(whole, 0, all_rows, console=console)
    served = folder / "saved_model"
    exporting = still_busy(console, f"{folder}: exporting the model")
    with exporting, new_folder(served) as draft:
        export_saved_model(trained.load(), draft)
    with still_busy(
        console, f"{folder}: comparing with other models takes minutes"
    ):
        _, comparison = publish_compared(
            recipe, folder, runs, command=command, served=served
        )
    # The last to be written: where it is, all of the folder is done.
    write_file(folder / MODEL, (trained.folder / MODEL).read_bytes())
    return TableRun(folder, recipe, comparison)


def _as_options(reading: Mapping[str, Any]) -> Iterator[str]:
    """How a file is read, as options of the command."""
    for name, value in reading.items():
        for one in [value] if isinstance(value, str) else value:
            yield from (f"--{name}", one)
