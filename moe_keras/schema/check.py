"""Columns of a table as arrays, or an error with column and row."""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

import numpy as np

from moe_keras.errors import require
from moe_keras.schema.columns import Categorical, Numeric, Ordinal, Target

_NUMBERS = (int, float, np.number, np.bool_, Decimal)


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
            isinstance(name, str) or names is not None,
            owner,
            "the name of a column must be a text.",
            column=name,
        )
    table = {}
    for name in there if names is None else names:
        require(name in there, owner, "a column is missing.", column=name)
        table[name] = _array(owner, name, frame[name])
    rows = {len(values) for values in table.values()}
    require(
        len(rows) < 2,
        owner,
        "all columns must have the same rows.",
        rows={name: len(values) for name, values in table.items()},
    )
    return table


def check_column(
    owner: str, column: Numeric | Ordinal | Categorical, values: np.ndarray
) -> np.ndarray:
    """The values of a raw column, as a model reads them.

    Args:
        owner: whom to name in errors.
        column: what is said of it.
        values: `(N,)`.

    Returns:
        float64 `(N,)`, NaN where missing, or objects of `str`, "" where
        missing.
    """
    name = column.name
    if isinstance(column, Numeric):
        numbers = read_numbers(owner, name, values)
        if column.outside == "error":
            _check_range(owner, column, numbers)
        return numbers
    if isinstance(column.levels[0], str):
        found = read_texts(owner, name, values)
        # As objects: NumPy's own texts lose a NUL at their end.
        known = np.array(["", *column.levels], dtype=object)
        wrong = ~np.isin(found, known)
    else:
        found = read_numbers(owner, name, values)
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
    found = (read_texts if texts else read_numbers)(owner, name, values)
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


def read_numbers(owner: str, name: str, values: np.ndarray) -> np.ndarray:
    """Float64 `(N,)`, NaN where missing."""
    if values.dtype.kind == "O":
        missing = missing_in(values)
        wrong = np.array(
            [not isinstance(one, _NUMBERS) for one in values], dtype=bool
        )
        rule = "a number belongs where another value stands."
        refuse_rows(owner, name, values, wrong & ~missing, rule)
        values = np.where(missing, np.nan, values)
    else:
        require(
            values.dtype.kind in "biuf",
            owner,
            "a column must hold numbers.",
            column=name,
            row=1,
            dtype=values.dtype.name,
        )
    found: np.ndarray = values.astype("float64")
    with np.errstate(over="ignore"):
        infinite = np.isinf(found.astype("float32"))
    rule = "numbers must be finite in float32."
    refuse_rows(owner, name, found, infinite, rule)
    return found


def read_texts(owner: str, name: str, values: np.ndarray) -> np.ndarray:
    """Objects `(N,)` of `str`, "" where missing."""
    missing = missing_in(values)
    values = values.astype(object)
    wrong = np.array([not isinstance(one, str) for one in values], dtype=bool)
    rule = "a text belongs where another value stands."
    refuse_rows(owner, name, values, wrong & ~missing, rule)
    values[missing] = ""
    return values


def missing_in(values: np.ndarray) -> np.ndarray:
    """Where there is no value: None, NaN, or pandas' own."""
    # Here, so that a list of names does not wait for pandas.
    import pandas as pd

    missing: np.ndarray = pd.isna(values)
    return missing


def refuse_rows(
    owner: str, name: str, values: np.ndarray, wrong: np.ndarray, rule: str
) -> None:
    """Refuse the first row that is wrong, if one is; rows count from 1."""
    if wrong.any():
        place = int(np.argmax(wrong))
        value = values[place]
        value = value.item() if isinstance(value, np.generic) else value
        raise RowError(owner, rule, place, name, value)


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
