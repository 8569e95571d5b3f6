"""The model of a recipe beside its baselines, on the same rows."""

import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from moe_keras.data import Dataset, Split, load_dataset
from moe_keras.errors import require
from moe_keras.insight import Difference, paired_bootstrap
from moe_keras.insight.scores import classification_scores
from moe_keras.runner.environment import describe_environment
from moe_keras.runner.files import MODEL, RESULT, read_model, read_result
from moe_keras.runner.latency import single_rows, time_calls
from moe_keras.runner.outside import fit_outside
from moe_keras.runner.recombined import recombine_all
from moe_keras.runner.scoring import predict
from moe_keras.training import Recipe

SPLITS = ("validation", "test")
# What a row takes over from a run's own result.
COST = (
    "parameters",
    "active_multiply_adds",
    "total_multiply_adds",
    "epochs",
    "train_seconds",
    "cpu_seconds",
    "latency_ms",
    "backend",
    "versions",
    "commit",
    "device",
)


# Contestant, seed, probabilities (N, C), and a result with its cost.
Judged = tuple[str, int, np.ndarray, dict[str, Any]]


@dataclass(frozen=True)
class Comparison:
    """Scores of all contestants on one split.

    Attributes:
        recipe: what was compared.
        split: `"validation"` or `"test"`.
        rows: one dict per contestant and seed: scores and cost.
        differences: by baseline, the model's share of right answers minus the
            baseline's, each the mean over its seeds, row by row.
    """

    recipe: Recipe
    split: str
    rows: list[dict[str, Any]]
    differences: dict[str, Difference]

    def contestants(self) -> list[str]:
        """In the order of the recipe, the model first."""
        return list(dict.fromkeys(row["contestant"] for row in self.rows))

    def scores(self, contestant: str, key: str) -> list[float]:
        """One figure of a contestant, over its seeds."""
        return [
            row[key] for row in self.rows if row["contestant"] == contestant
        ]


def compare_recipe(
    recipe: Recipe,
    out: Path | str | None = None,
    split: str = "validation",
    data_dir: Path | str | None = None,
) -> Comparison:
    """Score every finished run of a recipe, and pair the model with each rival.

    Args:
        recipe: see `load_recipe`.
        out: folder of the runs, as for `train_recipe`.
        split: `"validation"`, or `"test"`, which is for the end.
        data_dir: folder of the data sets; see `load_dataset`.

    Returns:
        `Comparison`. A baseline that has not been trained is not in it.

    Raises:
        FileNotFoundError: when the model itself has not been trained.
        ValueError: for a split that the data do not have.
    """
    require(
        split in SPLITS,
        "compare_recipe",
        f"`split` must be one of {SPLITS}.",
        split=split,
    )
    folder = Path(out or Path("runs", recipe.name))
    data = load_dataset(recipe.data.name, data_dir, **recipe.data.options)
    rows_of_split: Split | None = getattr(data, split)
    if rows_of_split is None:
        raise ValueError(f"compare_recipe: {data.name} has no {split} split")
    rows: list[dict[str, Any]] = []
    right: dict[str, list[np.ndarray]] = {}
    for contestant, seed, probabilities, costs in (
        *_trained(recipe, folder, rows_of_split, len(data.classes)),
        *_recombined(recipe, folder, data, rows_of_split),
        *_outside(recipe, data, split, rows_of_split),
    ):
        correct = probabilities.argmax(axis=1) == rows_of_split.labels
        right.setdefault(contestant, []).append(correct)
        rows.append(
            {
                "contestant": contestant,
                "seed": seed,
                "split": split,
                "rows": len(rows_of_split),
                **classification_scores(rows_of_split.labels, probabilities),
                **{key: costs.get(key) for key in COST},
            }
        )
    means = {name: np.mean(seeds, axis=0) for name, seeds in right.items()}
    ours = means.pop(recipe.name)
    differences = {
        name: paired_bootstrap(ours, theirs) for name, theirs in means.items()
    }
    return Comparison(recipe, split, rows, differences)


def _trained(
    recipe: Recipe, folder: Path, rows: Split, classes: int
) -> Iterator[Judged]:
    """The runs of a recipe that are done, on some rows."""
    runs = list(finished_runs(recipe, folder))
    if all(contestant != recipe.name for contestant, _, _ in runs):
        raise FileNotFoundError(
            f"{folder}: {recipe.name} has not been trained there"
        )
    for contestant, seed, run in runs:
        probabilities = predict(read_model(run / MODEL), rows, classes)
        yield contestant, seed, probabilities, read_result(run)


def _recombined(
    recipe: Recipe, folder: Path, data: Dataset, rows: Split
) -> Iterator[Judged]:
    """The experts of each trained seed, put together in other ways."""
    wanted = {
        baseline.name: baseline.recombine
        for baseline in recipe.baselines
        if baseline.recombine is not None
    }
    for contestant, seed, run in finished_runs(recipe, folder):
        if not wanted or contestant != recipe.name:
            continue
        model = read_model(run / MODEL)
        for name, found in recombine_all(wanted, model, data.validation, rows):
            yield name, seed, found, describe_environment()


def _outside(
    recipe: Recipe, data: Dataset, split: str, rows: Split
) -> Iterator[Judged]:
    """Models of scikit-learn, fitted to all rows that are not in the split."""
    learned = data.whole_train() if split == "test" else data.train
    for baseline in recipe.baselines:
        if baseline.outside is None:
            continue
        cpu, wall = time.process_time(), time.perf_counter()
        found, weights = fit_outside(baseline.outside, learned)
        costs = {
            "parameters": weights,
            "train_seconds": round(time.perf_counter() - wall, 2),
            "cpu_seconds": round(time.process_time() - cpu, 2),
            "latency_ms": time_calls(found, single_rows(rows.inputs)),
            **describe_environment(),
        }
        yield baseline.name, 0, found(rows.inputs), costs


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


def mean_and_sd(values: list[float], decimals: int) -> str:
    """`mean ± SD (n - 1)`; the value alone where there is one."""
    mean = f"{statistics.mean(values):.{decimals}f}"
    if len(values) < 2:
        return mean
    return f"{mean} ± {statistics.stdev(values):.{decimals}f}"
