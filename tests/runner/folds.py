"""A small table, and a recipe that is cross-validated on it."""

import numpy as np
import yaml

from moe_keras.schema import infer_schema
from moe_keras.training import Recipe
from tests.loans import make_loans

COUNT = 240


def make_table():
    """Numbers with gaps, categories, and who paid back."""
    frame = make_loans(COUNT, age=True)
    frame.loc[::7, "income"] = np.nan
    return frame


NETWORKS = {
    "linear": 1,
    "low_rank": [{"num_experts": 2, "hidden_units": [8, 4]}],
}
TREES = [
    {"kind": "extra_trees", "arguments": {"n_estimators": 4}},
    {"kind": "hist_boosting", "arguments": {"max_iter": 5}},
]


def make_recipe(folder, experts=(), **changes):
    """The recipe of the table, which is written to a folder."""
    frame = make_table()
    frame.to_csv(folder / "loans.csv", index=False)
    schema = infer_schema(frame, "risk", "bad").model_dump(mode="json")
    schema["protected"] = ["age", "home"]
    values = {
        "name": "loans",
        "task": "risk",
        "data": {
            "name": "csv:loans.csv",
            "options": {"target": "risk", "positive": "bad"},
        },
        "builder": {
            "name": "risk",
            "arguments": {
                "schema": schema,
                "experts": dict(experts),
                "forests": TREES,
            },
        },
        "optimizer": {
            "name": "adamw",
            "learning_rate": 0.01,
            "weight_decay": 0.01,
        },
        "schedule": {"name": "cosine"},
        "epochs": 2,
        "calibrate": True,
        "folds": 3,
        "out_of_fold": {"folds": 2, "gate_epochs": 1},
        "batch_size": 64,
        "seeds": [0, 1, 2],
    }
    # As a file has it.
    return Recipe.model_validate(
        yaml.safe_load(yaml.safe_dump(values)) | changes
    )
