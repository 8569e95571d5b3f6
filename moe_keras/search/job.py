"""All that a search is, so that any process can take part in it."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from moe_keras.data import Dataset
from moe_keras.errors import require, require_counts
from moe_keras.runner.plan import SPLITS, digest
from moe_keras.search.budget import Budget
from moe_keras.search.hypermodels import HYPERMODELS, MoEHyperModel
from moe_keras.search.hypermodels.space import Value
from moe_keras.search.oracles import METHODS, OWNER, make_oracle
from moe_keras.search.trials import OBJECTIVES, read_trials
from moe_keras.search.tuner import MoETuner, Watch
from moe_keras.storage import read_json, write_json
from moe_keras.training.identity import require_same
from moe_keras.training.recipe import Recipe

# Of keras-tuner's own files, and of the trials.
PROJECT = "trials"
SEARCH = "search.json"


@dataclass(frozen=True)
class Job:
    """A search, before it runs; see `tune` for what its attributes mean."""

    task: str
    data: Dataset
    folder: Path
    budget: Budget | None
    max_experts: int
    only: Mapping[str, Sequence[Value]] | None
    base: Recipe | None
    method: str
    trials: int
    epochs: int | None
    seeds: int
    objective: str
    seed: int

    def __post_init__(self) -> None:
        require(
            self.task in HYPERMODELS,
            OWNER,
            f"`task` must be one of {tuple(HYPERMODELS)}, or a recipe.",
            task=self.task,
        )
        for name, known in (("method", METHODS), ("objective", OBJECTIVES)):
            value = getattr(self, name)
            rule = f"`{name}` must be one of {known}."
            require(value in known, OWNER, rule, **{name: value})
        require_counts(OWNER, trials=self.trials, seeds=self.seeds)
        require(
            isinstance(self.seed, int) and self.seed >= 0,
            OWNER,
            "`seed` must be an integer, 0 or above.",
            seed=self.seed,
        )

    @property
    def project(self) -> Path:
        """The folder of keras-tuner's project."""
        return self.folder / PROJECT

    @property
    def oracle_file(self) -> Path:
        """Where keras-tuner keeps what it knows of the search."""
        return self.project / "oracle.json"

    def hypermodel(self) -> MoEHyperModel:
        """The space."""
        return HYPERMODELS[self.task](
            self.data,
            budget=self.budget,
            max_experts=self.max_experts,
            only=self.only,
            base=self.base,
            epochs=self.epochs,
        )

    def tuner(
        self, hypermodel: MoEHyperModel, watch: Watch | None = None
    ) -> MoETuner:
        """What goes on with the search, from where it is."""
        oracle = make_oracle(
            self.method,
            hypermodel,
            self.objective,
            self.trials,
            hypermodel.base.epochs,
            self.seed,
        )
        return MoETuner(oracle, hypermodel, self.project, self.seeds, watch)

    def claim_folder(self, hypermodel: MoEHyperModel) -> None:
        """Write what the search is; refuse the folder of another one.

        Raises:
            ValueError: when the folder holds another search.
        """
        # More trials may be asked for later.
        facts = {
            "task": self.task,
            "data": {name: digest(getattr(self.data, name)) for name in SPLITS},
            "budget": self.budget and asdict(self.budget),
            "space": {
                name: list(values) for name, values in hypermodel.space.items()
            },
            "base": hypermodel.base.training_facts(),
            "method": self.method,
            "seeds": self.seeds,
            "objective": self.objective,
            "seed": self.seed,
        }
        file = self.folder / SEARCH
        # What is damaged is named, before keras-tuner reads it.
        for state in (*self.project.glob("trial_*/*.json"), self.oracle_file):
            if state.exists():
                read_json(state)
        if file.exists():
            require_same(
                OWNER,
                self.folder,
                read_json(file),
                facts,
                "the folder holds another search; begin afresh, or take "
                "another.",
            )
        self.folder.mkdir(parents=True, exist_ok=True)
        write_json(file, facts, sealed=True)

    def read(self, hypermodel: MoEHyperModel) -> Any:
        """The trials so far, with the values that were built."""
        trials = read_trials(
            self.project, list(hypermodel.space), self.objective, self.budget
        )
        return tuple(
            replace(trial, values=hypermodel.built_values(trial.values))
            for trial in trials
        )

    def to_send(self) -> "Job":
        """The same, as `pickle` can hold it, without the test split."""
        return replace(self, data=replace(self.data, metadata={}, test=None))
