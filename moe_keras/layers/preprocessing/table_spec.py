"""What is said of a table's columns: checked, and completed with defaults.

Layers and schemas say it in the same plain dicts, one for each column.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from moe_keras.errors import require
from moe_keras.ops.expression import Expression, parse_expression

OUTSIDE = ("missing", "clip")


@dataclass(frozen=True)
class RowColumn:
    """One column of the row.

    Attributes:
        name: its own.
        levels: how many a category has; None for a number.
        source: the raw or derived column that it is read from.
    """

    name: str
    levels: int | None
    source: str


@dataclass(frozen=True)
class TableSpec:
    """All columns of a table, in the order of the arguments.

    Attributes:
        numbers: dicts with name, special, minimum, maximum, outside.
        ordinals: dicts with name, levels.
        derived: dicts with name, expression.
        categories: dicts with name, levels.
        expressions: of `derived`, in the same order.
        row: the columns of the row: numbers, ordinals, derived columns and
            categories, then one for each special value.
    """

    numbers: tuple[dict[str, Any], ...]
    ordinals: tuple[dict[str, Any], ...]
    derived: tuple[dict[str, Any], ...]
    categories: tuple[dict[str, Any], ...]
    expressions: tuple[Expression, ...]
    row: tuple[RowColumn, ...]

    @property
    def raw(self) -> dict[str, bool]:
        """By the name of each raw column: whether it holds texts."""
        leveled = (*self.ordinals, *self.categories)
        texts = {one["name"]: is_text(one["levels"][0]) for one in leveled}
        return {**{one["name"]: False for one in self.numbers}, **texts}


def check_table(
    owner: str,
    numbers: Sequence[Mapping[str, Any]],
    ordinals: Sequence[Mapping[str, Any]],
    derived: Sequence[Mapping[str, Any]],
    categories: Sequence[Mapping[str, Any]],
) -> TableSpec:
    """Check what is said of a table's columns; see `TableColumns`.

    Args:
        owner: whom to name in errors.
        numbers: the numeric columns.
        ordinals: the ordered ones.
        derived: the computed ones.
        categories: the categorical ones.

    Raises:
        ValueError: with the column, for what no table can have.
    """
    all_numbers = tuple(_number(owner, one) for one in numbers)
    all_ordinals = tuple(_leveled(owner, "ordinals", one) for one in ordinals)
    all_categories = tuple(
        _leveled(owner, "categories", one) for one in categories
    )
    known = [one["name"] for one in (*all_numbers, *all_ordinals)]
    all_derived, expressions = [], []
    for one in derived:
        found = _dict(owner, "derived", one, {"name": ..., "expression": ...})
        tree = parse_expression(found["expression"], known, owner)
        all_derived.append(found)
        expressions.append(tree)
        known.append(found["name"])
    leveled = (*all_numbers, *all_ordinals, *all_derived)
    row = [RowColumn(one["name"], None, one["name"]) for one in leveled]
    row += [
        RowColumn(one["name"], len(one["levels"]), one["name"])
        for one in all_categories
    ]
    row += [
        RowColumn(special_name(one["name"], value), 2, one["name"])
        for one in all_numbers
        for value in one["special"]
    ]
    require(row, owner, "there must be a column.", columns=[])
    names = [one.name for one in row]
    for place, name in enumerate(names):
        require(
            name not in names[:place],
            owner,
            "two columns have one name.",
            column=name,
        )
    return TableSpec(
        all_numbers,
        all_ordinals,
        tuple(all_derived),
        all_categories,
        tuple(expressions),
        tuple(row),
    )


def special_name(column: str, value: float) -> str:
    """How the row names a special value: `column=-9`."""
    return f"{column}={int(value) if value == int(value) else value}"


def is_number(value: Any) -> bool:
    """Whether a value is an int or a float, finite in float32."""
    return (
        isinstance(value, int | float)
        and not isinstance(value, bool)
        and abs(value) <= float(np.finfo("float32").max)
    )


def is_text(value: Any) -> bool:
    """Whether a level is a text, not a number."""
    return isinstance(value, str)


def _dict(
    owner: str, argument: str, found: Any, defaults: Mapping[str, Any]
) -> dict[str, Any]:
    """With defaults, `...` for what must be there."""
    require(
        isinstance(found, Mapping),
        owner,
        f"`{argument}` must hold dicts, one for each column.",
        found=found,
    )
    for key in found:
        require(
            key in defaults,
            owner,
            f"`{argument}` knows no such key; there are {', '.join(defaults)}.",
            key=key,
        )
    values = {**defaults, **found}
    for key, value in values.items():
        require(
            value is not ...,
            owner,
            f"a column in `{argument}` needs {key!r}.",
            found=dict(found),
        )
    name = values["name"]
    require(
        isinstance(name, str) and name.strip(),
        owner,
        "a column's name must be a text.",
        name=name,
    )
    return values


def _number(owner: str, found: Any) -> dict[str, Any]:
    defaults = {
        "name": ...,
        "special": (),
        "minimum": None,
        "maximum": None,
        "outside": OUTSIDE[0],
    }
    one = _dict(owner, "numbers", found, defaults)
    where = {"column": one["name"]}
    special = one["special"]
    require(
        isinstance(special, Sequence)
        and not isinstance(special, str)
        and all(map(is_number, special)),
        owner,
        "special values must be a list of numbers, finite in float32.",
        **where,
        special=special,
    )
    one["special"] = list(special)
    _check_different(owner, "special values", one["name"], special)
    for bound in ("minimum", "maximum"):
        require(
            one[bound] is None or is_number(one[bound]),
            owner,
            f"the {bound} must be a number, finite in float32, or None.",
            **where,
            **{bound: one[bound]},
        )
    low = -math.inf if one["minimum"] is None else one["minimum"]
    high = math.inf if one["maximum"] is None else one["maximum"]
    require(
        low <= high,
        owner,
        "the minimum is above the maximum.",
        **where,
        minimum=low,
        maximum=high,
    )
    require(
        one["outside"] in OUTSIDE,
        owner,
        f"`outside` must be one of {', '.join(OUTSIDE)}.",
        **where,
        outside=one["outside"],
    )
    return one


def _leveled(owner: str, argument: str, found: Any) -> dict[str, Any]:
    one = _dict(owner, argument, found, {"name": ..., "levels": ...})
    levels = one["levels"]
    require(
        isinstance(levels, Sequence)
        and not isinstance(levels, str)
        and len(levels) > 0
        and (
            all(is_text(level) and level for level in levels)
            or all(map(is_number, levels))
        ),
        owner,
        "levels must be texts, none of them empty, or all of them numbers.",
        column=one["name"],
        levels=levels,
    )
    _check_different(owner, "levels", one["name"], levels)
    one["levels"] = list(levels)
    return one


def _check_different(
    owner: str, what: str, column: str, values: Sequence[Any]
) -> None:
    """Numbers are compared in float32, as the layer does."""
    keys = [one if is_text(one) else float(np.float32(one)) for one in values]
    for place, key in enumerate(keys):
        require(
            key not in keys[:place],
            owner,
            f"{what} must all be different, numbers in float32.",
            column=column,
            twice=values[place],
        )
