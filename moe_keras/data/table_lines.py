"""Lines of plain CSV to columns, all at once: no quotes, no doubt."""

import io
import math
from collections.abc import Collection, Sequence
from typing import TextIO

import numpy as np

# Of lines that are held at once: a piece of a wide table is of fewer rows.
MOST_CHARACTERS = 2**24


class Lines:
    """The lines of a file, with their number; some can be given back.

    Args:
        file: opened with `newline=""`.
    """

    def __init__(self, file: TextIO):
        self._file = file
        self._back: list[str] = []
        self.count = 0

    def __iter__(self) -> "Lines":
        return self

    def __next__(self) -> str:
        line = self._back.pop() if self._back else next(self._file)
        self.count += 1
        return line

    def take(self, most: int) -> list[str]:
        """The next lines, fewer at the end of the file and of long ones."""
        found: list[str] = []
        characters = 0
        for line in self:
            found.append(line)
            characters += len(line)
            if len(found) == most or characters >= MOST_CHARACTERS:
                break
        return found

    def give_back(self, lines: Sequence[str]) -> None:
        """Have lines that were the last to be taken come again."""
        self._back.extend(reversed(lines))
        self.count -= len(lines)


def parse_lines(
    lines: Sequence[str],
    separator: str,
    texts: Collection[int],
    numbers: Collection[int],
    width: int,
    missing: Collection[str],
    decimal: str,
) -> dict[int, np.ndarray] | None:
    """Columns by their places, where each line is one plain row.

    Args:
        lines: with their ends.
        separator: one character.
        texts: places of the columns to be left in writing.
        numbers: places of the columns to be read as numbers.
        width: how many columns there are.
        missing: what stands for a missing number.
        decimal: the decimal mark.

    Returns:
        Objects `(N,)` of `str` as they stand in the lines, and float64 `(N,)`,
        NaN where missing. None where one line may be another number of rows
        than one, has another number of cells, or has no number where one
        belongs: the general reader knows what it is.
    """
    import pandas as pd

    text = "".join(lines)
    if (
        '"' in text
        or "\0" in text
        or {line.count(separator) for line in lines} != {width - 1}
        or any(line in ("\n", "\r\n", "\r") for line in lines)
        or not all(map(_is_no_number, missing))
    ):
        return None
    try:
        frame = pd.read_csv(
            io.StringIO(text),
            sep=separator,
            header=None,
            names=list(range(width)),
            usecols=sorted({*texts, *numbers}),
            # Not of the numbers: what is told to be one is read as Python
            # reads it, with underscores and much else.
            dtype=dict.fromkeys(texts, object),
            na_values={place: ["", *missing] for place in numbers},
            keep_default_na=False,
            decimal=decimal,
            quoting=3,
            skip_blank_lines=False,
            engine="c",
            low_memory=False,
        )
    except (ValueError, pd.errors.ParserError):
        return None
    found = {place: frame[place].to_numpy() for place in frame.columns}
    if len(frame) != len(lines) or any(
        found[place].dtype.kind not in "iuf" for place in numbers
    ):
        return None
    return found | {place: found[place].astype("float64") for place in numbers}


def _is_no_number(text: str) -> bool:
    """Pandas would take other writings of the same number for missing too."""
    try:
        return math.isnan(float(text))
    except ValueError:
        return True
