"""How a table's cells are written: numbers, missing values, blanks."""

import math
import re
import unicodedata
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import Any

from moe_keras.errors import require

# What pandas' `read_csv` takes as missing, and the mark of many old tables.
MISSING = (
    *("", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan"),
    *("1.#IND", "1.#QNAN", "<NA>", "N/A", "NA", "NULL", "NaN", "None", "n/a"),
    *("nan", "null", "?"),
)
# As numbers, for files keep booleans as the one or as the other.
WORDS = {"true": 1.0, "false": 0.0}
THOUSANDS = (",", ".", " ", "'")
# Not blanks to Python, though nobody sees them.
_UNSEEN = "\ufeff\u200b"
_INFINITE = re.compile("[+-]?inf(inity)?", re.IGNORECASE)
# What editors set between thousands instead of a blank or an apostrophe.
_SAME = {" ": " \u00a0\u202f\u2009", "'": "'\u2019"}


def clean(text: str) -> str:
    """A text without the blanks around it, and marks that nobody sees."""
    text = text.strip()
    if text[:1] in _UNSEEN or text[-1:] in _UNSEEN:
        text = text.strip(_UNSEEN).strip()
    return text


@dataclass(frozen=True)
class Notation:
    """How cells are written that are texts.

    Attributes:
        decimal: the decimal mark, `"."` or `","`.
        thousands: what may stand between thousands, in groups of three digits:
            one of `,`, `.`, a blank and `'`; None for nothing.
        missing: what stands for a missing value; the empty text always does.
    """

    decimal: str = "."
    thousands: str | None = None
    missing: Collection[str] = MISSING
    marks: frozenset[str] = field(init=False, repr=False, compare=False)
    _number: Any = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        marks = frozenset(map(clean, self.missing)) | {""}
        object.__setattr__(self, "marks", marks)
        digits = "[0-9]+"
        if self.thousands is not None:
            same = _SAME.get(self.thousands, self.thousands)
            digits = rf"[1-9][0-9]{{0,2}}(?:[{same}][0-9]{{3}})+|{digits}"
        point = re.escape(self.decimal)
        number = (
            rf"([+-]?)(?=[0-9]|{point}[0-9])({digits}|)"
            rf"(?:{point}([0-9]*))?([eE][+-]?[0-9]+)?"
        )
        object.__setattr__(self, "_number", re.compile(number))

    @property
    def is_plain(self) -> bool:
        """Whether numbers are written as programs write them."""
        return self.decimal == "." and self.thousands is None

    def read_number(self, cell: str) -> float | None:
        """The number in a cell; NaN where missing, None where there is none."""
        text = clean(cell)
        if text in self.marks:
            return math.nan
        if (word := WORDS.get(text.lower())) is not None:
            return word
        if _INFINITE.fullmatch(text):
            return float(text)
        if not (parts := self._number.fullmatch(text)):
            return None
        sign, whole, fraction, exponent = parts.groups(default="")
        whole = re.sub("[^0-9]", "", whole)
        return float(f"{sign}{whole or 0}.{fraction or 0}{exponent}")


def read_notation(
    owner: str,
    decimal: str = ".",
    thousands: str | None = None,
    missing: Collection[str] | None = None,
) -> Notation:
    """A `Notation` of what a caller has given.

    Args:
        owner: whom to name in errors.
        decimal: see `Notation`.
        thousands: the same.
        missing: the same; None for the usual marks.

    Raises:
        ValueError: for marks that cannot be.
    """
    require(
        decimal in (".", ","),
        owner,
        "`decimal` must be a point or a comma.",
        decimal=decimal,
    )
    require(
        thousands is None or (thousands in THOUSANDS and thousands != decimal),
        owner,
        "`thousands` must be a comma, a point, a blank or an apostrophe, and "
        "not the decimal mark.",
        thousands=thousands,
        decimal=decimal,
    )
    require(
        missing is None or not isinstance(missing, str),
        owner,
        "`missing` must be a list of texts.",
        missing=missing,
    )
    given = MISSING if missing is None else tuple(missing)
    return Notation(decimal, thousands, given)


# Thousands come first: whoever reads 4,282 as 4.282 is told of no mistake.
_OTHERS = tuple(
    Notation(decimal, thousands, ())
    for decimal, marks in ((".", ", '"), (",", (None, *". '")))
    for thousands in marks
)


def suggest_notation(cells: Iterable[str]) -> str | None:
    """The options with which all cells would be numbers.

    Args:
        cells: that are no numbers as they are read.

    Returns:
        Such as `thousands=","`; None where there are none.
    """
    cells = [clean(cell) for cell in cells]
    for other in _OTHERS:
        if all(_is_finite(other.read_number(cell)) for cell in cells):
            options = [] if other.decimal == "." else ['`decimal=","`']
            if other.thousands is not None:
                options.append(f'`thousands="{other.thousands}"`')
            return " and ".join(options)
    return None


def is_decorated(cell: str) -> bool:
    """Whether a cell is a number but for signs of money or per cent."""
    bare = "".join(
        mark
        for mark in _CURRENCIES.sub("", cell)
        if mark not in "%\u2030()" and unicodedata.category(mark) != "Sc"
    )
    return bare != cell and (
        _is_finite(_BARE.read_number(bare)) or bool(suggest_notation([bare]))
    )


_CURRENCIES = re.compile("USD|EUR|GBP|CHF|JPY|CNY|INR|AUD|CAD")
_BARE = Notation(missing=())


def _is_finite(number: float | None) -> bool:
    return number is not None and math.isfinite(number)
