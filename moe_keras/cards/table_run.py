"""From a table in a file to a compared, reported and exported mixture."""

import os
import shlex
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import keras
from rich.console import Console

from moe_keras.cards.comparison import Comparison
from moe_keras.cards.publish import publish_compared
from moe_keras.errors import either
from moe_keras.export import export_saved_model
from moe_keras.runner import train_recipe
from moe_keras.runner.files import MODEL
from moe_keras.storage import new_folder, write_file, write_text
from moe_keras.training import Recipe, load_recipe
from moe_keras.training.recipe_file import FILE_NAME
from moe_keras.training.table_recipe import make_table_recipe


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
        model: keras.Model = keras.saving.load_model(self.folder / MODEL)
        return model


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
) -> TableRun:
    """Train a risk mixture on any table of two classes, and say how good it is.

    The columns are inferred, see `infer_table_schema`. The same call goes on
    after an interruption. It reads the folder's `recipe.yaml`, if there is one:
    so what was inferred can be changed there; what was trained before then has
    to be removed.

    Args:
        path: of a CSV or Parquet file.
        target: name of the column to predict.
        bad: the value of it that is bad; the larger of two numbers if None.
        out: folder to write into; `runs/<name of the file>` if None.
        drop: columns that the model is not to read, such as ids.
        folds: int > 1. Of the cross-validation that all models go through.
        epochs: int > 0. Of the networks; by default such as make about 2,000
            updates, 4 at least and 40 at most.
        console: where progress goes; a new one by default.
        positive: the same as `bad`, for a target of which no value is bad: a
            churn, a diagnosis, a sale.

    Returns:
        `TableRun`.

    Raises:
        FileNotFoundError: when there is no such file.
        ValueError: with file, column and row, when the file is not such a
            table, or the target has not two classes.
    """
    console = console or Console()
    bad = either("train_table", bad=bad, positive=positive)
    recipe = make_table_recipe(path, target, bad, drop, folds, epochs)
    folder = Path(out or Path("runs", recipe.name))
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / FILE_NAME
    if file.exists():
        # What its reader has changed counts.
        recipe = load_recipe(file)
    else:
        write_text(file, recipe.to_yaml())
    for fold in recipe.seeds:
        train_recipe(recipe, fold, folder / "runs", console=console)
    console.print(f"{folder}: comparing with other models takes minutes")
    named = [
        *("--csv", os.fspath(path), "--target", target),
        *(() if bad is None else ("--positive", str(bad))),
        *(part for name in drop for part in ("--drop", name)),
        *("--folds", str(folds), "--out", str(folder)),
    ]
    command = shlex.join(["moe-keras", "train", *named])
    _, comparison = publish_compared(
        recipe, folder, folder / "runs", command=command
    )
    console.print(f"{folder}: training on all rows")
    whole = recipe.model_copy(update={"folds": None})
    done = train_recipe(whole, 0, folder / "runs" / "all_rows", console=console)
    model = done.load()
    with new_folder(folder / "saved_model") as draft:
        export_saved_model(model, draft)
    # The last to be written: where it is, all of the folder is done.
    write_file(folder / MODEL, (done.folder / MODEL).read_bytes())
    return TableRun(folder, recipe, comparison)
