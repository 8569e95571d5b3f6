"""The data of a recipe, as its runs read them."""

import dataclasses
from pathlib import Path

from moe_keras.data import Dataset, Split, fold_of, load_dataset
from moe_keras.data.load import is_file_name
from moe_keras.errors import require
from moe_keras.training.builders import read_schema
from moe_keras.training.recipe import DATA_TASKS, Recipe

OWNER = "train_recipe"


def load_data(recipe: Recipe, data_dir: Path | str | None) -> Dataset:
    """All rows that a recipe asks for; of a table, the schema's columns.

    Args:
        recipe: see `load_recipe`.
        data_dir: folder of the data sets; see `load_dataset`.

    Raises:
        ValueError: for data of another task, for other than two classes with
            `out_of_fold`, and for a table that does not fit the recipe's
            schema.
        OSError: when the data are not there.
    """
    options = dict(recipe.data.options)
    if recipe.task == "risk" and is_file_name(recipe.data.name):
        # What was a level or a number when the recipe was made is one still.
        options["schema"] = read_schema(recipe.builder.arguments)
    data = load_dataset(recipe.data.name, data_dir, **options)
    require(
        data.task == DATA_TASKS[recipe.task],
        OWNER,
        f"the data of this task must be {DATA_TASKS[recipe.task]}; those of "
        f"{data.name} are {data.task}.",
        task=recipe.task,
    )
    require(
        recipe.out_of_fold is None or len(data.classes) == 2,
        OWNER,
        "with `out_of_fold` the data must have two classes.",
        data=data.name,
        classes=len(data.classes),
        first=data.classes[:5],
    )
    if recipe.task != "risk":
        return data
    schema = read_schema(recipe.builder.arguments)

    def checked(split: Split) -> Split:
        columns = schema.check(split.columns())
        return dataclasses.replace(split, inputs=columns, names=())

    return dataclasses.replace(
        data,
        train=checked(data.train),
        validation=checked(data.validation),
        test=None if data.test is None else checked(data.test),
    )


def data_at(recipe: Recipe, data: Dataset, seed: int) -> Dataset:
    """What one run reads.

    Args:
        recipe: see `load_recipe`. With `out_of_fold`, a training needs no
            validation split: its rows are for training too.
        data: as of `load_data`.
        seed: int >= 0. With `folds`, the place of the fold; see `fold_of`.
    """
    if recipe.folds is not None:
        return fold_of(data, recipe.folds, seed)
    if recipe.out_of_fold is None:
        return data
    rows = data.whole_train()
    return dataclasses.replace(
        data,
        train=rows,
        validation=rows.take(slice(0, 0)),
        validation_rows=None,
    )
