"""Where the features of each column of a row stand, and what they are called.

First the pieces or steps of the numbers, column by column, then the levels of
the categories, then an indicator of being missing for each number and for each
category. So an encoding is a few gathers, whatever the number of columns.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from moe_keras.errors import is_count, require


class EncodedColumn(NamedTuple):
    """Where the features of one column stand.

    Attributes:
        place: int, of the column in the row.
        levels: int, L of a category; None for a number.
        start: int, the first of its pieces, steps or levels.
        stop: int, behind the last of them.
        missing: int, its missing indicator.
    """

    place: int
    levels: int | None
    start: int
    stop: int
    missing: int


class RowLayout:
    """The features of a row.

    Args:
        levels: sequence of D entries: None for a number, int L > 0 for a
            category of L levels.
        columns: sequence of int or None, those of the D that are read.
        steps: int >= 0, pieces or steps of a number.
        owner: whom to name in errors.

    Attributes:
        levels: list, as given.
        columns: list of int or None, as given.
        numbers: list of int, the places of the numbers that are read.
        categories: list of int, the same for categories.
        owners: list of int: for each level of each category, its column.
        places: list of int: for each level of each category, its number in
            the category.
        num_features: int, F.
    """

    def __init__(
        self, levels: Any, columns: Any, steps: int, owner: str
    ) -> None:
        self.levels = _check_levels(levels, owner)
        self.columns = _check_columns(columns, len(self.levels), owner)
        read = range(len(self.levels)) if self.columns is None else self.columns
        pairs = [(place, self.levels[place]) for place in read]
        kinds = [(place, length) for place, length in pairs if length]
        self.numbers = [place for place, length in pairs if not length]
        self.categories = [place for place, _ in kinds]
        self.owners = [place for place, length in kinds for _ in range(length)]
        self.places = [i for _, length in kinds for i in range(length)]
        self._steps, self._read = steps, list(read)
        behind = steps * len(self.numbers) + len(self.owners)
        self.num_features = behind + len(self._read)

    def encoded(self) -> list[EncodedColumn]:
        """The columns that are read, in their order, and their features."""
        found, start = {}, 0
        missing = self.num_features - len(self._read)
        for place in (*self.numbers, *self.categories):
            stop = start + (self.levels[place] or self._steps)
            found[place] = EncodedColumn(
                place, self.levels[place], start, stop, missing
            )
            start, missing = stop, missing + 1
        return [found[place] for place in self._read]


def format_number(value: Any) -> str:
    """The shortest digits that are this number in its own precision."""
    value = np.asarray(value)[()]
    if value == 0 or 1e-4 <= abs(value) < 1e15:
        return np.format_float_positional(value, trim="-")
    return np.format_float_scientific(value, trim="-")


def name_features(
    encoding: Any,
    row_names: Sequence[str],
    level_names: Mapping[str, Sequence[Any]] | None,
) -> list[str]:
    """A name for each feature of a `TabularEncoding`, which documents them."""
    layout: RowLayout = encoding.layout
    check_names(layout, row_names, level_names, type(encoding).__name__)
    names = [""] * layout.num_features
    for column in layout.encoded():
        row_name = row_names[column.place]
        if column.levels is None:
            edges = encoding.edges_of(column.place)
            texts = _name_bins(edges, encoding.numbers == "pieces")
            count = column.stop - column.start
            unused = range(len(texts), count)
            own = [f"{row_name} {text}" for text in texts]
            own += [f"{row_name} (unused {number + 1})" for number in unused]
        else:
            levels = (level_names or {}).get(row_name, range(column.levels))
            own = [f"{row_name} = {text}" for text in levels]
        names[column.start : column.stop] = own
        names[column.missing] = f"{row_name} missing"
    return names


def _name_bins(edges: np.ndarray, pieces: bool) -> list[str]:
    texts = [format_number(edge) for edge in edges]
    if not pieces:
        return [f">= {text}" for text in texts]
    return [f"{low} to {high}" for low, high in pairwise(texts)]


def check_names(
    layout: RowLayout, row_names: Any, level_names: Any, owner: str
) -> None:
    """Refuse names that are not one for each column, and for each level."""
    require(
        len(row_names) == len(layout.levels)
        and len(set(row_names)) == len(row_names),
        owner,
        "`row_names` must be different names, one for each of the "
        f"{len(layout.levels)} columns.",
        row_names=list(row_names),
    )
    for name, levels in (level_names or {}).items():
        known = dict(zip(row_names, layout.levels, strict=True))
        require(
            known.get(name) == len(levels),
            owner,
            "`level_names` must have, by the name of a category, one name for "
            "each of its levels.",
            name=name,
            level_names=list(levels),
            levels=known.get(name),
        )


def spread_signs(layout: RowLayout, monotone: Any, owner: str) -> np.ndarray:
    """Signs of columns, `(D,)`, as signs of features, `(F,)`."""
    require(
        len(monotone) == len(layout.levels)
        and all(sign in (-1, 0, 1) for sign in monotone),
        owner,
        f"`monotone` must have {len(layout.levels)} entries of -1, 0 or 1.",
        monotone=list(monotone),
    )
    signs = np.zeros(layout.num_features, "int32")
    for column in layout.encoded():
        sign = monotone[column.place]
        require(
            column.levels is None or sign == 0,
            owner,
            "`monotone` must be 0 for a category, whose levels have no order.",
            place=column.place,
            sign=sign,
        )
        signs[column.start : column.stop] = sign
    return signs


def _check_levels(levels: Any, owner: str) -> list[int | None]:
    require(
        isinstance(levels, list | tuple)
        and len(levels) > 0
        and all(one is None or is_count(one) for one in levels),
        owner,
        "`levels` must have an entry for each column: None for a number, an "
        "integer above 0 for a category.",
        levels=levels,
    )
    return list(levels)


def _check_columns(columns: Any, width: int, owner: str) -> list[int] | None:
    if columns is None:
        return None
    require(
        isinstance(columns, list | tuple)
        and len(columns) > 0
        and all(isinstance(one, int) and 0 <= one < width for one in columns)
        and len(set(columns)) == len(columns),
        owner,
        f"`columns` must be different integers in 0..{width - 1}, at least "
        "one, or None.",
        columns=columns,
    )
    return list(columns)
