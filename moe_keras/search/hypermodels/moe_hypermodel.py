"""What the spaces of all tasks share: budget, recipe, model, training."""

import gc
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import keras
from rich.console import Console

from moe_keras.data import Dataset
from moe_keras.errors import require, require_counts
from moe_keras.runner.plan import Run
from moe_keras.runner.train import train_run
from moe_keras.search.budget import Budget, ModelCost, measure_cost
from moe_keras.search.hypermodels.space import (
    Space,
    Value,
    narrowed,
    shared_space,
)
from moe_keras.training.builders import (
    build_from_data,
    merge_arguments,
)
from moe_keras.training.compiling import compile_from_recipe
from moe_keras.training.finite import FiniteWeights
from moe_keras.training.recipe import DATA_TASKS, Recipe
from moe_keras.training.recipe_parts import Builder, Data, Schedule

try:
    import keras_tuner
except ImportError as error:
    raise ImportError(
        "moe_keras.search.hypermodels needs the package keras-tuner. Run "
        "`pip install moe_keras[search]`."
    ) from error

EPOCHS = 3
BATCH_SIZE = 128

Values = Mapping[str, Any]

# What the names of data sets in files begin with.
FILES = ("csv:", "parquet:")


class MoEHyperModel(keras_tuner.HyperModel):
    """A flat space of mixtures for one task, within a budget.

    A configuration is a recipe: `recipe(values)` says with which arguments of
    the task's builder, and with which peak of the learning rate, its model is
    made. All else is that of the recipe `base`.

    keras-tuner can take it as it is: `build` returns a compiled model and
    `fit` trains it on the data. `moe_keras.search.tune` does not spend a trial
    on configurations above the budget, and can be interrupted.

    Args:
        data: `Dataset`; the test split is not read.
        budget: `Budget`, or None for any cost.
        max_experts: int > 1.
        only: by name, the values of the space to search over; all of those
            that are not named. See `space`.
        base: `Recipe` of the same task: data, augmentation, optimizer,
            schedule, and arguments of the builder that are not searched. Stages
            and baselines are left out. Defaults to Adam with a half cosine,
            batches of 128 rows, 3 epochs.
        epochs: int > 0; those of `base` if None.

    Raises:
        ValueError: for arguments out of range, and for data or a recipe of
            another task.
    """

    task: ClassVar[str]

    def __init__(
        self,
        data: Dataset,
        budget: Budget | None = None,
        max_experts: int = 8,
        only: Mapping[str, Sequence[Value]] | None = None,
        base: Recipe | None = None,
        epochs: int | None = None,
    ):
        super().__init__()
        owner = type(self).__name__
        self.check_data(data)
        require(
            base is None or base.task == self.task,
            owner,
            f"`base` must be a recipe of the task {self.task!r}.",
            task=base and base.task,
        )
        require(
            base is not None or not data.name.startswith(FILES),
            owner,
            "the data of a file must come with a recipe, which says what is to "
            "be predicted: see `make_table_recipe`.",
            data=data.name,
        )
        if epochs is not None:
            require_counts(owner, epochs=epochs)
        shared = shared_space(max_experts, owner)
        self._whole_space = {**self.own_space(), **shared}
        self.space = narrowed(self._whole_space, only, owner)
        self.data = replace(data, test=None)
        self.budget = budget
        base = base or self._default_base()
        # The record of a file's rows has its whole path.
        same = data.name.endswith(base.data.name.partition(":")[2])
        self.base = base.model_copy(
            update={
                "data": base.data if same else Data(name=data.name),
                "epochs": epochs or base.epochs,
                "stages": (),
                "baselines": [],
            }
        )
        self._costs: dict[str, ModelCost] = {}

    @classmethod
    def check_data(cls, data: Dataset) -> None:
        """Refuse the data of another task."""
        require(
            data.task == DATA_TASKS[cls.task],
            cls.__name__,
            f"`data` must be of the task {DATA_TASKS[cls.task]!r}.",
            data=data.name,
            task=data.task,
        )

    def own_space(self) -> Space:
        """What only this task searches over, by name."""
        raise NotImplementedError

    def arguments(self, values: Values) -> dict[str, Any]:
        """The builder's arguments of a configuration.

        Args:
            values: by the names of the space.
        """
        raise NotImplementedError

    def recipe(self, values: Values, epochs: int | None = None) -> Recipe:
        """The recipe of a configuration.

        Args:
            values: by the names of the space.
            epochs: int > 0, instead of those of the hypermodel.
        """
        base = self.base
        arguments = merge_arguments(
            base.builder.arguments, self.arguments(values)
        )
        optimizer = base.optimizer.model_copy(
            update={"learning_rate": values["learning_rate"]}
        )
        recipe = base.model_copy(
            update={
                "builder": Builder.model_construct(
                    name=self.task, arguments=arguments
                ),
                "optimizer": optimizer,
                "epochs": epochs or base.epochs,
            }
        )
        return Recipe.model_validate(recipe.model_dump())

    def key(self, values: Values) -> str:
        """The same for two configurations if their models are the same."""
        facts = [self.arguments(values), values["learning_rate"]]
        return json.dumps(facts, sort_keys=True)

    def built_values(self, values: Values) -> dict[str, Value]:
        """What the model of a configuration has, of what was asked for.

        A value that its model does not tell from another one is the first that
        makes this model; a name that it does not read is left out.

        Args:
            values: by the names of the space.
        """
        key, found, unread = self.key(values), dict(values), set()
        for name, options in self._whole_space.items():
            same = [
                value
                for value in options
                if self.key({**found, name: value}) == key
            ]
            found[name] = same[0]
            if len(same) == len(options):
                unread.add(name)
        return {
            name: value for name, value in found.items() if name not in unread
        }

    def whole_values(self, values: Values) -> dict[str, Value]:
        """`built_values` with any value for the names that are not read."""
        return {name: found[0] for name, found in self.space.items()} | values

    def build_model(self, values: Values) -> keras.Model:
        """The model of a configuration, not compiled."""
        builder = self.recipe(values).builder
        return build_from_data(
            builder.name, builder.arguments, self.data, self.base.name
        )

    def cost(self, values: Values) -> ModelCost:
        """What the model of a configuration costs; it is built once."""
        key = json.dumps(self.arguments(values), sort_keys=True)
        if key not in self._costs:
            self._costs[key] = self._measure(self.build_model(values))
        return self._costs[key]

    def excess(self, values: Values) -> str | None:
        """Which limit a configuration is above; None within the budget."""
        if self.budget is None:
            return None
        return self.budget.excess(self.cost(values))

    def reason_against(self, values: Values) -> str | None:
        """Why a configuration is not to be trained; None if it is."""
        try:
            return self.excess(values)
        except ValueError as error:
            return f"cannot be built: {error}"

    def declare_hyperparameters(self, hp: Any) -> None:
        """Name all of the space to keras-tuner, without building a model."""
        for name, values in self.space.items():
            hp.Choice(name, list(values), default=values[0])

    def build(self, hp: Any) -> keras.Model:
        """The compiled model of keras-tuner's hyperparameters.

        Raises:
            FailedTrialError: of keras-tuner, above the budget.
        """
        self.declare_hyperparameters(hp)
        values = {name: hp.get(name) for name in self.space}
        model = self.build_model(values)
        if self.budget is not None:
            excess = self.budget.excess(self._measure(model))
            if excess is not None:
                raise keras_tuner.errors.FailedTrialError(excess)
        steps = -(-len(self.data.train) // self.base.batch_size)
        compile_from_recipe(model, self.recipe(values), steps)
        return model

    def fit(
        self, hp: Any, model: keras.Model, *args: Any, **kwargs: Any
    ) -> Any:
        """Train on the data, unless others are given."""
        rows = args or self.data.train.arrays
        usual = {
            "validation_data": self.data.validation.arrays,
            "batch_size": self.base.batch_size,
            "epochs": self.base.epochs,
        }
        callbacks = [FiniteWeights(), *(kwargs.pop("callbacks", None) or [])]
        return model.fit(*rows, callbacks=callbacks, **{**usual, **kwargs})

    def train(
        self,
        values: Values,
        folder: Path,
        seed: int = 0,
        epochs: int | None = None,
        callbacks: Sequence[keras.callbacks.Callback] = (),
    ) -> dict[str, Any]:
        """Train the recipe of a configuration, as `train_recipe` does.

        Args:
            values: by the names of the space.
            folder: the run's files go to `folder/<seed>/`; interrupted, the
                same call goes on from there.
            seed: int >= 0.
            epochs: int > 0, instead of those of the hypermodel.
            callbacks: of Keras.

        Returns:
            What `result.json` holds: scores on the validation split, cost.
        """
        recipe = self.recipe(values, epochs)
        run = Run(recipe, None, seed, self.data, folder / str(seed))
        quiet = Console(quiet=True)
        result = train_run(run, console=quiet, callbacks=callbacks).result
        # A model refers to itself: without this, many would pile up.
        gc.collect()
        return result

    def _measure(self, model: keras.Model) -> ModelCost:
        timed = self.budget is not None and bool(self.budget.max_latency_ms)
        return measure_cost(model, self.data.validation, timed)

    def _default_base(self) -> Recipe:
        return Recipe.model_construct(
            name=f"{self.task}_search",
            task=self.task,
            data=Data(name=self.data.name),
            builder=Builder.model_construct(name=self.task, arguments={}),
            schedule=Schedule(name="cosine", warmup=0.05),
            epochs=EPOCHS,
            batch_size=BATCH_SIZE,
        )
