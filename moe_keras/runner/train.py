"""One run: build, train, score on the validation split, save."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
from rich.console import Console

from moe_keras.data import Split
from moe_keras.errors import require
from moe_keras.layers import NGramExpert
from moe_keras.one_writer import one_writer
from moe_keras.runner.environment import describe_environment
from moe_keras.runner.files import (
    CHECKPOINTS,
    HISTORY,
    MODEL,
    OPINIONS,
    RESULT,
    finish,
    is_finished,
    read_history,
    read_model,
    read_result,
    write_arrays,
    write_json,
    write_model,
)
from moe_keras.runner.out_of_fold import train_out_of_fold
from moe_keras.runner.plan import Run, in_stages, plan_run
from moe_keras.runner.scoring import cost, score, scores_of
from moe_keras.training.builders import build_from_data, merge_arguments
from moe_keras.training.calibrate import check_temperature, fit_temperature
from moe_keras.training.checkpoint import find_checkpoints, remove_checkpoints
from moe_keras.training.compiling import compile_for_use, compile_from_recipe
from moe_keras.training.generators import held_generators
from moe_keras.training.identity import require_same
from moe_keras.training.input_pipeline import InputPipeline
from moe_keras.training.progress import ProgressBar, StepBar
from moe_keras.training.recipe import Recipe
from moe_keras.training.recipe_parts import OutOfFold
from moe_keras.training.recipe_stages import fit_recipe_stages
from moe_keras.training.resumable import FitRecord, fit_resumable
from moe_keras.zoo import dense_twin


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
        callbacks: further ones of Keras; see `fit_resumable`. None with
            `out_of_fold`.

    Returns:
        `TrainedModel`.

    Raises:
        ValueError: for a baseline or data that do not fit the recipe, when the
            folder holds another training, or when the training diverges.
        FolderInUse: when another process trains in the run's folder.
        OSError: when the data are not there, or files cannot be written.
    """
    run = plan_run(recipe, seed, out, data_dir, baseline)
    return train_run(run, resume, console, callbacks)


def train_run(
    run: Run,
    resume: bool = True,
    console: Console | None = None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
) -> TrainedModel:
    """Train a run whose data are there already; see `train_recipe`."""
    with one_writer(run.folder, "train_recipe"):
        return _train_run(run, resume, console or Console(), callbacks)


def _train_run(
    run: Run,
    resume: bool,
    console: Console,
    callbacks: Sequence[keras.callbacks.Callback],
) -> TrainedModel:
    if not resume:
        (run.folder / RESULT).unlink(missing_ok=True)
    done = _finished(run)
    if done is not None:
        console.print(f"{run.folder}: already trained")
        return done
    kept = run.folder / CHECKPOINTS
    if resume and any(map(find_checkpoints, (kept, *kept.glob("stage_*")))):
        console.print(f"{run.folder}: goes on from its last checkpoint")
    if run.recipe.out_of_fold is not None:
        require(
            not callbacks,
            "train_recipe",
            "with `out_of_fold` there are many trainings, and no `callbacks`.",
            callbacks=callbacks,
        )
        return _train_apart(run, run.recipe.out_of_fold, resume, console)
    progress = ProgressBar(
        f"{run.contestant} #{run.seed}", console, ("loss", "val_accuracy")
    )
    try:
        model, record = _train(run, resume, [progress, *callbacks])
    finally:
        # Or the bar stays on the terminal when the training breaks off.
        progress.on_train_end()
    rows = run.data.validation
    scores = score(model, rows, len(run.data.classes))
    return _finish(run, model, record, "validation", scores, rows)


def _train_apart(
    run: Run, how: OutOfFold, resume: bool, console: Console
) -> TrainedModel:
    """The experts, and then the gate on what they say out of fold."""
    with StepBar(
        f"{run.contestant} #{run.seed}", how.folds + 2, console
    ) as bar:
        fit, record = train_out_of_fold(run, how, resume, bar.begin)
    rows = run.data.train
    opinions = {
        "expert_logits": fit.expert_logits.astype("float32"),
        "probabilities": fit.probabilities,
        "labels": rows.labels,
    }
    write_arrays(run.folder / OPINIONS, opinions)
    scores = scores_of(run.recipe, rows.labels, fit.probabilities)
    return _finish(run, fit.model, record, "out of fold", scores, rows)


@held_generators()
def _train(
    run: Run, resume: bool, callbacks: Sequence[keras.callbacks.Callback]
) -> tuple[keras.Model, FitRecord]:
    recipe, policy = run.recipe, keras.config.dtype_policy()
    keras.config.set_dtype_policy(recipe.dtype_policy)
    keras.utils.set_random_seed(run.seed)
    try:
        model = _build(run)
        if recipe.calibrate:
            # Not at the end of a long training.
            check_temperature(model)
        column = model.output_shape[-1] == 1
        train, validation = (
            (split.inputs, split.labels[:, None] if column else split.labels)
            for split in (run.data.train, run.data.validation)
        )
        batches = InputPipeline(
            *train, recipe.batch_size, run.seed, recipe.augmentation
        )
        fit = fit_recipe_stages if in_stages(run, model) else _fit_whole
        record = fit(
            model,
            recipe,
            batches,
            validation,
            run.folder / CHECKPOINTS,
            run.identity,
            callbacks,
            resume,
        )
    finally:
        keras.config.set_dtype_policy(policy)
    if recipe.calibrate:
        fit_temperature(model, run.data.validation)
    return model, record


def _fit_whole(
    model: keras.Model,
    recipe: Recipe,
    batches: InputPipeline,
    validation: tuple[Any, Any],
    folder: Path,
    identity: dict[str, Any],
    callbacks: Sequence[keras.callbacks.Callback],
    resume: bool,
) -> FitRecord:
    """All parts of the model together."""
    compile_from_recipe(model, recipe, batches.steps)
    return fit_resumable(
        model,
        batches,
        validation,
        recipe.epochs,
        folder,
        identity,
        recipe.monitor,
        callbacks,
        resume,
    )


def _build(run: Run) -> keras.Model:
    builder, rival = run.recipe.builder, run.rival
    arguments = builder.arguments
    if rival is not None:
        arguments = merge_arguments(arguments, rival.arguments)
    model = build_from_data(builder.name, arguments, run.data, run.recipe.name)
    if rival is not None and rival.twin is not None:
        return dense_twin(model, match=rival.twin, bank=rival.bank)
    return model


def _finish(
    run: Run,
    model: keras.Model,
    record: FitRecord,
    split: str,
    scores: dict[str, float],
    rows: Split,
) -> TrainedModel:
    """Write a run's files; the result comes last, and says that it is done."""
    for layer in model._flatten_layers():
        # Of two tables that training needs, one for use.
        if isinstance(layer, NGramExpert):
            layer.fold()
    result = {
        "recipe": run.recipe.name,
        "contestant": run.contestant,
        "seed": run.seed,
        "data": run.data.name,
        # What a lone model cannot say; `load_trained` reads it here.
        "classes": list(run.data.classes),
        "split": split,
        "rows": len(rows),
        **scores,
        **cost(model, rows),
        "epochs": record.epochs,
        "best_epoch": record.best_epoch,
        "train_seconds": round(record.seconds, 2),
        "cpu_seconds": round(record.cpu_seconds, 2),
        "restarts": record.restarts,
        **describe_environment(),
        "training": run.identity,
    }
    compile_for_use(model)
    write_model(run.folder / MODEL, model)
    write_json(run.folder / HISTORY, record.history)
    finish(run.folder, result)
    remove_checkpoints(run.folder / CHECKPOINTS)
    return TrainedModel(run.folder, result, record.history)


def _finished(run: Run) -> TrainedModel | None:
    """What is in the run's folder, if it is done."""
    if not is_finished(run.folder):
        return None
    result = read_result(run.folder)
    require_same("train_recipe", run.folder, result["training"], run.identity)
    # A kill may have come between the last file and their removal.
    remove_checkpoints(run.folder / CHECKPOINTS)
    return TrainedModel(run.folder, result, read_history(run.folder))
