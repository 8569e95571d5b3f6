"""A made-up table of loans, and what tests of risk models read from one."""

import numpy as np
import pandas as pd

from moe_keras.layers import TableColumns
from moe_keras.zoo.risk.builder import read_rows

TARGET = {"name": "risk", "values": ["bad", "good"], "bad": "bad"}


def make_loans(count, latest=6, age=False):
    """Numbers, a category, and who paid back: the late less often.

    Args:
        count: int, rows.
        latest: int, a loan is late by fewer months than that.
        age: whether there is a column that tells nothing.
    """
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "income": rng.normal(10, 3, count).round(1),
            "late": rng.integers(0, latest, count).astype(float),
            "home": rng.choice(["own", "rent"], count),
        }
    )
    if age:
        frame["age"] = rng.integers(20, 70, count)
    odds = np.exp(frame["late"] - latest / 3 - (frame["home"] == "own"))
    chance = odds / (1 + odds)
    frame["risk"] = np.where(rng.random(count) < chance, "bad", "good")
    return frame


def read(schema, frame):
    """The table of a schema, its labels, and its rows of numbers."""
    table = schema.check(frame)
    rows = read_rows(TableColumns(**schema.table_columns()), table)
    return table, schema.labels(frame), rows
