"""What one run is: its recipe, seed, data, folder, and what it depends on."""

import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import keras
import numpy as np

from moe_keras.data import Dataset, Split
from moe_keras.errors import require
from moe_keras.layers import MixtureOfExperts
from moe_keras.runner.data import data_at, load_data
from moe_keras.training.recipe import Recipe
from moe_keras.training.recipe_parts import Baseline

OWNER = "train_recipe"
# What a training reads: not the test split.
SPLITS = ("train", "validation")


@dataclass(frozen=True)
class Run:
    """One run, before anything is trained.

    Attributes:
        recipe: of the model.
        rival: the recipe's baseline that is trained instead, or None.
        seed: int >= 0.
        data: what the recipe asks for.
        folder: where the run's files go.
    """

    recipe: Recipe
    rival: Baseline | None
    seed: int
    data: Dataset
    folder: Path

    @property
    def contestant(self) -> str:
        """The name of what is trained."""
        return self.rival.name if self.rival else self.recipe.name

    @cached_property
    def identity(self) -> dict[str, Any]:
        """All that the training depends on, as JSON can hold it."""
        return {
            "recipe": self.recipe.training_facts(),
            "baseline": (
                self.rival.model_dump(mode="json", exclude_defaults=True)
                if self.rival
                else None
            ),
            "seed": self.seed,
            "data": {name: digest(getattr(self.data, name)) for name in SPLITS},
        }


def plan_run(
    recipe: Recipe,
    seed: int | None,
    out: Path | str | None,
    data_dir: Path | str | None,
    baseline: str | None,
) -> Run:
    """Check what was asked for, and load the data; see `train_recipe`.

    Raises:
        ValueError: for a seed, a baseline or data that cannot be.
        OSError: when the data are not there.
    """
    seed = recipe.seeds[0] if seed is None else seed
    require(
        0 <= seed < 2**32, OWNER, "`seed` must be in 0..2**32 - 1.", seed=seed
    )
    rival = _find_baseline(recipe, baseline)
    folder = Path(out or Path("runs", recipe.name))
    folder = folder.joinpath(*([rival.name] if rival else []), str(seed))
    data = data_at(recipe, load_data(recipe, data_dir), seed)
    return Run(recipe, rival, seed, data, folder)


def in_stages(run: Run, model: keras.Model) -> bool:
    """Whether the model's parts are trained apart: it has some, as asked."""
    wanted = run.rival is None or run.rival.staged
    return (
        bool(run.recipe.stages)
        and wanted
        and any(
            isinstance(layer, MixtureOfExperts)
            for layer in model._flatten_layers()
        )
    )


def digest(split: Split) -> str:
    """12 hexadecimal digits that tell one split's rows from another's."""
    state = hashlib.sha256()
    for array in keras.tree.flatten((split.inputs, split.labels)):
        state.update(f"{array.shape} {array.dtype}".encode())
        if array.dtype == object:
            state.update("\0".join(map(str, array.ravel())).encode())
        else:
            state.update(np.ascontiguousarray(array).data)
    return state.hexdigest()[:12]


def _find_baseline(recipe: Recipe, name: str | None) -> Baseline | None:
    if name is None:
        return None
    known = {baseline.name: baseline for baseline in recipe.baselines}
    require(
        name in known,
        OWNER,
        f"the recipe's baselines are {sorted(known)}.",
        baseline=name,
    )
    require(
        known[name].outside is None,
        OWNER,
        "a model of scikit-learn is fitted when models are compared.",
        baseline=name,
    )
    require(
        known[name].recombine is None,
        OWNER,
        "what is made of the model's own experts needs no training.",
        baseline=name,
    )
    return known[name]
