"""What a table's columns are: found in a first reading, applied in a second.

So no number is kept as text, and whatever hands on one chunk after the other
needs nothing but the scan.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

import numpy as np

from moe_keras.data.table_source import OWNER, Chunk, Source
from moe_keras.errors import require

MOST_CLASSES = 1000


@dataclass(frozen=True)
class Scan:
    """What the first reading of a table found.

    Attributes:
        target: the column with the classes.
        classes: their names, sorted as numbers or as texts.
        inputs: the columns that are inputs, in the file's order.
        numbers: those of them that hold numbers.
        decimal: the decimal mark.
        ids: of the rows, where a column says so; else None.
    """

    target: str
    classes: tuple[str, ...]
    inputs: tuple[str, ...]
    numbers: frozenset[str]
    decimal: str
    ids: list[str] | None
    _pool: dict[str, str] = field(default_factory=dict)

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
            values = None
            if name in self.numbers:
                values = _numbers(source, chunk, name, self.decimal, must=True)
            if values is None:
                # One object for all rows of one category.
                values = _objects(
                    self._pool.setdefault(text, text)
                    for text in _texts(chunk, name)
                )
            inputs[name] = values
        places = {name: label for label, name in enumerate(self.classes)}
        names = _filled(source, chunk, self.target)
        labels = np.array([places.get(name, -1) for name in names], "int64")
        first = int(np.argmin(labels))
        require(
            labels[first] >= 0,
            OWNER,
            f"{names[first]!r} is not one of the classes {self.classes}.",
            **_at(source, self.target, chunk, first),
        )
        return inputs, labels


def scan_table(
    source: Source,
    target: str,
    id_column: str | None = None,
    drop: Collection[str] = (),
    numeric: Collection[str] = (),
    text: Collection[str] = (),
    decimal: str = ".",
) -> Scan:
    """Read a table once; see `moe_keras.data.load_table` for the arguments.

    Returns:
        `Scan`.

    Raises:
        ValueError: with file, column and row, for a text in a column of
            `numeric`, for a row without class or id, and for fewer than two
            classes or too many.
    """
    others = {target, id_column, *drop}
    inputs = tuple(name for name in source.names if name not in others)
    numbers = set(inputs) - set(text)
    # Those that are numbers if a comma is read as the decimal mark.
    with_commas: set[str] = set()
    classes: set[str] = set()
    ids: list[str] | None = None if id_column is None else []
    for chunk in source.chunks():
        failed = with_commas | {
            name
            for name in numbers
            if _numbers(source, chunk, name, decimal, name in numeric) is None
        }
        numbers -= failed
        with_commas = {
            name
            for name in failed
            if _numbers(source, chunk, name, ",", must=False) is not None
        }
        classes.update(_filled(source, chunk, target))
        require(
            len(classes) <= MOST_CLASSES,
            OWNER,
            f"the target has more than {MOST_CLASSES} different values.",
            path=str(source.path),
            column=target,
        )
        if ids is not None and id_column is not None:
            ids.extend(_filled(source, chunk, id_column))
    require(
        not with_commas,
        OWNER,
        'these numbers have a decimal comma: give `decimal=","`, or name the '
        "columns in `text`.",
        path=str(source.path),
        columns=sorted(with_commas),
    )
    names = _sorted_classes(source, target, classes)
    return Scan(target, names, inputs, frozenset(numbers), decimal, ids)


def _parse(column: np.ndarray, decimal: str) -> np.ndarray:
    """Numbers, NaN for a missing value and for what is no number."""
    # Here, so that a list of names does not wait for pandas.
    import pandas as pd

    if column.dtype != object:
        return column
    if decimal == ",":
        # Afterwards a point is a comma, and so no part of any number.
        swapped = str.maketrans(",.", ".,")
        column = _objects(cell.translate(swapped) for cell in column)
    found: np.ndarray = pd.to_numeric(column, errors="coerce")
    return found.astype("float64")


def _numbers(
    source: Source, chunk: Chunk, name: str, decimal: str, must: bool
) -> np.ndarray | None:
    """A column as numbers; None, or an error if it must be, where it is not."""
    column = chunk.columns[name]
    if not must and column.dtype == object and not source.in_writing:
        return None
    values = _parse(column, decimal)
    if column.dtype == object:
        wrong = np.isnan(values) & (column != "")
        if wrong.any():
            place = int(np.argmax(wrong))
            rule = f"a number belongs where {column[place]!r} stands."
            require(not must, OWNER, rule, **_at(source, name, chunk, place))
            return None
    infinite = np.isinf(values)
    require(
        not infinite.any(),
        OWNER,
        "numbers must be finite.",
        **_at(source, name, chunk, int(np.argmax(infinite))),
    )
    return values


def _texts(chunk: Chunk, name: str) -> np.ndarray:
    """The values of a column in writing, "" where missing."""
    column = chunk.columns[name]
    if column.dtype == object:
        return column
    return _objects(
        "" if np.isnan(number) else np.format_float_positional(number, trim="-")
        for number in column
    )


def _filled(source: Source, chunk: Chunk, name: str) -> np.ndarray:
    """The values of a column in writing, none of which may be missing."""
    found = _texts(chunk, name)
    missing = found == ""
    require(
        not missing.any(),
        OWNER,
        "a value is missing.",
        **_at(source, name, chunk, int(np.argmax(missing))),
    )
    return found


def _sorted_classes(
    source: Source, target: str, classes: set[str]
) -> tuple[str, ...]:
    where = {"path": str(source.path), "column": target}
    require(
        len(classes) > 1,
        OWNER,
        f"the target has one class only, {min(classes)!r}.",
        **where,
    )
    names = _objects(sorted(classes))
    numbers = _parse(names, ".")
    if np.isnan(numbers).any():
        return tuple(names)
    require(
        (numbers == np.floor(numbers)).all(),
        OWNER,
        "the target has fractions, so its values are no classes.",
        **where,
    )
    return tuple(names[np.argsort(numbers, kind="stable")])


def _objects(values: Iterable[str]) -> np.ndarray:
    return np.array(list(values), dtype=object)


def _at(
    source: Source, name: str, chunk: Chunk, place: int
) -> dict[str, object]:
    """Where in the file an error is."""
    return {
        "path": str(source.path),
        "column": name,
        "row": chunk.row(place),
    }
