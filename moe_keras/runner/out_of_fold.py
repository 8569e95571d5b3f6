"""Runs whose gate learns from what experts say of rows that are new to them."""

import time
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from moe_keras.runner.files import CHECKPOINTS
from moe_keras.runner.plan import Run
from moe_keras.training.builders import (
    build_from_data,
    make_forests,
    merge_arguments,
    read_schema,
)
from moe_keras.training.checkpoint import (
    Checkpoint,
    CheckpointError,
    read_checkpoint,
    remove_checkpoints,
    write_checkpoint,
)
from moe_keras.training.identity import require_same
from moe_keras.training.recipe import Recipe
from moe_keras.training.recipe_parts import OutOfFold
from moe_keras.training.resumable import FitRecord
from moe_keras.training.risk import RiskFit, RiskPlan, fit_risk_moe
from moe_keras.zoo.risk.twins import twin_arguments


def train_out_of_fold(
    run: Run, how: OutOfFold, resume: bool, note: Callable[[str], None]
) -> tuple[RiskFit, FitRecord]:
    """Train the mixture of a run, or a rival of it, on all its training rows.

    After an interruption, what the experts of the finished parts said is read
    from the run's folder.

    Args:
        run: of a recipe with `out_of_fold`.
        how: the recipe's `out_of_fold`.
        resume: whether to go on from what is there.
        note: told of each step as it begins.

    Returns:
        What `fit_risk_moe` returns, and the record of the training.
    """
    recipe, rows = run.recipe, run.data.train
    kept = _Kept(run, resume)
    # To know how large a twin is to be is no part of its training.
    arguments = _arguments(run)
    wall, cpu = time.perf_counter(), time.process_time()
    fit = fit_risk_moe(
        read_schema(arguments),
        rows.inputs,
        rows.labels,
        make_plan(recipe, how, arguments),
        len(run.data.classes),
        run.seed,
        note,
        kept,
    )
    record = FitRecord(
        history=fit.history,
        best_epoch=None,
        seconds=kept.seconds + time.perf_counter() - wall,
        cpu_seconds=kept.cpu_seconds + time.process_time() - cpu,
        restarts=[kept.found] if kept.found else [],
    )
    return fit, record


def make_plan(
    recipe: Recipe, how: OutOfFold, arguments: Mapping[str, Any]
) -> RiskPlan:
    """What a recipe says of a training, for some arguments of the builder."""
    asked = recipe.optimizer
    left = {"schema", "forests", "experts"}
    return RiskPlan(
        **({"experts": arguments["experts"]} if "experts" in arguments else {}),
        forests=make_forests(arguments),
        builder={
            **{k: v for k, v in arguments.items() if k not in left},
            "name": recipe.name,
        },
        folds=how.folds,
        epochs=recipe.epochs,
        learning_rate=asked.learning_rate,
        weight_decay=asked.weight_decay or 0.0,
        batch_size=recipe.batch_size,
        gate_epochs=how.gate_epochs,
        gate_learning_rate=how.gate_learning_rate,
        calibrate=recipe.calibrate,
    )


def _arguments(run: Run) -> dict[str, Any]:
    """The builder's arguments for what is trained."""
    arguments, rival = run.recipe.builder.arguments, run.rival
    if rival is None:
        return arguments
    arguments = merge_arguments(arguments, rival.arguments)
    if rival.twin is None:
        return arguments
    model = build_from_data("risk", arguments, run.data, run.recipe.name)
    return twin_arguments(model, arguments, rival.twin, rival.bank)


class _Kept:
    """Logits of finished parts, in a run's folder.

    Attributes:
        seconds: wall time that went into what was found there.
        cpu_seconds: of the process, the same.
        found: how many parts were there.
    """

    def __init__(self, run: Run, resume: bool):
        self._identity, self._resume = run.identity, resume
        self._folder = run.folder / CHECKPOINTS
        if not resume:
            remove_checkpoints(self._folder)
        self.seconds = self.cpu_seconds = 0.0
        self.found = 0

    def __call__(
        self, number: int, ask: Callable[[], np.ndarray]
    ) -> np.ndarray:
        folder = self._folder / f"stage_{number}"
        before = self._read(folder)
        if before is not None:
            require_same(
                "train_recipe",
                self._folder.parent,
                before.facts["identity"],
                self._identity,
            )
            self.found += 1
            self.seconds += before.facts["seconds"]
            self.cpu_seconds += before.facts["cpu_seconds"]
            return before.arrays["logits"]
        wall, cpu = time.perf_counter(), time.process_time()
        logits = ask()
        facts = {
            "identity": self._identity,
            "seconds": time.perf_counter() - wall,
            "cpu_seconds": time.process_time() - cpu,
        }
        write_checkpoint(folder, Checkpoint(1, {"logits": logits}, facts))
        return logits

    def _read(self, folder: Path) -> Checkpoint | None:
        if not self._resume:
            return None
        try:
            return read_checkpoint(folder)
        except CheckpointError as error:
            # Of a part there is no older one, but it can be computed.
            warnings.warn(f"{error}; it is computed anew", stacklevel=2)
            return None
