"""What a table's columns are: found in a first reading, applied in a second.

So no number is kept as text, and whatever hands on one chunk after the other
needs nothing but the scan. What a cell is, `moe_keras.tables` says, as it does
in service.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from moe_keras.errors import require
from moe_keras.tables.cells import as_numbers, as_texts
from moe_keras.tables.kinds import OF_A_FILE, TextKind, check_kinds
from moe_keras.tables.notation import Notation, suggest_notation
from moe_keras.tables.source import Chunk, Source, at

if TYPE_CHECKING:
    from moe_keras.schema.check import Column

MOST_CLASSES = 1000


@dataclass(frozen=True)
class Known:
    """What is known of a table before it is read.

    Attributes:
        columns: by the file's names, what a schema says of them.
        classes: of the target, if they are texts.
    """

    columns: Mapping[str, "Column"] = field(default_factory=dict)
    classes: tuple[str, ...] = ()

    def numbers(self) -> set[str]:
        """The columns that hold numbers."""
        return {
            name
            for name, one in self.columns.items()
            if not isinstance(getattr(one, "levels", [0])[0], str)
        }


@dataclass(frozen=True)
class Scan:
    """What the first reading of a table found.

    Attributes:
        target: the column with the classes.
        classes: their names, sorted as numbers or as texts.
        inputs: the columns that are inputs, in the file's order.
        numbers: those of them that hold numbers.
        notation: how the cells are written that are texts.
        known: what a schema says.
        ids: of the rows, where a column says so; else None.
    """

    target: str
    classes: tuple[str, ...]
    inputs: tuple[str, ...]
    numbers: frozenset[str]
    notation: Notation
    known: Known
    ids: list[str] | None

    def read(
        self, source: Source, chunk: Chunk
    ) -> tuple[dict[str, np.ndarray], np.ndarray]:
        """Inputs and labels of some rows, of the scanned table or one like it.

        Raises:
            ValueError: for a text or an infinite number where a number belongs,
                and for a class that is missing or not one of `classes`.
        """
        inputs = {}
        for name in self.inputs:
            cells = (source, chunk, name, self.notation)
            if name in self.known.columns:
                values = _said(*cells, self.known.columns[name])
            elif name in self.numbers:
                values = _numbers(*cells)
            else:
                values = _texts(*cells)
            inputs[name] = values
        places = {name: label for label, name in enumerate(self.classes)}
        names = _filled(source, chunk, self.target, self.notation, self.classes)
        labels = np.array([places.get(name, -1) for name in names], "int64")
        first = int(np.argmin(labels))
        require(
            labels[first] >= 0,
            source.owner,
            f"{names[first]!r} is not one of the classes {self.classes}.",
            **at(source, self.target, chunk, first),
        )
        return inputs, labels


def scan_table(
    source: Source,
    target: str,
    id_column: str | None,
    inputs: Sequence[str],
    numeric: Collection[str],
    text: Collection[str],
    notation: Notation,
    known: Known,
) -> Scan:
    """Read a table once; see `moe_keras.data.load_table` for the arguments.

    Args:
        source: the table.
        target: of its names.
        id_column: the same, or None.
        inputs: the same.
        numeric: columns that must be numbers.
        text: columns that are texts.
        notation: how the cells are written that are texts.
        known: what a schema says.

    Returns:
        `Scan`.

    Raises:
        ValueError: with file, column and row, for a text in a column of
            `numeric`, for a row without class or id, for fewer than two classes
            or too many, and for texts that seem to be numbers.
    """
    sure = {*numeric, *text, *known.columns}
    kinds = {name: TextKind(name) for name in inputs if name not in sure}
    classes: set[str] = set()
    ids: list[str] | None = None if id_column is None else []
    used = {target, *inputs, *([] if id_column is None else [id_column])}
    for chunk in source.chunks(used):
        for name in numeric:
            _numbers(source, chunk, name, notation)
        for name in [*kinds]:
            cells = chunk.columns[name]
            if source.in_writing:
                kinds[name].add(cells, notation, chunk.row)
            elif cells.dtype.kind == "O" and isinstance(_first(cells), str):
                # A text of a typed table stays one.
                kinds.pop(name)
        classes.update(_filled(source, chunk, target, notation, known.classes))
        require(
            len(classes) <= MOST_CLASSES,
            source.owner,
            f"the target has more than {MOST_CLASSES} different values.",
            path=str(source.path),
            column=target,
        )
        if ids is not None and id_column is not None:
            ids.extend(_filled(source, chunk, id_column, notation))
    check_kinds(source.owner, kinds.values(), OF_A_FILE, path=str(source.path))
    numbers = {name for name, kind in kinds.items() if kind.is_number}
    numbers = {*numbers, *known.numbers(), *numeric} & {*inputs}
    names = _sorted_classes(source, target, classes)
    return Scan(
        *(target, names, tuple(inputs), frozenset(numbers), notation, known),
        ids=ids,
    )


def _first(cells: np.ndarray) -> object:
    return next((one for one in cells if one is not None), None)


def _said(
    source: Source,
    chunk: Chunk,
    name: str,
    notation: Notation,
    column: "Column",
) -> np.ndarray:
    """A column by what a schema says of it, as in service."""
    # Here, so that a list of names does not wait for Keras.
    from moe_keras.schema.check import RowError, check_column, refuse_in_file

    try:
        return check_column(source.owner, column, chunk.columns[name], notation)
    except RowError as error:
        refuse_in_file(error, source, chunk)
        raise


def _numbers(
    source: Source, chunk: Chunk, name: str, notation: Notation
) -> np.ndarray:
    """A column as numbers, all of them finite."""
    column = chunk.columns[name]
    values, wrong = as_numbers(column, notation)
    if wrong.any():
        place = int(np.argmax(wrong))
        cell = column[place]
        rule = f"a number belongs where {cell!r} stands"
        if isinstance(cell, str) and (options := suggest_notation([cell])):
            rule += f"; for numbers written so, give {options}"
        where = at(source, name, chunk, place)
        require(False, source.owner, f"{rule}.", **where)
    infinite = np.isinf(values)
    require(
        not infinite.any(),
        source.owner,
        "numbers must be finite.",
        **at(source, name, chunk, int(np.argmax(infinite))),
    )
    return values


def _texts(
    source: Source, chunk: Chunk, name: str, notation: Notation
) -> np.ndarray:
    values, wrong = as_texts(chunk.columns[name], notation)
    require(
        not wrong.any(),
        source.owner,
        "a text belongs where another value stands.",
        **at(source, name, chunk, int(np.argmax(wrong))),
    )
    return values


def _filled(
    source: Source,
    chunk: Chunk,
    name: str,
    notation: Notation,
    levels: Sequence[str] = (),
) -> np.ndarray:
    """The values of a column as texts, none of which may be missing."""
    cells = chunk.columns[name]
    if cells.dtype.kind == "b" or isinstance(_first(cells), bool):
        # Of a table with types, classes are 0 and 1.
        cells, _ = as_numbers(cells, notation)
    found, _ = as_texts(cells, notation, levels)
    missing = found == ""
    place = int(np.argmax(missing))
    if not missing.any():
        return found
    cell, rule = cells[place], "a value is missing"
    if isinstance(cell, str) and cell.strip():
        rule += f": {cell!r} stands for none. If it is a value, give `missing`"
        rule += " without it"
    require(False, source.owner, f"{rule}.", **at(source, name, chunk, place))
    return found


def _sorted_classes(
    source: Source, target: str, classes: set[str]
) -> tuple[str, ...]:
    where = {"path": str(source.path), "column": target}
    require(
        len(classes) > 1,
        source.owner,
        f"the target has one class only, {min(classes)!r}.",
        **where,
    )
    names = np.array(sorted(classes), dtype=object)
    numbers, wrong = as_numbers(names, Notation(missing=()))
    words = {"true", "false"} & {name.lower() for name in classes}
    if wrong.any() or words or np.isnan(numbers).any():
        return tuple(names)
    require(
        (numbers == np.floor(numbers)).all(),
        source.owner,
        "the target has fractions, so its values are no classes.",
        **where,
    )
    return tuple(names[np.argsort(numbers, kind="stable")])
