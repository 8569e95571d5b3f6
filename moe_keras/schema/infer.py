"""A first schema of a table, from its values."""

import warnings
from collections.abc import Collection
from typing import Any

import numpy as np

from moe_keras.errors import either, require
from moe_keras.schema.check import (
    missing_in,
    read_numbers,
    read_table,
    read_texts,
    refuse_rows,
)
from moe_keras.schema.columns import Categorical, Numeric, Ordinal, Target
from moe_keras.schema.risk_schema import RiskSchema

OWNER = "infer_schema"
MOST_CLASSES = 20
# Of fewer rows, that all values differ says nothing.
FEWEST_IDS = 20


def infer_schema(
    frame: Any,
    target: str | None,
    bad: Any = None,
    *,
    positive: Any = None,
    drop: Collection[str] = (),
    few: int = 5,
    most_levels: int = 255,
) -> RiskSchema:
    """A schema of a table, to be read and edited by whoever knows the table.

    Numbers are numeric columns; those of them with two values, or with `few`
    different integers at most, categorical ones. Texts are categorical, their
    levels sorted. Ordered categories of pandas are ordinal. What is missing
    stays so: no value is taken for a special one, no range and no sign is
    guessed.

    A column without any value, or with one value and nothing missing, tells
    nothing: it is left out, with a warning.

    Args:
        frame: a pandas data frame, or a dict of arrays `(N,)` by name.
        target: the column to predict, None for none.
        bad: which value of it is bad: the one whose probability a model gives.
            Defaults to the larger one of two numbers.
        positive: the same as `bad`, for a target of which no value is bad: a
            churn, a diagnosis, a sale.
        drop: columns that the model is not to read.
        few: int >= 0.
        most_levels: int > 0. Texts with more levels are refused.

    Returns:
        `RiskSchema`.

    Raises:
        ValueError: with the column, and the row where there is one, for dates,
            values of several types, infinite values, texts or a run of
            integers that differ in all rows, as ids do, texts with too many
            levels, and a target that is missing, of one class or of too many,
            or whose bad value is neither given nor plain.
    """
    bad = either(OWNER, bad=bad, positive=positive)
    table = read_table(OWNER, frame)
    for name in (*([] if target is None else [target]), *drop):
        require(name in table, OWNER, "there is no such column.", column=name)
    found: dict[type, list[Any]] = {Numeric: [], Ordinal: [], Categorical: []}
    for name, values in table.items():
        if name == target or name in drop:
            continue
        ordered = _ordered_levels(frame, name)
        if ordered:
            found[Ordinal].append(Ordinal(name=name, levels=ordered))
            continue
        column = _column(name, values, few, most_levels)
        if column is not None:
            found[type(column)].append(column)
    return RiskSchema(
        target=None if target is None else _target(target, table[target], bad),
        numeric=found[Numeric],
        ordinal=found[Ordinal],
        categorical=found[Categorical],
    )


def _column(
    name: str, values: np.ndarray, few: int, most_levels: int
) -> Numeric | Categorical | None:
    """What a column is; None for one that tells nothing."""
    missing = missing_in(values)
    if missing.all():
        _left_out(name, "has no value")
        return None
    texts = _are_texts(name, values, missing)
    read = read_texts if texts else read_numbers
    values = read(OWNER, name, values)
    missing = values == "" if texts else np.isnan(values)
    levels = np.unique(values[~missing])
    if len(levels) == 0:
        _left_out(name, "has no value")
        return None
    if len(levels) == 1 and not missing.any():
        _left_out(name, f"has one value only, {levels[0]!r}")
        return None
    _refuse_ids(name, levels, int((~missing).sum()), texts)
    if texts:
        require(
            len(levels) <= most_levels,
            OWNER,
            f"a column has more than {most_levels} levels: name it in `drop`, "
            "or join levels.",
            column=name,
            levels=len(levels),
        )
        return Categorical(name=name, levels=levels.tolist())
    whole = bool(np.all(levels == np.round(levels)))
    if len(levels) <= 2 or (whole and len(levels) <= few):
        return Categorical(name=name, levels=_plain(levels))
    return Numeric(name=name)


def _are_texts(name: str, values: np.ndarray, missing: np.ndarray) -> bool:
    """By the first value; `read_texts` and `read_numbers` check the others."""
    kind = values.dtype.kind
    if kind in "OU":
        return isinstance(values[~missing][0], str)
    require(
        kind in "biuf",
        OWNER,
        "a column must hold numbers or texts: make numbers of dates, or name "
        "the column in `drop`.",
        column=name,
        row=1,
        dtype=values.dtype.name,
    )
    return False


def _refuse_ids(name: str, levels: np.ndarray, count: int, texts: bool) -> None:
    run = not texts and levels[-1] - levels[0] == len(levels) - 1
    whole = run and bool(np.all(levels == np.round(levels)))
    require(
        count < FEWEST_IDS or len(levels) < count or not (texts or whole),
        OWNER,
        "a column has another value in each row, as ids have: name it in "
        "`drop`.",
        column=name,
        first=levels[0].item()
        if isinstance(levels[0], np.generic)
        else levels[0],
        rows=count,
    )


def _ordered_levels(frame: Any, name: str) -> list[Any]:
    """Of an ordered category of pandas, the levels from low to high."""
    dtype = getattr(frame[name], "dtype", None)
    if not getattr(dtype, "ordered", False):
        return []
    levels = list(getattr(dtype, "categories", []))
    if levels and not isinstance(levels[0], str):
        return _plain(np.asarray(levels, "float64"))
    return levels


def _target(name: str, values: np.ndarray, bad: Any) -> Target:
    missing = missing_in(values)
    rule = "a value of the target is missing."
    refuse_rows(OWNER, name, values, missing, rule)
    require(len(values), OWNER, "the table has no row.", column=name)
    texts = _are_texts(name, values, missing)
    values = (read_texts if texts else read_numbers)(OWNER, name, values)
    levels = np.unique(values)
    plain = levels.tolist() if texts else _plain(levels)
    require(
        1 < len(plain) <= MOST_CLASSES,
        OWNER,
        f"the target must have 2 to {MOST_CLASSES} classes.",
        column=name,
        classes=len(plain),
        first=plain[0],
    )
    if bad is None:
        require(
            len(plain) == 2 and not texts,
            OWNER,
            "`positive` (or `bad`, which is the same) must say which value of "
            "the target a model is to give the probability of.",
            column=name,
            values=plain,
        )
        bad = plain[-1]
    require(
        bad in plain,
        OWNER,
        "`positive` (or `bad`, which is the same) is no value of the target.",
        positive=bad,
        values=plain,
    )
    return Target(name=name, values=plain, bad=plain[plain.index(bad)])


def _plain(levels: np.ndarray) -> list[Any]:
    """Integers where they are whole."""
    if np.all(levels == np.round(levels)):
        return [int(one) for one in levels]
    return [float(one) for one in levels]


def _left_out(name: str, why: str) -> None:
    warnings.warn(
        f"{OWNER}: column {name!r} {why} and is left out of the schema.",
        stacklevel=4,
    )
