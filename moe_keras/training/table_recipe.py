"""A recipe for a table that nobody has looked at yet."""

import importlib.util
import math
import os
import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from moe_keras.data import Dataset, infer_table_schema, load_dataset
from moe_keras.data.table import READING
from moe_keras.data.table_classes import find_class
from moe_keras.errors import either, is_count, require
from moe_keras.training.recipe import Recipe

OWNER = "train_table"
# A table with fewer rows is learned in small batches, over and over.
SMALL = 5_000
# Of the networks, about; within the limits on epochs.
UPDATES, FEWEST, MOST = 2_000, 4, 40
# Of each fold's training rows, for what the experts say of new rows.
INNER_FOLDS = 3
INSTALLED = ("lightgbm", "xgboost", "catboost")


def make_table_recipe(
    path: str | os.PathLike[str],
    target: str,
    bad: str | None = None,
    drop: Collection[str] = (),
    folds: int = 5,
    epochs: int | None = None,
    positive: str | None = None,
    reading: Mapping[str, Any] | None = None,
) -> Recipe:
    """A recipe for any table of two classes, its columns as they are inferred.

    Args:
        path: of a CSV or Parquet file.
        target: name of the column to predict.
        bad: the value of it that is bad; the larger of two numbers if None.
        drop: columns that the model is not to read, such as ids.
        folds: int > 1. Of the cross-validation that all models go through.
        epochs: int > 0. Of the networks; by default such as make about 2,000
            updates, 4 at least and 40 at most.
        positive: the same as `bad`, for a target of which no value is bad: a
            churn, a diagnosis, a sale.
        reading: how the file is written, and which columns are texts:
            `separator`, `decimal`, `thousands`, `encoding`, `missing` and
            `text` of `load_table`. They are options of the recipe's data, and
            a model of the run reads other tables so.

    Returns:
        `Recipe`.

    Raises:
        FileNotFoundError: when there is no such file.
        ValueError: with file, column and row, when the file is not such a
            table, or the target has not two classes.
    """
    bad = either(OWNER, bad=bad, positive=positive)
    reading = {key: _plain(one) for key, one in (reading or {}).items()}
    require(
        set(reading) <= {*READING, "text"},
        OWNER,
        f"`reading` must have some of {(*READING, 'text')}.",
        reading=reading,
    )
    schema = infer_table_schema(path, target, bad, drop=drop, **reading)
    kind = "parquet" if Path(path).suffix in (".parquet", ".pq") else "csv"
    name = f"{kind}:{Path(path).resolve()}"
    options = {"target": target, "drop": sorted(drop), **reading}
    data = load_dataset(name, **options, schema=schema)
    require(
        len(data.classes) == 2 and schema.target is not None,
        OWNER,
        "`target` must have two classes.",
        target=target,
        classes=data.classes[:5],
    )
    _check_folds(data, folds)
    worse = schema.target.bad if schema.target else bad
    positive = find_class(data.classes, worse)
    rows = len(data.train) + len(data.validation)
    batch = 64 if rows < SMALL else 256
    if epochs is None:
        epochs = max(FEWEST, min(MOST, UPDATES * batch // rows))
    slug = re.sub(r"[^a-z0-9]+", "_", Path(path).stem.lower()).strip("_")
    there = [one for one in INSTALLED if importlib.util.find_spec(one)]
    return Recipe.model_validate(
        {
            "name": slug or "table",
            "description": f"P({target} = {positive}) of the rows of a table.",
            "task": "risk",
            "data": {
                "name": name,
                "options": {**options, "positive": positive},
            },
            "builder": {
                "name": "risk",
                "arguments": {
                    "schema": schema.model_dump(mode="json"),
                    "bins": 8 if rows < SMALL else 32,
                    "experts": {
                        "linear": 1,
                        "low_rank": [
                            {
                                "num_experts": 16,
                                "hidden_units": [64, 64],
                                "dropout": 0.2,
                            }
                        ],
                    },
                    "forests": [
                        {
                            "kind": "hist_boosting",
                            "arguments": {
                                "max_iter": 200,
                                "learning_rate": 0.04,
                                "max_leaf_nodes": 15,
                                "l2_regularization": 5.0,
                            },
                        },
                        {
                            "kind": "extra_trees",
                            "arguments": {
                                "n_estimators": 100,
                                "min_samples_leaf": 10,
                                "max_features": 0.4,
                            },
                        },
                    ],
                },
            },
            "optimizer": {
                "name": "adamw",
                "learning_rate": 2e-3,
                "weight_decay": 0.01,
            },
            "schedule": {"name": "cosine"},
            "epochs": epochs,
            "batch_size": batch,
            "calibrate": True,
            "folds": folds,
            "out_of_fold": {"folds": INNER_FOLDS},
            "seeds": list(range(folds)),
            "baselines": [
                {"name": "uniform", "recombine": "uniform"},
                {"name": "scorecard_alone", "recombine": "linear"},
                {"name": "boosting_alone", "recombine": "forest_0"},
                *("logistic_bins", "random_forest", *there),
            ],
        }
    )


def _check_folds(data: Dataset, folds: int) -> None:
    """Refuse more folds than there are rows for, before any is trained."""
    labels = data.whole_train().labels
    rarest = min(int((labels == label).sum()) for label in (0, 1))
    require(
        is_count(folds)
        and 1 < folds <= rarest
        and rarest - math.ceil(rarest / folds) >= INNER_FOLDS,
        OWNER,
        "`folds` must be an integer above 1, and at most the rows of the "
        f"rarer class, of which {INNER_FOLDS} must be left to learn from.",
        folds=folds,
        rows_of_the_rarer_class=rarest,
    )


def _plain(value: Any) -> Any:
    """Lists where others are given, as a file holds them."""
    return value if isinstance(value, str) else sorted(value)
