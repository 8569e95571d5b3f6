"""What a column of texts holds: numbers, texts, or numbers that are none yet.

A CSV file does not say what is a number. Who writes `4,282`, `$40` or `-` in a
column of numbers means numbers, and would get categories without a word.
"""

import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from moe_keras.errors import require
from moe_keras.tables.cells import as_numbers
from moe_keras.tables.notation import (
    WORDS,
    Notation,
    clean,
    is_decorated,
    suggest_notation,
)

# So many different texts are a category, even if most of them are numbers.
FEW = 20
# Different cells that are remembered.
MOST = 1000
# Of them, those that an error shows.
SHOWN = 3


@dataclass
class TextKind:
    """What the cells of one column of texts are, a piece at a time.

    Attributes:
        name: of the column.
        numbers: cells that are numbers.
        words: cells that are true or false.
        others: cells that are neither.
        wrong: of these, different ones: how often, and the first row.
    """

    name: str
    numbers: int = 0
    words: int = 0
    others: int = 0
    wrong: dict[str, list[Any]] = field(default_factory=dict)
    _values: set[float] = field(default_factory=set)

    def add(self, cells: np.ndarray, notation: Notation, rows: Any) -> None:
        """Look at some rows.

        Args:
            cells: `(N,)` of `str`, or missing.
            notation: how numbers are written.
            rows: for each place, how an error names the row.
        """
        values, wrong = as_numbers(cells, notation)
        for place in np.flatnonzero(wrong):
            cell = clean(cells[place])
            if cell in self.wrong:
                self.wrong[cell][0] += 1
            elif len(self.wrong) < MOST:
                self.wrong[cell] = [1, rows(int(place))]
        found = ~np.isnan(values)
        seen = values[found]
        self.others += int(wrong.sum())
        # Few columns hold a cell that is a word, and these only 0 and 1.
        if len(seen) and np.isin(seen, (0, 1)).any():
            self.words += sum(
                clean(one).lower() in WORDS
                for one in cells[found]
                if isinstance(one, str)
            )
        self.numbers += int(found.sum())
        if len(self._values) <= FEW:
            self._values.update(np.unique(seen)[: FEW + 1].tolist())

    @property
    def is_number(self) -> bool:
        """Whether all cells are numbers, or all are true or false."""
        mixed = 0 < self.words < self.numbers and not self._values <= {0, 1}
        return not self.others and not mixed

    @property
    def seems_number(self) -> bool:
        """Whether at least half of the cells are numbers, or almost."""
        if self.is_number or not self.others:
            return False
        almost = sum(
            count
            for cell, (count, _) in self.wrong.items()
            if is_decorated(cell) or suggest_notation([cell])
        )
        plain = self.numbers - self.words
        return bool(2 * (plain + almost) >= self.others + self.numbers)

    @property
    def has_few(self) -> bool:
        """Whether the different cells are few, as of a category."""
        return len(self._values) + len(self.wrong) <= FEW

    def options(self) -> str | None:
        """With which options all cells would be numbers, if there are any."""
        return suggest_notation(self.wrong) if self.wrong else None

    def say(self, remedies: Mapping[str, str]) -> str:
        """The sentence about the cells that are no numbers.

        Args:
            remedies: what to do about `signs`, of money or per cent, about
                `marks`, which stand for nothing, and about numbers that are
                `marked` otherwise.
        """
        cells = sorted(self.wrong.items(), key=lambda one: -one[1][0])
        shown = [
            f"{cell!r} ({count:,} times, first in row {row})"
            for cell, (count, row) in cells[:SHOWN]
        ]
        more = len(cells) - SHOWN
        shown += [f"{more:,} more"] if more > 0 else []
        signs = any(is_decorated(cell) for cell in self.wrong)
        marks = any(
            not is_decorated(cell) and not suggest_notation([cell])
            for cell in self.wrong
        )
        total = self.numbers + self.others
        todo = [
            *([remedies["signs"]] if signs else []),
            *([remedies["marks"]] if marks else []),
        ]
        plain = [cell for cell in self.wrong if not is_decorated(cell)]
        if plain and not marks:
            options = suggest_notation(plain)
            todo += [remedies["marked"].format(options)] if options else []
        todo = todo or ["write all numbers in one way"]
        return (
            f"{self.numbers:,} of {total:,} values are numbers, but not "
            f"{', '.join(shown)}: {'; '.join(todo)}"
        )


OF_A_FILE = {
    "signs": "take the signs of money and per cent out of the file",
    "marks": "name what stands for a missing value in `missing`, beside what "
    "else does",
    "marked": "give {}",
}
OF_A_FRAME = {
    "signs": "make numbers of them",
    "marks": "make missing values (NaN) of what is none",
    "marked": "make numbers of them",
}


def check_kinds(
    owner: str,
    kinds: Iterable[TextKind],
    remedies: Mapping[str, str],
    **where: Any,
) -> None:
    """Refuse columns that seem to be numbers, and are none as they stand.

    Of few different values, as a category has, only a warning is given.

    Args:
        owner: who speaks.
        kinds: of the columns of texts.
        remedies: see `TextKind.say`.
        **where: the file, for errors.

    Raises:
        ValueError: with columns, cells, rows, and what to do.
    """
    seeming = [kind for kind in kinds if kind.seems_number]
    by_options: dict[str, list[str]] = {}
    for kind in seeming:
        if where and (options := kind.options()):
            by_options.setdefault(options, []).append(kind.name)
    for options, columns in by_options.items():
        what = "a decimal comma" if "decimal" in options else "thousands"
        what = what if "thousands" not in options else "thousands separators"
        require(
            False,
            owner,
            f"these numbers have {what}: give {options}, or name the columns "
            "in `text`.",
            **where,
            columns=columns,
        )
    for kind in seeming:
        rule = f"{kind.say(remedies)}; or name the column in `text`."
        if kind.has_few:
            warnings.warn(
                f"{owner}: column {kind.name!r} is taken for a category: "
                f"{rule}",
                stacklevel=3,
            )
            continue
        require(False, owner, rule, **where, column=kind.name)
