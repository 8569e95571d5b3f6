"""A first schema of a table, from its values."""

import warnings
from collections.abc import Collection
from typing import Any

import numpy as np
from pydantic import ValidationError

from moe_keras.errors import either, require
from moe_keras.schema.check import (
    read_numbers,
    read_table,
    read_texts,
    refuse_rows,
)
from moe_keras.schema.columns import Categorical, Numeric, Ordinal, Target
from moe_keras.schema.risk_schema import RiskSchema
from moe_keras.tables.cells import DATES, NUMBERS, missing_in
from moe_keras.tables.kinds import OF_A_FRAME, TextKind, check_kinds
from moe_keras.tables.names import INDEX
from moe_keras.tables.notation import Notation

OWNER = "infer_schema"
MOST_CLASSES = 20
# Of fewer rows, that all values differ says nothing.
FEWEST_IDS = 20
# What another program has read already: "NA" in it is a text.
TYPED = Notation(missing=())


def infer_schema(
    frame: Any,
    target: str | None,
    bad: Any = None,
    *,
    positive: Any = None,
    drop: Collection[str] = (),
    text: Collection[str] = (),
    few: int = 5,
    most_levels: int = 255,
) -> RiskSchema:
    """A schema of a table, to be read and edited by whoever knows the table.

    Numbers are numeric columns; those of them with two values, or with `few`
    different integers at most, categorical ones. Texts are categorical, their
    levels sorted; so are the intervals of `pandas.cut`, in writing. Ordered
    categories of pandas are ordinal. What is missing stays so: no value is
    taken for a special one, no range and no sign is guessed.

    A column without any value, or with one value and nothing missing, tells
    nothing: it is left out, with a warning. So is an index that was written as
    a column without a name.

    Args:
        frame: a pandas data frame, or a dict of arrays `(N,)` by name.
        target: the column to predict, None for none.
        bad: which value of it is bad: the one whose probability a model gives.
            Defaults to the larger one of two numbers.
        positive: the same as `bad`, for a target of which no value is bad: a
            churn, a diagnosis, a sale.
        drop: columns that the model is not to read.
        text: columns to take as texts, such as codes that look like numbers.
        few: int >= 0.
        most_levels: int > 0. Texts with more levels are refused.

    Returns:
        `RiskSchema`.

    Raises:
        ValueError: with the column, and the row where there is one, for dates,
            values of several types, infinite values, texts or a run of
            integers that differ in all rows, as ids do, texts of which half
            are numbers, texts with too many levels, and a target that is
            missing, of one class or of too many, or whose bad value is neither
            given nor plain.
    """
    bad = either(OWNER, bad=bad, positive=positive)
    table = read_table(OWNER, frame)
    given = {"column": target} if target is not None else {}
    for name in (*given.values(), *drop, *text):
        require(name in table, OWNER, "there is no such column.", column=name)
    found: dict[type, list[Any]] = {Numeric: [], Ordinal: [], Categorical: []}
    kinds, left_out = [], []
    for place, (name, values) in enumerate(table.items()):
        if name == target or name in drop:
            continue
        if name in INDEX and (name != INDEX[0] or place == 0):
            _left_out(name, "is the table's index")
            continue
        column: Numeric | Ordinal | Categorical | None = _ordered(frame, name)
        if column is None and name not in text:
            kind = _kind_of(name, values)
            kinds += [kind] if kind.others else []
        if column is None:
            column = _column(name, values, few, most_levels, name in text)
        if column is None:
            left_out.append(name)
        else:
            found[type(column)].append(column)
    check_kinds(OWNER, kinds, OF_A_FRAME)
    said = None if target is None else _target(target, table[target], bad)
    require(
        any(found.values()),
        OWNER,
        "there must be a column that tells something: each has no value, or "
        "one value in all rows, or is not to be read.",
        left_out=left_out,
        drop=sorted(drop),
    )
    try:
        return RiskSchema(
            target=said,
            numeric=found[Numeric],
            ordinal=found[Ordinal],
            categorical=found[Categorical],
        )
    except ValidationError as error:
        faults = error.errors(include_url=False)
        reasons = [one["msg"].removeprefix("Value error, ") for one in faults]
        raise ValueError(f"{OWNER}: {'; '.join(reasons)}") from None


def _column(
    name: str, values: np.ndarray, few: int, most_levels: int, text: bool
) -> Numeric | Categorical | None:
    """What a column is; None for one that tells nothing."""
    missing = missing_in(values)
    if missing.all():
        _left_out(name, "has no value")
        return None
    texts = text or _are_texts(name, values, missing)
    read = read_own_texts if texts else read_numbers
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
            such_as=levels[:3].tolist(),
        )
        return Categorical(name=name, levels=levels.tolist())
    whole = bool(np.all(levels == np.round(levels)))
    if len(levels) <= 2 or (whole and len(levels) <= few):
        _refuse_close(name, levels)
        return Categorical(name=name, levels=_plain(levels))
    return Numeric(name=name)


def read_own_texts(owner: str, name: str, values: np.ndarray) -> np.ndarray:
    """Texts of a table with types: no text of them stands for a missing one."""
    return read_texts(owner, name, values, (), TYPED)


def _are_texts(name: str, values: np.ndarray, missing: np.ndarray) -> bool:
    """By the first value; `read_numbers` checks the others."""
    dates = "a column must hold numbers or texts: make numbers of dates, or "
    dates += "name the column in `drop`."
    kind = values.dtype.kind
    if kind not in "OU":
        where = {"column": name, "row": 1, "dtype": values.dtype.name}
        require(kind in "biuf", OWNER, dates, **where)
        return False
    first = values[~missing][0]
    refuse_rows(
        *(OWNER, name, values),
        np.array([isinstance(one, DATES) for one in values]) & ~missing,
        dates,
    )
    texts = not isinstance(first, NUMBERS)
    if texts:
        wrong = [isinstance(one, NUMBERS) for one in values]
        rule = "a text belongs where another value stands."
        refuse_rows(OWNER, name, values, np.array(wrong) & ~missing, rule)
    else:
        wrong = [isinstance(one, str) for one in values]
        rule = "a number belongs where another value stands."
        refuse_rows(OWNER, name, values, np.array(wrong) & ~missing, rule)
    return texts


def _kind_of(name: str, values: np.ndarray) -> TextKind:
    """What the texts of a column are, if it has any."""
    kind = TextKind(name)
    if values.dtype.kind in "OU":
        cells = np.array(
            [one if isinstance(one, str) else None for one in values], object
        )
        kind.add(cells, TYPED, lambda place: place + 1)
    return kind


def _refuse_close(name: str, levels: np.ndarray) -> None:
    """Refuse codes that a model could not tell apart."""
    close = np.diff(levels.astype("float32")) == 0
    place = int(np.argmax(close)) if close.any() else 0
    require(
        not close.any(),
        OWNER,
        "codes are the same number in float32: name the column in `text`.",
        column=name,
        codes=_plain(levels[place : place + 2]),
    )


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


def _ordered(frame: Any, name: str) -> Ordinal | None:
    """Of an ordered category of pandas, its levels from low to high."""
    dtype = getattr(frame[name], "dtype", None)
    levels = np.array([*getattr(dtype, "categories", [])], dtype=object)
    if not getattr(dtype, "ordered", False) or not len(levels):
        return None
    if _are_texts(name, levels, np.zeros(len(levels), bool)):
        texts = read_own_texts(OWNER, name, levels)
        return Ordinal(name=name, levels=texts.tolist())
    numbers = read_numbers(OWNER, name, levels)
    _refuse_close(name, np.sort(numbers))
    return Ordinal(name=name, levels=_plain(numbers))


def _target(name: str, values: np.ndarray, bad: Any) -> Target:
    missing = missing_in(values)
    rule = "a value of the target is missing."
    refuse_rows(OWNER, name, values, missing, rule)
    require(len(values), OWNER, "the table has no row.", column=name)
    texts = _are_texts(name, values, missing)
    values = (read_own_texts if texts else read_numbers)(OWNER, name, values)
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
