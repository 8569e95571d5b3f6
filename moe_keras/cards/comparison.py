"""The model of a recipe beside its baselines, on the same rows."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from moe_keras.cards.judging import Judge, Judged
from moe_keras.insight import (
    Difference,
    FoldDifference,
    paired_bootstrap,
    paired_folds,
)
from moe_keras.runner.scoring import scores_of
from moe_keras.training import Recipe

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


@dataclass(frozen=True)
class Comparison:
    """Scores of all contestants on one split.

    Attributes:
        recipe: what was compared.
        split: `"validation"` or `"test"`.
        rows: one dict per contestant and seed: scores and cost.
        differences: by baseline, how far the model is ahead of it: in its share
            of right answers, each the mean over its seeds, row by row; of a
            cross-validation in AUC, fold by fold.
        judged: what each contestant said.
    """

    recipe: Recipe
    split: str
    rows: list[dict[str, Any]]
    differences: dict[str, Difference | FoldDifference]
    judged: list[Judged]

    def contestants(self) -> list[str]:
        """In the order of the recipe, the model first."""
        return list(dict.fromkeys(row["contestant"] for row in self.rows))

    def of(self, contestant: str) -> list[dict[str, Any]]:
        """The rows of a contestant, one for each of its seeds."""
        return [row for row in self.rows if row["contestant"] == contestant]

    def scores(self, contestant: str, key: str) -> list[float]:
        """One figure of a contestant, over its seeds."""
        return [row[key] for row in self.of(contestant)]


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
        ValueError: for a split that the data do not have, and for runs of
            another recipe or other data.
    """
    folder = Path(out or Path("runs", recipe.name))
    judged = list(Judge(recipe, folder, split, data_dir).all())
    rows = [judged_row(recipe, split, one) for one in judged]
    differences = (
        _by_row(judged, recipe.name)
        if recipe.folds is None
        else differences_by_fold(rows, recipe.name, recipe.folds)
    )
    return Comparison(recipe, split, rows, differences, judged)


def judged_row(recipe: Recipe, split: str, one: Judged) -> dict[str, Any]:
    """Scores and cost of one contestant with one seed."""
    return {
        "contestant": one.contestant,
        "seed": one.seed,
        "split": split,
        "rows": len(one.rows),
        **scores_of(recipe, one.rows.labels, one.probabilities),
        **{key: one.costs.get(key) for key in COST},
    }


def _by_row(
    judged: Sequence[Judged], ours: str
) -> dict[str, Difference | FoldDifference]:
    right: dict[str, list[np.ndarray]] = {}
    for one in judged:
        correct = one.probabilities.argmax(axis=1) == one.rows.labels
        right.setdefault(one.contestant, []).append(correct)
    means = {name: np.mean(seeds, axis=0) for name, seeds in right.items()}
    own = means.pop(ours)
    return {
        name: paired_bootstrap(own, theirs) for name, theirs in means.items()
    }


def differences_by_fold(
    rows: Sequence[dict[str, Any]], ours: str, parts: int
) -> dict[str, Difference | FoldDifference]:
    """How far a contestant is ahead of each other one, over its folds.

    Args:
        rows: of `judged_row`.
        ours: the contestant's name.
        parts: int > 1. Folds of a repeat.
    """
    found: dict[str, dict[int, float]] = {}
    for row in rows:
        key = "auc" if "auc" in row else "accuracy"
        found.setdefault(row["contestant"], {})[row["seed"]] = row[key]
    own = found.pop(ours)
    differences: dict[str, Difference | FoldDifference] = {}
    for name, theirs in found.items():
        seeds = sorted(set(own) & set(theirs))
        if seeds:
            differences[name] = paired_folds(
                [own[seed] for seed in seeds],
                [theirs[seed] for seed in seeds],
                parts,
            )
    return differences
