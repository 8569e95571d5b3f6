"""A recipe: all that says how a model of the zoo is built and trained."""

from typing import Annotated, Any, Literal

import yaml
from pydantic import Field, field_validator, model_validator

from moe_keras.training.builders import check_arguments, merge_arguments
from moe_keras.training.recipe_parts import (
    OUTSIDE,
    Augmentation,
    Baseline,
    Builder,
    Count,
    Data,
    Loss,
    Monitor,
    Name,
    Optimizer,
    OutOfFold,
    Part,
    Schedule,
    Seed,
)
from moe_keras.training.stage import Stage

# What data a task of the zoo reads.
DATA_TASKS = {"image": "image", "sentiment": "text", "risk": "tabular"}
# What may change without changing what one training gives.
_NOT_OF_ONE_TRAINING = {"description", "seeds", "baselines"}


class Recipe(Part):
    """How a model of the zoo is built and trained.

    Attributes:
        name: lower-case letters, digits and underscores; names the model.
        description: a sentence or two for the model's card.
        task: `"image"`, `"sentiment"` or `"risk"`, the folder of the zoo.
        data: see `Data`.
        builder: see `Builder`.
        augmentation: see `Augmentation`; for images. Layers of the model itself
            may augment too: that is the builder's business.
        optimizer: see `Optimizer`.
        schedule: see `Schedule`.
        loss: see `Loss`.
        epochs: int > 0. Passes over the training data, where all parts of the
            model are trained together.
        stages: see `Stage`. The parts of the mixture are trained one after the
            other instead, each with the recipe's optimizer and schedule over
            its own epochs, at its own peak rate. Models without a mixture, such
            as twins, are trained for `epochs`.
        calibrate: whether `fit_temperature` sets the model's temperature on the
            validation split at the end; with `out_of_fold`, on what was said
            out of fold.
        folds: int > 1, of a cross-validation, where the data have no test
            split. Seed s is then the place s of the folds of
            `moe_keras.data.fold_of`: each seed has a test split of its own.
        out_of_fold: see `OutOfFold`; for the builder `risk`, whose trees need
            it.
        batch_size: int > 0.
        dtype_policy: of Keras, such as `"float32"` or `"mixed_bfloat16"`.
        seeds: ints >= 0, all different: one training for each.
        baselines: see `Baseline`.
        monitor: see `Monitor`; without it the last epoch's weights are kept.
    """

    name: Name
    description: str = ""
    task: Literal["image", "sentiment", "risk"]
    data: Data
    builder: Builder
    augmentation: Augmentation | None = None
    optimizer: Optimizer = Optimizer()
    schedule: Schedule = Schedule()
    loss: Loss = Loss()
    epochs: Count
    stages: tuple[Stage, ...] = ()
    calibrate: bool = False
    folds: Annotated[int, Field(ge=2)] | None = None
    out_of_fold: OutOfFold | None = None
    batch_size: Count = 128
    dtype_policy: Literal[
        "float32", "bfloat16", "mixed_bfloat16", "mixed_float16"
    ] = "float32"
    seeds: Annotated[list[Seed], Field(min_length=1)] = [0, 1, 2]
    baselines: list[Baseline] = []
    monitor: Monitor | None = None

    @field_validator("stages", mode="before")
    @classmethod
    def _list_as_tuple(cls, stages: Any) -> Any:
        return tuple(stages) if isinstance(stages, list) else stages

    @field_validator("seeds")
    @classmethod
    def _seeds_differ(cls, seeds: list[int]) -> list[int]:
        if len(set(seeds)) < len(seeds):
            raise ValueError("must all be different")
        return seeds

    @field_validator("baselines")
    @classmethod
    def _baselines_can_be_built(
        cls, baselines: list[Baseline], info: Any
    ) -> list[Baseline]:
        names = [baseline.name for baseline in baselines]
        if len(set(names)) < len(names):
            raise ValueError("must all have different names")
        if info.data.get("name") in names:
            raise ValueError("none can be called as the recipe is")
        readers = OUTSIDE.get(info.data.get("task", ""), ())
        for baseline in baselines:
            if baseline.outside and baseline.outside not in readers:
                raise ValueError(
                    f"{baseline.outside} does not read what this task reads"
                )
        if info.data.get("stages") == () and any(
            not baseline.staged for baseline in baselines
        ):
            raise ValueError("staged: false is for recipes with stages")
        if "builder" in info.data:
            for index, baseline in enumerate(baselines):
                builder = info.data["builder"]
                check_arguments(
                    builder.name,
                    merge_arguments(builder.arguments, baseline.arguments),
                    *(index, "arguments"),
                )
        return baselines

    @model_validator(mode="after")
    def _augmentation_is_for_images(self) -> "Recipe":
        if self.augmentation is not None and self.task != "image":
            raise ValueError("augmentation is for images only")
        return self

    @model_validator(mode="after")
    def _out_of_fold_is_for_risk(self) -> "Recipe":
        if self.folds is not None and self.task != "risk":
            raise ValueError("folds are for tables only")
        if (self.builder.name == "risk") != (self.task == "risk"):
            raise ValueError("the builder risk and the task risk go together")
        if self.builder.arguments.get("targets"):
            raise ValueError("a recipe is for one target, not for several")
        if self.out_of_fold is None:
            if self.folds is not None:
                raise ValueError("folds need out_of_fold")
            if self.builder.arguments.get("forests"):
                raise ValueError("forests need out_of_fold")
            return self
        if self.builder.name != "risk":
            raise ValueError("out_of_fold is for the builder risk")
        kind = (self.optimizer.name, self.schedule.name, self.schedule.warmup)
        if kind != ("adamw", "cosine", 0):
            raise ValueError(
                "out_of_fold needs the optimizer adamw and the schedule "
                "cosine without warmup"
            )
        left = [
            name
            for name in ("stages", "monitor", "augmentation")
            if getattr(self, name)
        ]
        asked = self.optimizer
        if (
            left
            or self.loss != Loss()
            or self.dtype_policy != "float32"
            or asked.clipnorm is not None
            or asked.ema is not None
        ):
            raise ValueError(
                "out_of_fold goes without stages, monitor, augmentation, loss, "
                "dtype_policy, clipnorm and ema"
            )
        return self

    def to_yaml(self) -> str:
        """The recipe as a YAML file, with every default written out."""
        values = self.model_dump(mode="json")
        text: str = yaml.safe_dump(values, sort_keys=False, allow_unicode=True)
        return text

    def training_facts(self) -> dict[str, Any]:
        """What one training depends on: all but the seeds and the baselines.

        Without defaults, so that a later option changes no earlier training.
        """
        return self.model_dump(
            mode="json", exclude=_NOT_OF_ONE_TRAINING, exclude_defaults=True
        )
