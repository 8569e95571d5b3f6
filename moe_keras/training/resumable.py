"""`fit` that goes on where it was interrupted, as if it had not been."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras

from moe_keras.training.best_weights import BestWeights
from moe_keras.training.checkpoint import remove_checkpoints
from moe_keras.training.compiling import make_slots
from moe_keras.training.finite import (
    FiniteWeights,
    require_finite_pictures,
)
from moe_keras.training.input_pipeline import InputPipeline
from moe_keras.training.keep_state import KeepState
from moe_keras.training.mean_weights import MeanWeights
from moe_keras.training.recipe_parts import Monitor
from moe_keras.training.routing_log import RoutingLog
from moe_keras.training.state import ModelState, Stateful
from moe_keras.training.training_log import TrainingLog

SMALLEST_VALIDATION_BATCH = 256


@dataclass(frozen=True)
class FitRecord:
    """What a training left behind, beside the model.

    Attributes:
        history: by name, one value per epoch.
        best_epoch: counted from 0; None without a monitor.
        seconds: wall time of all finished epochs.
        cpu_seconds: of the process, over the same time.
        restarts: the epochs, counted from 0, from which it went on.
    """

    history: dict[str, list[float]]
    best_epoch: int | None
    seconds: float
    cpu_seconds: float
    restarts: list[int]

    @property
    def epochs(self) -> int:
        """Epochs that were trained."""
        return max(map(len, self.history.values()), default=0)


def fit_resumable(
    model: keras.Model,
    batches: InputPipeline,
    validation: tuple[Any, Any] | None,
    epochs: int,
    folder: Path,
    identity: Mapping[str, Any],
    monitor: Monitor | None = None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    resume: bool = True,
) -> FitRecord:
    """Train a compiled model; after an interruption, call it again.

    At the end of every epoch all state goes to one file: weights, the seeds of
    layers, optimizer, best weights, history, and Python's, NumPy's and Keras'
    sources of chance. A second call with a model built anew goes on from there.
    On one thread its results are the bits of an unbroken training.

    Args:
        model: built and compiled `keras.Model`; it ends with the weights of the
            best epoch, or of the last one without a monitor.
        batches: the training data.
        validation: inputs and labels, or None for none.
        epochs: int > 0.
        folder: for the checkpoints. They stay there: a call after the end
            trains nothing and returns the same; see `remove_checkpoints`.
        identity: what JSON can hold: all that the training depends on.
        monitor: which epoch is the best one, and when to end early.
        callbacks: of Keras. Those with `get_state` and `set_state` go on from
            their state too, in the order in which they are given.
        resume: whether to go on from a checkpoint; else those there are
            removed first.

    Returns:
        `FitRecord`.

    Raises:
        ValueError: when the checkpoints are of another training, and when an
            epoch leaves weights that are not finite.
        CheckpointError: when no checkpoint can be written, or read.
    """
    if validation is not None:
        require_finite_pictures("fit_resumable", validation[0])
    log = TrainingLog()
    best = BestWeights(monitor) if monitor else None
    if best is not None:
        best.set_model(model)
    keep = KeepState(folder, identity, _parts(model, log, best, callbacks))
    if not resume:
        remove_checkpoints(folder)
    first, finished = keep.restore()
    if first and not finished:
        log.restarts.append(first)
    if not finished:
        data, followers = batches.for_fit(first, epochs)
        make_slots(model)
        model.fit(
            **data,
            validation_data=validation,
            validation_batch_size=max(
                SMALLEST_VALIDATION_BATCH, batches.batch_size
            ),
            initial_epoch=first,
            epochs=epochs,
            verbose=0,
            callbacks=[
                # First, so that no broken weights are kept as a state.
                FiniteWeights(),
                *(*followers, RoutingLog(), MeanWeights(), *callbacks),
                *([best] if best is not None else []),
                *(log, keep),
            ],
        )
    # Of a running mean, if there is one; `fit` did it only where it ran.
    model.optimizer.finalize_variable_values(model.trainable_variables)
    if best is not None:
        best.apply()
    return FitRecord(
        history=log.history,
        best_epoch=None if best is None else best.epoch,
        seconds=log.seconds,
        cpu_seconds=log.cpu_seconds,
        restarts=log.restarts,
    )


def _parts(
    model: keras.Model,
    log: TrainingLog,
    best: BestWeights | None,
    callbacks: Sequence[keras.callbacks.Callback],
) -> dict[str, Stateful]:
    """All that has a state, by the name under which it is kept."""
    parts: dict[str, Stateful] = {"model": ModelState(model), "log": log}
    if best is not None:
        parts["best"] = best
    for index, callback in enumerate(callbacks):
        if isinstance(callback, Stateful):
            parts[f"callback {index}"] = callback
    return parts
