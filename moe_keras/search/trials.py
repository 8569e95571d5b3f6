"""What a search leaves behind: its trials, the best of them, the front."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from moe_keras.search.budget import Budget, ModelCost
from moe_keras.storage import read_json
from moe_keras.training.recipe import Recipe

OUTCOME = "outcome.json"
OBJECTIVES = ("log_loss", "accuracy")


@dataclass(frozen=True)
class Trial:
    """One configuration, and what became of it.

    Attributes:
        number: int, in the order in which they began.
        status: `"done"`, `"above budget"` (of a sparse gate that in fact chose
            the dearer experts), `"failed"` or `"running"`.
        values: by the names of the space, of the model that is built: without
            the names that it does not read.
        arguments: of the builder; empty unless it was trained.
        epochs: int, or None.
        scores: mean over the seeds of what `result.json` holds: `accuracy`,
            `log_loss` and `ece` on the validation split.
        score: the one that was searched for; None unless it was trained.
        multiply_adds: active ones per example, measured on the validation
            split; None unless it was trained.
        parameters: the same.
        latency_ms: of one row; None unless the budget limits it.
        seconds: of the training, all seeds together.
        message: why it failed, or what it is above.
        folder: where its runs are, by seed.
    """

    number: int
    status: str
    values: Mapping[str, Any]
    arguments: Mapping[str, Any]
    epochs: int | None
    scores: Mapping[str, float]
    score: float | None
    multiply_adds: float | None
    parameters: int | None
    latency_ms: float | None
    seconds: float
    message: str
    folder: Path


@dataclass(frozen=True)
class SearchResult:
    """What a search found.

    Attributes:
        task: `"image"`, `"sentiment"` or `"risk"`.
        objective: `"log_loss"` (less is better) or `"accuracy"`.
        budget: `Budget` or None.
        trials: see `Trial`, by number.
        best: of those that are done, the one with the best score; None if none
            is.
        front: of those that are done, the ones that no other one beats in both
            score and active multiply-adds, from the cheapest on.
        rejected: different models that were above the budget, or could not be
            built, before there was a trial.
        recipe: of the best trial; None without one.
        folder: where all files are.
    """

    task: str
    objective: str
    budget: Budget | None
    trials: tuple[Trial, ...]
    best: Trial | None
    front: tuple[Trial, ...]
    rejected: int
    recipe: Recipe | None
    folder: Path

    def plot(self) -> Figure:
        """Score against active multiply-adds; see `plot_pareto`."""
        from moe_keras.search.pareto import plot_pareto

        limit = self.budget and self.budget.max_multiply_adds
        return plot_pareto(self.trials, self.front, self.objective, limit)


def read_trials(
    folder: Path, names: Sequence[str], objective: str, budget: Budget | None
) -> tuple[Trial, ...]:
    """The trials of a search, from the files of its chief.

    Args:
        folder: of the project, with a folder for each trial.
        names: of the space.
        objective: which score counts.
        budget: what a trial may cost.
    """
    files = folder.glob("trial_*/trial.json")
    found = [_read_trial(file, names, objective, budget) for file in files]
    return tuple(sorted(found, key=lambda trial: trial.number))


def _read_trial(
    file: Path, names: Sequence[str], objective: str, budget: Budget | None
) -> Trial:
    state = read_json(file)
    values = state["hyperparameters"]["values"]
    outcome: dict[str, Any] = {}
    status = {"COMPLETED": "done", "RUNNING": "running"}.get(
        state["status"], "failed"
    )
    if status == "done":
        outcome = read_json(file.with_name(OUTCOME))
    cost = outcome.get("cost", {})
    # The traceback's last line is what the error says.
    lines = (state["message"] or "").strip().splitlines()
    message = lines[-1] if lines else ""
    if budget is not None and status == "done":
        excess = budget.excess(ModelCost(**cost))
        if excess is not None:
            status, message = "above budget", excess
    scores = outcome.get("scores", {})
    return Trial(
        number=int(state["trial_id"]),
        status=status,
        values={name: values[name] for name in names if name in values},
        arguments=outcome.get("arguments", {}),
        epochs=outcome.get("epochs", values.get("tuner/epochs")),
        scores=scores,
        score=scores.get(objective),
        multiply_adds=cost.get("multiply_adds"),
        parameters=cost.get("parameters"),
        latency_ms=cost.get("latency_ms"),
        seconds=outcome.get("seconds", 0.0),
        message=message,
        folder=file.parent,
    )
