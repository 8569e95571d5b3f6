"""How the benchmark of searches sets up each task: data, rows, defaults."""

from dataclasses import dataclass, field
from typing import Any

from benchmarks import page
from moe_keras.data import Dataset, load_dataset
from moe_keras.search.hypermodels import (
    ImageMoEHyperModel,
    MoEHyperModel,
    RiskMoEHyperModel,
    SentimentMoEHyperModel,
)
from moe_keras.training import Recipe, load_recipe

HYPERMODELS: dict[str, type[MoEHyperModel]] = {
    "image": ImageMoEHyperModel,
    "sentiment": SentimentMoEHyperModel,
    "risk": RiskMoEHyperModel,
}
RATES = (2**-10, 2**-9, 2**-8, 2**-7)
MADE_UP = {
    "image": "digits",
    "sentiment": "synthetic_reviews",
    "risk": "synthetic_credit",
}


@dataclass(frozen=True)
class Setup:
    """How a task is searched.

    Attributes:
        rows: of training.
        epochs: of each training.
        seeds: trainings of each trial, at most 2.
        only: narrows the space.
    """

    rows: int
    epochs: int
    seeds: int = 1
    only: dict[str, list[Any]] = field(default_factory=dict)


SETUPS = {
    # The default's kinds and its best rate: within its cost, what remains is
    # how many, how wide and how gated. One seed more, as scores are close.
    "image": Setup(
        rows=8_000,
        epochs=6,
        seeds=2,
        only={
            "kinds": ["conv", "conv+recurrent"],
            "learning_rate": [RATES[-1]],
        },
    ),
    "sentiment": Setup(rows=4_000, epochs=3),
    "risk": Setup(rows=10_000, epochs=4),
}
QUICK = Setup(rows=200, epochs=1)


def load(task: str, folders: dict[str, str | None]) -> tuple[Dataset, Any]:
    """The data of a task, and the recipe that tells its columns, if any."""
    if task != "risk":
        name = {"image": "fashion_mnist", "sentiment": "imdb_reviews"}[task]
        return load_dataset(f"tfds:{name}", folders["tfds"]), None
    published = load_recipe(page.ROOT / "zoo" / "risk" / "taiwan_default")
    schema = published.builder.arguments["schema"]
    builder = published.builder.model_copy(
        update={"arguments": {"schema": schema}}
    )
    base = Recipe.model_validate(
        {
            **published.model_dump(exclude={"baselines", "out_of_fold"}),
            "builder": builder.model_dump(),
            "folds": None,
            "seeds": [0],
        }
    )
    data = load_dataset(base.data.name, folders["csv"], **base.data.options)
    return data, base


def default_of(kind: type[MoEHyperModel]) -> type[MoEHyperModel]:
    """The hypermodel whose every configuration is the default builder's."""

    class Default(kind):  # type: ignore[valid-type, misc]
        def arguments(self, values: Any) -> dict[str, Any]:
            first = {name: options[0] for name, options in self.space.items()}
            given = super().arguments(first)
            return {key: given[key] for key in ("schema",) if key in given}

    return Default
