"""Score saved models on a split: the one place that reads the test split."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from moe_keras.data import Dataset, load_dataset
from moe_keras.errors import require
from moe_keras.runner.data import data_at, load_data
from moe_keras.runner.environment import describe_environment
from moe_keras.runner.files import (
    MODEL,
    RESULT,
    read_model,
    read_result,
    write_json,
)
from moe_keras.runner.plan import SPLITS as TRAINED_ON
from moe_keras.runner.plan import digest
from moe_keras.runner.scoring import cost, predict, scores_of
from moe_keras.training import Recipe
from moe_keras.training.identity import require_same

SPLITS = ("test", "validation")


@dataclass(frozen=True)
class Evaluation:
    """Scores of one saved model.

    Attributes:
        file: where they were written.
        result: what is in the file.
    """

    file: Path
    result: dict[str, Any]


def evaluate_run(
    path: Path | str,
    data: str | None = None,
    split: str = "test",
    data_dir: Path | str | None = None,
) -> list[Evaluation]:
    """Score a saved model, or all models of a run, on a split of a data set.

    Args:
        path: a `.keras` file; the folder of one seed; or a folder of several.
        data: name of a data set, see `load_dataset`. Defaults to what the model
            was trained on, where `train_recipe` has trained it.
        split: `"test"` or `"validation"`.
        data_dir: folder of the data sets; see `load_dataset`.

    Returns:
        An `Evaluation` for each model, written beside it, to
        `evaluation_<split>.json`; beside a lone file to
        `<file>_evaluation_<split>.json`.

    Raises:
        ValueError: for a file that is no model, a model that does not fit the
            data, and for data that have changed since it was trained on them.
        OSError: when models or data are not there, or the disk is full.
    """
    require(
        split in SPLITS,
        "evaluate_run",
        f"`split` must be one of {SPLITS}.",
        split=split,
    )
    return [
        _evaluate(model, data, split, data_dir)
        for model in find_models(Path(path))
    ]


def find_models(path: Path) -> list[Path]:
    """The model files that a path stands for.

    Raises:
        FileNotFoundError: when there is none.
    """
    if path.is_file():
        return [path]
    if (path / MODEL).is_file():
        return [path / MODEL]
    # In the order of the seeds, not of their digits.
    found = sorted(
        path.glob(f"*/{MODEL}"),
        key=lambda file: (len(file.parent.name), file.parent.name),
    )
    if not found:
        raise FileNotFoundError(f"{path}: there is no trained model")
    return found


def _evaluate(
    file: Path, data: str | None, split: str, data_dir: Path | str | None
) -> Evaluation:
    trained = _training_of(file)
    found, recipe = _data_of(file, trained, data, data_dir)
    rows = getattr(found, split)
    require(
        rows is not None and len(rows),
        "evaluate_run",
        f"{found.name} has no such split.",
        split=split,
    )
    model = read_model(file)
    result = {
        "model": str(file),
        "seed": trained.get("seed"),
        "data": found.name,
        "split": split,
        "rows": len(rows),
        **scores_of(
            recipe, rows.labels, predict(model, rows, len(found.classes))
        ),
        # Of a cross-validation, no rows are left for validation.
        **cost(model, found.validation if len(found.validation) else rows),
        **describe_environment(),
    }
    own = "" if file.name == MODEL else f"{file.stem}_"
    target = file.with_name(f"{own}evaluation_{split}.json")
    write_json(target, result)
    return Evaluation(target, result)


def _data_of(
    file: Path,
    trained: dict[str, Any],
    data: str | None,
    data_dir: Path | str | None,
) -> tuple[Dataset, Recipe | None]:
    """What a model is to be scored on, and the recipe, where it is of that."""
    asked = trained.get("recipe")
    if asked and data in (None, asked["data"]["name"]):
        recipe = Recipe.model_validate(asked)
        found = data_at(recipe, load_data(recipe, data_dir), trained["seed"])
        now = {name: digest(getattr(found, name)) for name in TRAINED_ON}
        require_same(
            "evaluate_run",
            file.parent,
            {"data": trained["data"]},
            {"data": now},
            "the data have changed since the training: what is held out now "
            "may be what the model was trained on.",
        )
        return found, recipe
    if data is None:
        raise ValueError(
            f"{file} does not say what it was trained on: name the data"
        )
    return load_dataset(data, data_dir), None


def _training_of(file: Path) -> dict[str, Any]:
    """What a run's own file says of the training; empty for other models."""
    if file.name != MODEL or not file.with_name(RESULT).is_file():
        return {}
    training: dict[str, Any] = read_result(file.parent)["training"]
    return training
