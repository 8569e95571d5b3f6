"""One run: build, train, score on the validation split, save."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
from rich.console import Console

from moe_keras.data import Dataset, Split, load_dataset
from moe_keras.errors import require
from moe_keras.runner.environment import describe_environment
from moe_keras.runner.files import (
    CHECKPOINTS,
    HISTORY,
    MODEL,
    RESULT,
    read_json,
    read_model,
    read_result,
    write_json,
    write_model,
)
from moe_keras.runner.scoring import cost, score
from moe_keras.training.builders import build_from_data, merge_arguments
from moe_keras.training.checkpoint import find_checkpoints, remove_checkpoints
from moe_keras.training.compiling import compile_for_use, compile_from_recipe
from moe_keras.training.input_pipeline import InputPipeline
from moe_keras.training.keep_state import different_keys
from moe_keras.training.progress import ProgressBar
from moe_keras.training.recipe import Recipe
from moe_keras.training.recipe_parts import Baseline
from moe_keras.training.resumable import FitRecord, fit_resumable
from moe_keras.zoo import dense_twin

# What a training reads: not the test split.
SPLITS = ("train", "validation")


@dataclass(frozen=True)
class TrainedModel:
    """A finished run.

    Attributes:
        folder: where its files are.
        result: what `result.json` holds: scores on the validation split, cost,
            time, versions, and all that the training depended on.
        history: by name, one value per epoch.
    """

    folder: Path
    result: dict[str, Any]
    history: dict[str, list[float]]

    def load(self) -> keras.Model:
        """The trained model."""
        return read_model(self.folder / MODEL)


def train_recipe(
    recipe: Recipe,
    seed: int | None = None,
    out: Path | str | None = None,
    data_dir: Path | str | None = None,
    resume: bool = True,
    console: Console | None = None,
    baseline: str | None = None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
) -> TrainedModel:
    """Train the model of a recipe once, and score it on the validation split.

    Interrupted at whatever moment, the same call goes on where the last
    finished epoch ended, and ends with the same scores. A run that is done is
    not done again. The test split is not read: see `evaluate_run`.

    Args:
        recipe: see `load_recipe`.
        seed: int >= 0, of weights, order, augmentation and noise. Defaults to
            the recipe's first.
        out: the run's files go to `out/<seed>/`, for a baseline to
            `out/<baseline>/<seed>/`: `model.keras`, `history.json`,
            `result.json`. Defaults to `runs/<name of the recipe>`.
        data_dir: folder of the data sets; see `load_dataset`.
        resume: whether to go on from what is there, rather than afresh.
        console: where progress goes; a new one by default.
        baseline: name of one of the recipe's baselines, to train that instead.
        callbacks: further ones of Keras; see `fit_resumable`.

    Returns:
        `TrainedModel`.

    Raises:
        ValueError: for a baseline or data that do not fit the recipe, when the
            folder holds another training, or when the training diverges.
        OSError: when the data are not there, or files cannot be written.
    """
    console = console or Console()
    seed = recipe.seeds[0] if seed is None else seed
    require(
        0 <= seed < 2**32,
        "train_recipe",
        "`seed` must be in 0..2**32 - 1.",
        seed=seed,
    )
    rival = _find_baseline(recipe, baseline)
    folder = Path(out or Path("runs", recipe.name))
    folder = folder.joinpath(*([rival.name] if rival else []), str(seed))
    data = load_dataset(recipe.data.name, data_dir, **recipe.data.options)
    require(
        data.task == recipe.task,
        "train_recipe",
        f"the recipe's task must be that of {data.name}, {data.task}.",
        task=recipe.task,
    )
    identity = {
        "recipe": recipe.training_facts(),
        "baseline": rival.model_dump(mode="json") if rival else None,
        "seed": seed,
        "data": {split: digest(getattr(data, split)) for split in SPLITS},
    }
    if not resume:
        (folder / RESULT).unlink(missing_ok=True)
    done = _finished(folder, identity)
    if done is not None:
        console.print(f"{folder}: already trained")
        return done
    if resume and find_checkpoints(folder / CHECKPOINTS):
        console.print(f"{folder}: goes on from its last checkpoint")
    model, record = _train(
        *(recipe, rival, seed, data, folder, identity),
        *(resume, console, callbacks),
    )
    return _finish(folder, recipe, rival, data, identity, model, record)


def _train(
    recipe: Recipe,
    rival: Baseline | None,
    seed: int,
    data: Dataset,
    folder: Path,
    identity: dict[str, Any],
    resume: bool,
    console: Console,
    callbacks: Sequence[keras.callbacks.Callback],
) -> tuple[keras.Model, FitRecord]:
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy(recipe.dtype_policy)
    keras.utils.set_random_seed(seed)
    label = f"{rival.name if rival else recipe.name} #{seed}"
    progress = ProgressBar(label, console, ("loss", "val_accuracy"))
    try:
        model = _build(recipe, rival, data)
        column = model.output_shape[-1] == 1
        train, validation = (
            (split.inputs, split.labels[:, None] if column else split.labels)
            for split in (data.train, data.validation)
        )
        batches = InputPipeline(
            *train, recipe.batch_size, seed, recipe.augmentation
        )
        compile_from_recipe(model, recipe, batches.steps)
        record = fit_resumable(
            model,
            batches,
            validation,
            recipe.epochs,
            folder / CHECKPOINTS,
            identity,
            monitor=recipe.monitor,
            callbacks=[progress, *callbacks],
            resume=resume,
        )
    finally:
        progress.on_train_end()
        keras.config.set_dtype_policy(policy)
    return model, record


def _build(
    recipe: Recipe, rival: Baseline | None, data: Dataset
) -> keras.Model:
    arguments = recipe.builder.arguments
    if rival is not None:
        arguments = merge_arguments(arguments, rival.arguments)
    model = build_from_data(recipe.builder.name, arguments, data, recipe.name)
    if rival is not None and rival.twin is not None:
        return dense_twin(model, match=rival.twin)
    return model


def _finish(
    folder: Path,
    recipe: Recipe,
    rival: Baseline | None,
    data: Dataset,
    identity: dict[str, Any],
    model: keras.Model,
    record: FitRecord,
) -> TrainedModel:
    result = {
        "recipe": recipe.name,
        "contestant": rival.name if rival else recipe.name,
        "seed": identity["seed"],
        "data": data.name,
        "split": "validation",
        "rows": len(data.validation),
        **score(model, data.validation, len(data.classes)),
        **cost(model, data.validation),
        "epochs": record.epochs,
        "best_epoch": record.best_epoch,
        "train_seconds": round(record.seconds, 2),
        "cpu_seconds": round(record.cpu_seconds, 2),
        "restarts": record.restarts,
        **describe_environment(),
        "training": identity,
    }
    compile_for_use(model)
    write_model(folder / MODEL, model)
    write_json(folder / HISTORY, record.history)
    write_json(folder / RESULT, result)
    remove_checkpoints(folder / CHECKPOINTS)
    return TrainedModel(folder, result, record.history)


def _finished(folder: Path, identity: dict[str, Any]) -> TrainedModel | None:
    """The run in this folder, if it is done."""
    if not (folder / RESULT).exists():
        return None
    result = read_result(folder)
    different = different_keys(result["training"], identity)
    require(
        not different,
        "train_recipe",
        "the folder holds another training; start afresh, or take another.",
        folder=str(folder),
        different=different,
    )
    # A kill may have come between the last file and their removal.
    remove_checkpoints(folder / CHECKPOINTS)
    return TrainedModel(folder, result, read_json(folder / HISTORY))


def _find_baseline(recipe: Recipe, name: str | None) -> Baseline | None:
    if name is None:
        return None
    known = {baseline.name: baseline for baseline in recipe.baselines}
    require(
        name in known,
        "train_recipe",
        f"the recipe's baselines are {sorted(known)}.",
        baseline=name,
    )
    return known[name]


def digest(split: Split) -> str:
    """12 hexadecimal digits that tell one split's rows from another's."""
    state = hashlib.sha256()
    for array in keras.tree.flatten((split.inputs, split.labels)):
        state.update(f"{array.shape} {array.dtype}".encode())
        if array.dtype == object:
            state.update("\0".join(map(str, array.ravel())).encode())
        else:
            state.update(np.ascontiguousarray(array).data)
    return state.hexdigest()[:12]
