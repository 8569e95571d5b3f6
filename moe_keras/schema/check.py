"""Columns of a table as arrays, or an error with column and row."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from moe_keras.errors import require
from moe_keras.schema.columns import Categorical, Numeric, Ordinal, Target
from moe_keras.tables.cells import (
    DATES,
    as_numbers,
    as_texts,
)
from moe_keras.tables.names import find_name, plain_name
from moe_keras.tables.notation import Notation, suggest_notation
from moe_keras.tables.source import Chunk, Source, at

Column = Numeric | Ordinal | Categorical
# Of what another program has read already.
USUAL = Notation()


class RowError(ValueError):
    """A value that is refused.

    Attributes:
        owner: the class or function that was called.
        rule: a sentence that says what must hold.
        place: of its row, counted from 0.
        column: its name.
        value: the value.
    """

    def __init__(
        self, owner: str, rule: str, place: int, column: str, value: Any
    ):
        self.owner, self.rule, self.place = owner, rule, place
        self.column, self.value = column, value
        super().__init__(
            f"{owner}: {rule} Received: column={column!r}, row={place + 1}, "
            f"value={value!r}"
        )

    def __reduce__(self) -> Any:
        # By its text alone, it could not be made again in another process.
        parts = self.owner, self.rule, self.place, self.column, self.value
        return type(self), parts


def read_table(
    owner: str, frame: Any, names: Sequence[str] | None = None
) -> dict[str, np.ndarray]:
    """Columns of a data frame or of a dict of arrays.

    Args:
        owner: whom to name in errors.
        frame: a pandas data frame, or a dict of arrays `(N,)` or `(N, 1)`.
        names: the columns to read; None for all.

    Returns:
        Arrays `(N,)` by name, in the order of `names`.

    Raises:
        ValueError: for what is no table, a column that is missing or there
            twice, and columns of different lengths.
    """
    is_frame = hasattr(frame, "columns") and hasattr(frame, "iloc")
    require(
        is_frame or isinstance(frame, Mapping),
        owner,
        "a table must be a data frame, or a dict of arrays by name.",
        frame=type(frame).__name__,
    )
    there = list(frame.columns if is_frame else frame)
    for place, name in enumerate(there):
        require(
            name not in there[:place],
            owner,
            f"columns {there.index(name) + 1} and {place + 1} have one name.",
            column=name,
        )
        require(
            names is not None or (isinstance(name, str) and plain_name(name)),
            owner,
            "the name of a column must be a text, and not empty.",
            column=name,
            place=place + 1,
        )
    table = {}
    for name in there if names is None else names:
        found = find_name(name, there)
        require(found is not None, owner, "a column is missing.", column=name)
        table[name] = _array(owner, name, frame[found])
    rows = {len(values) for values in table.values()}
    require(
        len(rows) < 2,
        owner,
        "all columns must have the same rows.",
        rows={name: len(values) for name, values in table.items()},
    )
    return table


def check_column(
    owner: str,
    column: Column,
    values: np.ndarray,
    notation: Notation = USUAL,
) -> np.ndarray:
    """The values of a raw column, as a model reads them.

    Args:
        owner: whom to name in errors.
        column: what is said of it.
        values: `(N,)`.
        notation: of texts that are numbers or stand for a missing value.

    Returns:
        float64 `(N,)`, NaN where missing, or objects of `str`, "" where
        missing.
    """
    name = column.name
    if isinstance(column, Numeric):
        numbers = read_numbers(owner, name, values, notation)
        if column.outside == "error":
            _check_range(owner, column, numbers)
        return numbers
    if isinstance(column.levels[0], str):
        texts = [str(level) for level in column.levels]
        found = read_texts(owner, name, values, texts, notation)
        # As objects: NumPy's own texts lose a NUL at their end.
        known = np.array(["", *column.levels], dtype=object)
        wrong = ~np.isin(found, known)
    else:
        found = read_numbers(owner, name, values, notation)
        levels = np.asarray(column.levels, "float32")
        wrong = ~np.isin(found.astype("float32"), levels) & ~np.isnan(found)
    if column.unseen == "error":
        rule = f"a value is none of the levels {column.levels}."
        refuse_rows(owner, name, found, wrong, rule)
    return found


def check_labels(
    owner: str,
    target: Target,
    values: np.ndarray,
    one_class: bool,
    unknown: bool = False,
) -> np.ndarray:
    """Int64 `(N,)`, 1 where the target is bad; -1 where missing, if it may."""
    name = target.name
    texts = isinstance(target.bad, str)
    if texts:
        classes = [str(value) for value in target.values]
        found = read_texts(owner, name, values, classes)
    else:
        found = read_numbers(owner, name, values)
    missing = found == "" if texts else np.isnan(found)
    if not unknown:
        rule = "a value of the target is missing."
        refuse_rows(owner, name, found, missing, rule)
    wrong = ~np.isin(found, np.array(target.values, dtype=found.dtype))
    rule = f"a value is none of the target's {target.values}."
    refuse_rows(owner, name, found, wrong & ~missing, rule)
    labels: np.ndarray = (found == target.bad).astype("int64")
    known = labels[~missing]
    require(
        one_class or not len(labels) or len(np.unique(known)) > 1,
        owner,
        "all rows are of one class.",
        column=name,
        rows=len(known),
        bad=int(known.sum()),
    )
    labels[missing] = -1
    return labels


def read_numbers(
    owner: str, name: str, values: np.ndarray, notation: Notation = USUAL
) -> np.ndarray:
    """Float64 `(N,)`, NaN where missing."""
    _refuse_types(owner, name, values, "a column must hold numbers.")
    found, wrong = as_numbers(values, notation)
    if wrong.any():
        _refuse_text(owner, name, values, wrong, notation)
    with np.errstate(over="ignore"):
        infinite = np.isinf(found.astype("float32"))
    rule = "numbers must be finite in float32."
    refuse_rows(owner, name, found, infinite, rule)
    return found


def read_texts(
    owner: str,
    name: str,
    values: np.ndarray,
    levels: Sequence[str] = (),
    notation: Notation = USUAL,
) -> np.ndarray:
    """Objects `(N,)` of `str`, "" where missing."""
    found, wrong = as_texts(values, notation, levels)
    rule = "a text belongs where another value stands."
    refuse_rows(owner, name, values, wrong, rule)
    return found


def _refuse_types(owner: str, name: str, values: np.ndarray, rule: str) -> None:
    require(
        values.dtype.kind in "biufOU",
        owner,
        rule,
        column=name,
        row=1,
        dtype=values.dtype.name,
    )


def _refuse_text(
    owner: str,
    name: str,
    values: np.ndarray,
    wrong: np.ndarray,
    notation: Notation,
) -> None:
    """Say what stands where a number belongs, and what may be meant."""
    value = values[int(np.argmax(wrong))]
    rule = "a number belongs where another value stands."
    if isinstance(value, str):
        rule = f"a number belongs where {str(value)!r} stands."
        if options := suggest_notation([value]):
            what = "for this decimal mark"
            if "thousands" in options:
                what = "for numbers written so"
            rule = f"{rule[:-1]}; {what}, give {options}."
        elif not any(map(str.isalnum, value)) or value.startswith("#"):
            rule = f"{rule[:-1]}; if it is a missing value, say so (`missing`)."
    elif isinstance(value, DATES):
        rule = f"{rule[:-1]}: make numbers of dates, or leave the column out."
    refuse_rows(owner, name, values, wrong, rule)


def refuse_rows(
    owner: str, name: str, values: np.ndarray, wrong: np.ndarray, rule: str
) -> None:
    """Refuse the first row that is wrong, if one is; rows count from 1."""
    if wrong.any():
        place = int(np.argmax(wrong))
        value = values[place]
        value = value.item() if isinstance(value, np.generic) else value
        raise RowError(owner, rule, place, name, value)


def refuse_in_file(error: RowError, source: Source, chunk: Chunk) -> None:
    """Say where in the file a value is that was refused.

    Args:
        error: what a schema said of the chunk.
        source: the table.
        chunk: some of its rows.
    """
    place = at(source, error.column, chunk, error.place)
    if repr(error.value) not in error.rule:
        place["value"] = error.value
    require(False, source.owner, error.rule, **place)


def _array(owner: str, name: str, column: Any) -> np.ndarray:
    values: np.ndarray
    if hasattr(column, "to_numpy"):
        # What is no type of NumPy's own becomes objects, its missing values
        # too.
        plain = isinstance(column.dtype, np.dtype)
        values = column.to_numpy() if plain else column.to_numpy(dtype=object)
    else:
        values = np.asarray(column)
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    require(
        values.ndim == 1,
        owner,
        "a column must be (N,) or (N, 1).",
        column=name,
        shape=values.shape,
    )
    return values


def _check_range(owner: str, column: Numeric, numbers: np.ndarray) -> None:
    narrow = numbers.astype("float32")
    special = np.isin(narrow, np.asarray(column.special, "float32"))
    for bound, beyond in (
        ("minimum", np.less),
        ("maximum", np.greater),
    ):
        limit = getattr(column, bound)
        if limit is not None:
            wrong = beyond(narrow, np.float32(limit)) & ~special
            rule = f"a value is beyond the {bound} {limit:g}."
            refuse_rows(owner, column.name, numbers, wrong, rule)
