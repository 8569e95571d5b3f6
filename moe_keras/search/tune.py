"""A search over mixtures, from a task and data to a recipe."""

import os
import re
import shutil
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from moe_keras.data import Dataset, load_dataset
from moe_keras.errors import require, require_counts
from moe_keras.one_writer import one_writer
from moe_keras.search.budget import Budget
from moe_keras.search.subset import limit_training_rows
from moe_keras.search.trials import SearchResult, Trial
from moe_keras.storage import (
    DamagedFile,
    read_json,
    write_json,
    write_picture,
    write_text,
)
from moe_keras.training.recipe import Recipe

if TYPE_CHECKING:
    from moe_keras.search.hypermodels import MoEHyperModel
    from moe_keras.search.hypermodels.space import Value
    from moe_keras.search.job import Job

OWNER = "tune"
RECIPE = "recipe.yaml"
PICTURE, TABLE = "pareto.png", "trials.json"


def tune(
    task: str | Recipe,
    data: Dataset | str | None = None,
    budget: Budget | None = None,
    *,
    max_experts: int = 8,
    only: "Mapping[str, Sequence[Value]] | None" = None,
    method: str = "hyperband",
    trials: int = 12,
    epochs: int | None = None,
    seeds: int = 1,
    objective: str = "log_loss",
    limit: int | None = None,
    out: Path | str | None = None,
    workers: int = 1,
    threads: int | None = None,
    pin: bool = False,
    seed: int = 0,
    overwrite: bool = False,
    data_dir: Path | str | None = None,
    console: Console | None = None,
) -> SearchResult:
    """Search for a mixture: how many experts, of which kinds, how wide.

    A configuration is a recipe; one above the budget is refused before it is a
    trial. Killed at whatever moment, the same call goes on after the last
    finished epoch. The test split is not read.

    Where `KERASTUNER_TUNER_ID`, `KERASTUNER_ORACLE_IP` and
    `KERASTUNER_ORACLE_PORT` are set, the call is the chief or a worker of a
    search on several machines; all need the same folder `out`.

    Args:
        task: `"image"`, `"sentiment"`, `"risk"`, or a `Recipe`: what it says
            besides experts and learning rate stays.
        data: `Dataset`, or its name; that of the recipe if None.
        budget: `Budget`; None for any cost.
        max_experts: int > 1.
        only: by name, values of the space to search over, such as
            `{"kinds": ["mixed"], "experts": [4, 8]}`; see `MoEHyperModel`.
        method: `"hyperband"`, `"random"`, `"bayesian"` or `"grid"`.
        trials: int > 0, at most. Of Hyperband, each time a configuration is
            trained, with few epochs or many, is a trial.
        epochs: int > 0, of a trial, of Hyperband at most. Defaults to those of
            the recipe, or 3.
        seeds: int > 0, trainings of each trial, whose scores are averaged.
        objective: `"log_loss"` or `"accuracy"`, on the validation split.
        limit: int > 0, training rows, the same in every trial, with the
            classes' shares kept; None for all.
        out: folder. Defaults to `runs/tune_<task>`.
        workers: int > 0. From 2 on, so many processes train at the same time.
        threads: int > 0, of each of these processes; None for TensorFlow's
            choice. Of a search in this process, set them before it starts.
        pin: whether each of these processes stays on processors of its own, as
            many as `threads`, or one; on Linux. Two searches that do so at the
            same time would share the same ones.
        seed: int >= 0, of what is drawn. Models have the seeds 0, 1, ...
        overwrite: whether to begin afresh, whatever is in the folder.
        data_dir: folder of the data sets; see `load_dataset`.
        console: where progress goes; a new one by default.

    Returns:
        `SearchResult`. In `out` are the trials, `trials.json`, `pareto.png`,
        and the best trial as `recipe.yaml`, for `train_recipe`.

    Raises:
        ImportError: when keras-tuner is not installed.
        ValueError: for arguments out of range, a folder that holds another
            search, a budget that nothing fits into, and when no trial could be
            trained.
        FolderInUse: when another process searches in the folder.
        OSError: when data or files cannot be read or written, or a process
            fails.
    """
    from moe_keras.search.job import PROJECT, Job

    require_counts(OWNER, workers=workers)
    place = os.environ.get("KERASTUNER_ORACLE_IP")
    require(
        workers == 1 or place is None,
        OWNER,
        "`workers` must be 1 where KERASTUNER_ORACLE_IP is set: this process "
        "is one of several already.",
        workers=workers,
        KERASTUNER_ORACLE_IP=place,
    )
    if threads is not None:
        require_counts(OWNER, threads=threads)
        require(
            workers > 1,
            OWNER,
            "`threads` are those of several workers; of this process, set "
            "them before it starts.",
            threads=threads,
        )
    require(
        workers > 1 or not pin,
        OWNER,
        "`pin` is for several workers; of this process, choose the processors "
        "before it starts.",
        workers=workers,
    )
    base = task if isinstance(task, Recipe) else None
    name = base.task if base is not None else str(task)
    job = Job(
        task=name,
        data=limit_training_rows(_load(base, data, data_dir), limit),
        folder=Path(out or Path("runs", f"tune_{name}")),
        budget=budget,
        max_experts=max_experts,
        only=only,
        base=base,
        method=method,
        trials=trials,
        epochs=epochs,
        seeds=seeds,
        objective=objective,
        seed=seed,
    )
    hypermodel = job.hypermodel()
    is_chief = "chief" in os.environ.get("KERASTUNER_TUNER_ID", "chief")
    # Workers of a search on several machines share its folder.
    with one_writer(job.folder, OWNER) if is_chief else nullcontext():
        if overwrite:
            shutil.rmtree(job.folder / PROJECT, ignore_errors=True)
            (job.folder / "search.json").unlink(missing_ok=True)
        try:
            job.claim_folder(hypermodel)
            _run(job, hypermodel, workers, threads, pin, console or Console())
            result = collect(job, hypermodel)
        except DamagedFile as error:
            raise DamagedFile(f"{error}; begin afresh (--fresh)") from None
        if is_chief:
            _check_found(result)
            write_result(result)
    return result


def _load(
    base: Recipe | None,
    data: Dataset | str | None,
    data_dir: Path | str | None,
) -> Dataset:
    require(
        base is not None or data is not None,
        OWNER,
        "`data` must be given, unless `task` is a recipe.",
        data=data,
    )
    if isinstance(data, Dataset):
        return data
    if data is not None:
        return load_dataset(data, data_dir)
    return load_dataset(base.data.name, data_dir, **base.data.options)


def _run(
    job: "Job",
    hypermodel: "MoEHyperModel",
    workers: int,
    threads: int | None,
    pin: bool,
    console: Console,
) -> None:
    import keras_tuner

    from moe_keras.search.processes import run_processes
    from moe_keras.search.tune_bar import TuneBar

    with TuneBar(job.trials, job.objective, console) as bar:
        bar.show(job.read(hypermodel))
        if workers > 1:

            def show() -> None:
                bar.show(job.read(hypermodel))

            run_processes(job, workers, threads, pin, show)
            return

        def watch(event: str, subject: Any) -> None:
            if event == "end":
                bar.show(job.read(hypermodel))
            bar.watch(event, subject)

        try:
            job.tuner(hypermodel, watch).search()
        except keras_tuner.errors.FatalError as error:
            raise error.__cause__ or error from None


def collect(job: "Job", hypermodel: "MoEHyperModel") -> SearchResult:
    """What a search has found so far.

    Args:
        job: the search.
        hypermodel: its space.
    """
    from moe_keras.search.pareto import pareto_front

    trials = job.read(hypermodel)
    sign = 1.0 if job.objective == "log_loss" else -1.0
    done = [trial for trial in trials if trial.status == "done"]
    losses = [sign * (trial.score or 0.0) for trial in done]
    places = pareto_front(
        [trial.multiply_adds or 0.0 for trial in done], losses
    )
    best = done[losses.index(min(losses))] if done else None
    state = job.oracle_file
    return SearchResult(
        task=job.task,
        objective=job.objective,
        budget=job.budget,
        trials=trials,
        best=best,
        front=tuple(done[place] for place in places),
        rejected=len(read_json(state)["refused"]) if state.exists() else 0,
        recipe=_recipe_of(best, job, hypermodel),
        folder=job.folder,
    )


def _recipe_of(
    best: Trial | None, job: "Job", hypermodel: "MoEHyperModel"
) -> Recipe | None:
    if best is None:
        return None
    recipe = hypermodel.recipe(hypermodel.whole_values(best.values))
    origin = job.base.name if job.base is not None else job.data.name
    name = re.sub("[^a-z0-9]+", "_", f"{origin}_tuned".lower()).strip("_")
    description = (
        f"Found by a search ({job.method}) on {len(job.data.train):,} training "
        f"rows: validation {job.objective} {best.score:.4f} after "
        f"{best.epochs} epochs, trial {best.number}."
    )
    return recipe.model_copy(update={"name": name, "description": description})


def _check_found(result: SearchResult) -> None:
    require(
        result.trials,
        OWNER,
        "no configuration that was drawn is within the budget.",
        budget=result.budget,
        rejected=result.rejected,
    )
    require(
        any(trial.scores for trial in result.trials),
        OWNER,
        "no trial could be trained.",
        first_error=result.trials[0].message,
    )


def write_result(result: SearchResult) -> None:
    """Write `trials.json`, `pareto.png` and the winner's recipe."""
    rows = [
        {**asdict(trial), "folder": str(trial.folder)}
        for trial in result.trials
    ]
    write_json(result.folder / TABLE, rows)
    write_picture(result.folder / PICTURE, result.plot(), 150)
    if result.recipe is not None:
        write_text(result.folder / RECIPE, result.recipe.to_yaml())
