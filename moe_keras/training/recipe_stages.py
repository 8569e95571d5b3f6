"""The stages of a recipe: each a training that goes on where it broke off."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import keras

from moe_keras.errors import require
from moe_keras.training.checkpoint import remove_checkpoints
from moe_keras.training.compiling import loss_and_metrics, make_optimizer
from moe_keras.training.dense_gates import dense_gates
from moe_keras.training.expert_view import with_expert_outputs
from moe_keras.training.freezing import Freezer
from moe_keras.training.input_pipeline import InputPipeline
from moe_keras.training.recipe import Recipe
from moe_keras.training.recipe_parts import Monitor
from moe_keras.training.resumable import FitRecord, fit_resumable
from moe_keras.training.stage import Stage
from moe_keras.training.stage_model import StageModel

OWNER = "fit_recipe_stages"


def fit_recipe_stages(
    model: keras.Model,
    recipe: Recipe,
    batches: InputPipeline,
    validation: tuple[Any, Any],
    folder: Path,
    identity: Mapping[str, Any],
    callbacks: Sequence[keras.callbacks.Callback] = (),
    resume: bool = True,
) -> FitRecord:
    """Train a model as the stages of its recipe say, each with `fit_resumable`.

    What a stage freezes and which loss it has is as in `fit_stages`. After an
    interruption the stages that ended are read back, and the next goes on.

    Args:
        model: built `keras.Model` with a mixture.
        recipe: its stages, optimizer and schedule.
        batches: the training data.
        validation: inputs and labels.
        folder: for the checkpoints of each stage, in folders of their own.
        identity: what JSON can hold: all that the training depends on.
        callbacks: of Keras, for every stage.
        resume: whether to go on from checkpoints; else those of all stages are
            removed first.

    Returns:
        `FitRecord` of all stages; its epochs run through.

    Raises:
        ValueError: for stages that do not fit the model, and when the
            checkpoints are of another training.
        CheckpointError: when no checkpoint can be written, or read.
    """
    freezer = Freezer(model)
    freezer.check(
        [part for stage in recipe.stages for part in stage.parts], OWNER
    )
    asked = any(stage.asks_experts for stage in recipe.stages)
    view = with_expert_outputs(model) if asked else None
    # A gate may read the length: its few batches are each like the whole.
    held_out = InputPipeline(
        *validation, recipe.batch_size, batches.seed, by_length=False
    )
    if not resume:
        # Of later stages too: they would be gone on with after an interruption.
        remove_checkpoints(folder)
    records: list[tuple[str, FitRecord]] = []
    for number, stage in enumerate(recipe.stages):
        with (
            freezer.only(stage.parts),
            dense_gates(model, stage.dense_gates),
        ):
            if not model.trainable_variables:
                continue
            trainer = (
                StageModel(model, view, stage) if stage.asks_experts else model
            )
            learns_train = stage.data == "train"
            source = batches if learns_train else held_out
            _compile(trainer, model, recipe, stage, source.steps)
            record = fit_resumable(
                trainer,
                source,
                validation if learns_train else None,
                stage.epochs,
                folder / f"stage_{number}",
                {**identity, "stage": number},
                _monitor(stage),
                callbacks,
            )
            records.append((stage.name, record))
    require(
        records,
        OWNER,
        "`stages` must hold one with weights to train.",
        stages=[stage.name for stage in recipe.stages],
    )
    return _join(records)


def _compile(
    trainer: keras.Model,
    model: keras.Model,
    recipe: Recipe,
    stage: Stage,
    steps: int,
) -> None:
    own = recipe.optimizer.model_copy(
        update={"learning_rate": stage.learning_rate}
    )
    plan = recipe.model_copy(update={"optimizer": own, "epochs": stage.epochs})
    loss, metrics = loss_and_metrics(model, recipe)
    trainer.compile(
        optimizer=make_optimizer(plan, steps),
        loss=loss if stage.loss == "model" else None,
        metrics=metrics,
    )


def _monitor(stage: Stage) -> Monitor | None:
    if stage.patience is None:
        return None
    return Monitor(metric="val_loss", patience=stage.patience)


def _join(records: Sequence[tuple[str, FitRecord]]) -> FitRecord:
    """One record of all stages; NaN where a stage has no such value."""
    history: dict[str, list[Any]] = {}
    done, restarts = 0, []
    for name, record in records:
        found = {**record.history, "stage": [name] * record.epochs}
        for key in {**history, **found}:
            values = history.setdefault(key, [math.nan] * done)
            values.extend(found.get(key, [math.nan] * record.epochs))
        restarts.extend(done + epoch for epoch in record.restarts)
        done += record.epochs
    return FitRecord(
        history=history,
        best_epoch=None,
        seconds=sum(record.seconds for _, record in records),
        cpu_seconds=sum(record.cpu_seconds for _, record in records),
        restarts=restarts,
    )
