"""A small model of tables, its rows, and what it says of them."""

import keras
import numpy as np
import pandas as pd

from moe_keras.schema import RiskSchema
from moe_keras.zoo import build_risk_moe

SCHEMA = RiskSchema.model_validate(
    {
        "target": {"name": "risk", "values": ["good", "bad"], "bad": "bad"},
        "numeric": [
            {"name": "limit", "minimum": 0},
            {"name": "bill", "special": [-9]},
        ],
        "ordinal": [{"name": "grade", "levels": [1, 2, 3]}],
        "categorical": [{"name": "home", "levels": ["own", "rent"]}],
        "derived": [{"name": "used", "expression": "bill / limit"}],
    }
)
COLUMNS = ["limit", "bill", "grade", "home"]


def make_rows(count=60, seed=0):
    """Numbers in quarters, so that a file holds them exactly."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "name": [f"client {i}" for i in range(count)],
            "limit": rng.integers(400, 8000, count) / 4,
            "bill": np.where(
                rng.random(count) < 0.2, -9, rng.integers(0, 9000, count) / 4
            ),
            "grade": rng.integers(1, 4, count).astype(float),
            "home": rng.choice(["own", "rent"], count),
        }
    )
    frame.loc[3::7, "limit"] = np.nan
    frame.loc[5::11, "home"] = None
    frame.loc[2::13, "grade"] = np.nan
    return frame


def make_model(**options):
    """As it is before training, but for what would begin at 0."""
    keras.utils.set_random_seed(0)
    model = build_risk_moe(
        SCHEMA,
        make_rows(),
        **{"experts": {"linear": 1, "low_rank": 2}, **options},
    )
    rng = np.random.default_rng(1)
    for weight in model.trainable_weights:
        weight.assign(weight + 0.2 * rng.normal(size=weight.shape))
    return model


def columns_of(frame):
    """What a model reads, made by pandas alone."""
    return {
        **{n: frame[n].to_numpy("float32") for n in COLUMNS[:3]},
        "home": frame["home"].fillna("").to_numpy(dtype=object),
    }


def expect(model, frame):
    return model.predict(columns_of(frame), verbose=0)
