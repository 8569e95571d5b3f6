"""What every contestant of a recipe says of the rows of a split."""

import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import keras
import numpy as np

from moe_keras.data import Dataset, Split
from moe_keras.errors import require
from moe_keras.insight.routing import names_of
from moe_keras.runner.data import data_at, load_data
from moe_keras.runner.environment import describe_environment
from moe_keras.runner.files import (
    MODEL,
    OPINIONS,
    RESULT,
    read_arrays,
    read_model,
    read_result,
)
from moe_keras.runner.latency import single_rows, time_calls
from moe_keras.runner.outside import fit_outside
from moe_keras.runner.plan import Run
from moe_keras.runner.recombined import Opinions, ask_experts, recombine
from moe_keras.runner.scoring import predict
from moe_keras.training import Recipe
from moe_keras.training.identity import require_same

OWNER = "compare_recipe"
SPLITS = ("validation", "test")


@dataclass(frozen=True)
class Judged:
    """What one contestant says.

    Attributes:
        contestant: its name.
        seed: of its training.
        rows: that were judged.
        probabilities: float `(N, C)`.
        costs: a result, with what it cost.
    """

    contestant: str
    seed: int
    rows: Split
    probabilities: np.ndarray
    costs: dict[str, Any]


class Judge:
    """Asks the contestants of a recipe, one after the other.

    Args:
        recipe: see `load_recipe`.
        folder: of the runs.
        split: `"validation"` or `"test"`. Of a cross-validation, the folds that
            were held out are the test split.
        data_dir: folder of the data sets; see `load_dataset`.

    Raises:
        ValueError: for a split that the data do not have; while asking, for
            runs of another recipe or other data.
    """

    def __init__(
        self,
        recipe: Recipe,
        folder: Path,
        split: str,
        data_dir: Path | str | None,
    ):
        require(
            split in SPLITS,
            OWNER,
            f"`split` must be one of {SPLITS}.",
            split=split,
        )
        require(
            recipe.out_of_fold is None or split == "test",
            OWNER,
            "with `out_of_fold` no rows are left for validation: what was said "
            "out of fold is scored in each run's result. The folds of a "
            "cross-validation are the test split.",
            split=split,
        )
        self.recipe, self.folder, self.split = recipe, folder, split
        whole = load_data(recipe, data_dir)
        self.data = cache(lambda seed: data_at(recipe, whole, seed))
        if recipe.folds is None and getattr(whole, split) is None:
            raise ValueError(f"{OWNER}: {whole.name} has no {split} split")

    def all(self) -> Iterator[Judged]:
        """The model's runs first, then those of its baselines.

        Raises:
            FileNotFoundError: when the model has not been trained.
        """
        yield from self._trained()
        yield from self._recombined()
        yield from self.outside()

    def _rows(self, data: Dataset) -> Split:
        rows: Split = getattr(data, self.split)
        return rows

    def _trained(self) -> Iterator[Judged]:
        """The runs of a recipe that are done; others of their names are not."""
        recipe, folder = self.recipe, self.folder
        runs = list(finished_runs(recipe, folder))
        if all(contestant != recipe.name for contestant, _, _ in runs):
            raise FileNotFoundError(
                f"{folder}: {recipe.name} has not been trained there"
            )
        for contestant, seed, run in runs:
            data = self.data(seed)
            result = read_result(run)
            rival = next(
                (one for one in recipe.baselines if one.name == contestant),
                None,
            )
            asked = Run(recipe, rival, seed, data, run).identity
            require_same(OWNER, run, result["training"], asked)
            rows = self._rows(data)
            said = predict(read_model(run / MODEL), rows, len(data.classes))
            yield Judged(contestant, seed, rows, said, result)

    def _recombined(self) -> Iterator[Judged]:
        """The experts of each trained seed, put together in other ways."""
        wanted = {
            baseline.name: baseline.recombine
            for baseline in self.recipe.baselines
            if baseline.recombine is not None
        }
        for contestant, seed, run in finished_runs(self.recipe, self.folder):
            if not wanted or contestant != self.recipe.name:
                continue
            data, model = self.data(seed), read_model(run / MODEL)
            rows = self._rows(data)
            held_out = self._held_out(model, data, run)
            asked = (
                held_out
                if self.split == "validation"
                else ask_experts(model, rows)
            )
            for name, how in wanted.items():
                said = recombine(how, held_out, asked)
                yield Judged(name, seed, rows, said, describe_environment())

    def _held_out(
        self, model: keras.Model, data: Dataset, run: Path
    ) -> Opinions:
        """What experts say of rows that they were not fitted to."""
        if self.recipe.out_of_fold is None:
            return ask_experts(model, data.validation)
        kept = read_arrays(run / OPINIONS)
        mixture = model.get_layer("moe")
        return Opinions(
            tuple(names_of(mixture)),
            mixture.fusion.pool,
            kept["expert_logits"].astype("float64"),
            kept["labels"],
        )

    def outside(self, names: Collection[str] | None = None) -> Iterator[Judged]:
        """Models of others, fitted to all rows that are not in the split.

        Args:
            names: of the baselines; all of them if None.
        """
        for baseline in self.recipe.baselines:
            if baseline.outside is None:
                continue
            if names is not None and baseline.name not in names:
                continue
            seeds = [0] if self.recipe.folds is None else self.recipe.seeds
            for seed in seeds:
                data = self.data(seed)
                whole = (
                    self.split == "test" and data.validation_rows is not None
                )
                learned = data.whole_train() if whole else data.train
                yield self._fitted(
                    baseline.name, baseline.outside, seed, learned
                )

    def _fitted(
        self, name: str, outside: str, seed: int, learned: Split
    ) -> Judged:
        rows = self._rows(self.data(seed))
        # Its calls take as long after each fold: one of them is timed.
        timed = self.recipe.folds is None or seed == max(self.recipe.seeds)
        cpu, wall = time.process_time(), time.perf_counter()
        found, weights = fit_outside(outside, learned)
        costs = {
            "parameters": weights,
            "train_seconds": round(time.perf_counter() - wall, 2),
            "cpu_seconds": round(time.process_time() - cpu, 2),
            "latency_ms": time_calls(found, single_rows(rows.inputs))
            if timed
            else None,
            **describe_environment(),
        }
        return Judged(name, seed, rows, found(rows.inputs), costs)


def finished_runs(
    recipe: Recipe, folder: Path
) -> Iterator[tuple[str, int, Path]]:
    """Contestant, seed and folder of each run that is done."""
    rivals = [baseline.name for baseline in recipe.baselines]
    for contestant in (recipe.name, *rivals):
        parent = folder if contestant == recipe.name else folder / contestant
        seeds = sorted(
            int(run.parent.name)
            for run in parent.glob(f"*/{RESULT}")
            if run.parent.name.isdigit()
        )
        for seed in seeds:
            yield contestant, seed, parent / str(seed)
