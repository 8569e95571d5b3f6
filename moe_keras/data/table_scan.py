"""What a table's columns are: found in a first reading, applied in a second.

So no number is kept as text, and whatever hands on one chunk after the other
needs nothing but the scan.
"""

from collections.abc import Collection
from dataclasses import dataclass, field

import numpy as np

from moe_keras.data.table_source import Chunk, Source
from moe_keras.data.table_values import (
    as_objects,
    at,
    parse_numbers,
    read_filled,
    read_numbers,
    read_texts,
)
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
                values = read_numbers(
                    source, chunk, name, self.decimal, must=True
                )
            if values is None:
                # One object for all rows of one category.
                values = as_objects(
                    self._pool.setdefault(text, text)
                    for text in read_texts(chunk, name)
                )
            inputs[name] = values
        places = {name: label for label, name in enumerate(self.classes)}
        names = read_filled(source, chunk, self.target)
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
    used = {target, *inputs, *([] if id_column is None else [id_column])}
    for chunk in source.chunks(used):
        failed = with_commas | {
            name
            for name in numbers
            if read_numbers(source, chunk, name, decimal, name in numeric)
            is None
        }
        numbers -= failed
        with_commas = {
            name
            for name in failed
            if read_numbers(source, chunk, name, ",", must=False) is not None
        }
        classes.update(read_filled(source, chunk, target))
        require(
            len(classes) <= MOST_CLASSES,
            source.owner,
            f"the target has more than {MOST_CLASSES} different values.",
            path=str(source.path),
            column=target,
        )
        if ids is not None and id_column is not None:
            ids.extend(read_filled(source, chunk, id_column))
    require(
        not with_commas,
        source.owner,
        'these numbers have a decimal comma: give `decimal=","`, or name the '
        "columns in `text`.",
        path=str(source.path),
        columns=sorted(with_commas),
    )
    names = _sorted_classes(source, target, classes)
    return Scan(target, names, inputs, frozenset(numbers), decimal, ids)


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
    names = as_objects(sorted(classes))
    numbers = parse_numbers(names, ".")
    if np.isnan(numbers).any():
        return tuple(names)
    require(
        (numbers == np.floor(numbers)).all(),
        source.owner,
        "the target has fractions, so its values are no classes.",
        **where,
    )
    return tuple(names[np.argsort(numbers, kind="stable")])
