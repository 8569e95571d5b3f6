"""A column of any container to the values that models read.

A CSV file knows texts alone, Parquet and frames have types, and one of them may
hold in training what another holds in service. So there is one rule for what a
number, a level and a missing value are, and it is here.
"""

import datetime
import math
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import numpy as np

from moe_keras.tables.notation import WORDS, Notation, clean

NUMBERS = (int, float, np.number, np.bool_, Decimal)
DATES = (
    *(datetime.date, datetime.time, datetime.timedelta),
    *(np.datetime64, np.timedelta64),
)


def missing_in(values: np.ndarray) -> np.ndarray:
    """Where there is no value: None, NaN, or pandas' own."""
    # Here, so that a list of names does not wait for pandas.
    import pandas as pd

    missing: np.ndarray = pd.isna(values)
    return missing


def as_numbers(
    column: np.ndarray, notation: Notation
) -> tuple[np.ndarray, np.ndarray]:
    """A column as numbers.

    Args:
        column: `(N,)` of any type.
        notation: of the texts in it.

    Returns:
        float64 `(N,)`, NaN where missing, 1 and 0 of booleans; and bool `(N,)`,
        where a value is no number.
    """
    if column.dtype.kind in "biuf":
        return column.astype("float64"), np.zeros(len(column), bool)
    cells = column.astype(object, copy=False)
    if _are_texts(cells):
        return _in_writing(cells, notation)
    values = np.full(len(cells), np.nan)
    wrong = np.zeros(len(cells), bool)
    texts = np.array([isinstance(one, str) for one in cells], dtype=bool)
    values[texts], wrong[texts] = _in_writing(cells[texts], notation)
    others = np.flatnonzero(~texts & ~missing_in(cells))
    for place in others:
        if isinstance(cells[place], NUMBERS):
            values[place] = float(cells[place])
        else:
            wrong[place] = True
    return values, wrong


def _are_texts(cells: np.ndarray) -> bool:
    """Whether all cells are texts, and none is missing."""
    import pandas as pd

    kind: str = pd.api.types.infer_dtype(cells, skipna=False)
    return kind == "string"


def _in_writing(
    cells: np.ndarray, notation: Notation
) -> tuple[np.ndarray, np.ndarray]:
    import pandas as pd

    values = np.full(len(cells), np.nan)
    if notation.is_plain:
        # Much the most are seen at once to be numbers.
        values = np.asarray(
            pd.to_numeric(cells, errors="coerce"), dtype="float64"
        ).copy()
    wrong = np.zeros(len(cells), bool)
    # Of these, most are no numbers anyway.
    marks = {mark for mark in notation.marks if _is_finite(mark)}
    doubtful = np.isnan(values)
    if marks:
        doubtful |= np.isin(cells, np.array([*marks], dtype=object))
    said = {cell: notation.read_number(cell) for cell in set(cells[doubtful])}
    for place in np.flatnonzero(doubtful):
        number = said[cells[place]]
        wrong[place] = number is None
        values[place] = np.nan if number is None else number
    return values, wrong


def _is_finite(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def as_texts(
    column: np.ndarray, notation: Notation, levels: Sequence[str] = ()
) -> tuple[np.ndarray, np.ndarray]:
    """A column as texts.

    A text that is a level is that level, whatever stands for a missing value
    elsewhere. A number is the level that is written so, or that is the same
    number; true and false are the levels that say so.

    Args:
        column: `(N,)` of any type.
        notation: of what is missing.
        levels: that are known; without any, a number is how it is written.

    Returns:
        objects `(N,)` of `str`, "" where missing; and bool `(N,)`, where a
        value is no text.
    """
    reader = _Texts(notation, levels)
    cells = column.astype(object, copy=False)
    wrong = np.zeros(len(cells), bool)
    if _are_texts(cells):
        # Few are different, and each of them is one object then.
        known = {cell: reader.of_text(cell) for cell in set(cells)}
        return np.array([known[cell] for cell in cells], object), wrong
    found = np.full(len(cells), "", dtype=object)
    missing = missing_in(cells)
    for place, cell in enumerate(cells):
        if missing[place]:
            continue
        text = reader.of_other(cell)
        wrong[place] = text is None
        found[place] = text or ""
    return found, wrong


class _Texts:
    """What single cells are, in a column with these levels."""

    def __init__(self, notation: Notation, levels: Sequence[str]):
        self.marks = notation.marks
        self.levels = dict(zip(levels, levels, strict=True))
        self.plain = {clean(level): level for level in reversed(levels)}
        self.words = {clean(level).lower(): level for level in levels}
        if not set(self.words) <= set(WORDS):
            self.words = {}
        self.numbers: dict[float, list[str]] = {}
        for level in levels:
            if _is_finite(level):
                self.numbers.setdefault(float(level), []).append(level)

    def of_text(self, cell: str) -> str:
        if cell in self.levels:
            return cell
        text = clean(cell)
        if text in self.plain:
            return self.plain[text]
        return "" if text in self.marks else self.words.get(text.lower(), text)

    def of_other(self, cell: Any) -> str | None:
        import pandas as pd

        if isinstance(cell, bool | np.bool_):
            text = str(bool(cell))
            return self.of_text(text) if self._has(text) else None
        if isinstance(cell, NUMBERS):
            return self._of_number(cell)
        if isinstance(cell, pd.Interval | str):
            return self.of_text(str(cell))
        return None

    def _has(self, text: str) -> bool:
        """Whether it is a level, or all is one that is no date or such."""
        return not self.levels or text in self.plain or bool(self.words)

    def _of_number(self, cell: Any) -> str | None:
        text = write_number(cell)
        if not self.levels or text in self.plain:
            return self.plain.get(text, text)
        same = self.numbers.get(float(cell), [])
        if len(same) == 1:
            return same[0]
        if self.words and float(cell) in WORDS.values():
            return self.of_text(str(bool(cell)))
        # Codes, of which this one was not seen; or words, and a mistake.
        codes = sum(map(len, self.numbers.values()))
        return text if codes == len(self.levels) else None


def write_number(cell: Any) -> str:
    """A number as a text, its last digit behind the point no 0."""
    if isinstance(cell, int | np.integer):
        return str(int(cell))
    return np.format_float_positional(float(cell), trim="-")
