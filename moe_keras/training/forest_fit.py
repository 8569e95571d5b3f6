"""Fit classifiers of trees of other libraries as experts of a table."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from sklearn.base import clone

from moe_keras.layers import ForestExpert, TableColumns
from moe_keras.schema import RiskSchema
from moe_keras.training.few_threads import threads_for
from moe_keras.zoo.risk.builder import read_rows
from moe_keras.zoo.risk.experts import Columns

OWNER = "fit_risk_moe"


def fit_forests(
    schema: RiskSchema,
    table: Any,
    labels: np.ndarray,
    forests: Sequence[Any],
    seed: int = 0,
) -> list[ForestExpert]:
    """Fit classifiers of trees to the rows of a table, as experts.

    Args:
        schema: what the columns are.
        table: as `RiskSchema.check` returns it.
        labels: int `(N,)`.
        forests: with scikit-learn's interface; they are cloned.
        seed: int >= 0, where they have a `random_state`.

    Returns:
        A `ForestExpert` for each, monotone where the schema asks.
    """
    reader = TableColumns(**schema.table_columns())
    columns = Columns(reader.row_names, reader.levels, schema.row_monotone())
    read = columns.signed
    signs = [columns.monotone.signs[place] for place in read]
    rows = read_rows(reader, table)[:, read]
    banks = []
    for number, forest in enumerate(forests):
        fitted = clone(forest)
        known = fitted.get_params()
        options: dict[str, Any] = {}
        if "random_state" in known and known["random_state"] is None:
            options["random_state"] = seed
        if any(signs):
            options |= _constraints(known, signs, number)
        with threads_for(len(rows)):
            fitted.set_params(**options).fit(rows, labels)
        banks.append(
            ForestExpert.from_model(
                fitted, columns=read, name=f"forest_{number}"
            )
        )
    return banks


def _constraints(
    known: Mapping[str, Any], signs: list[int], number: int
) -> dict[str, Any]:
    """The monotone constraints, by the name that the library has for them."""
    for name in ("monotonic_cst", "monotone_constraints"):
        if name in known:
            return {name: signs}
    # LightGBM and CatBoost list only what has been set.
    raise ValueError(
        f"{OWNER}: `forests` must take monotone constraints, as the schema "
        "has monotone columns; to LightGBM and CatBoost, give "
        f"`monotone_constraints=[]` for them. Received: forest={number}"
    )
