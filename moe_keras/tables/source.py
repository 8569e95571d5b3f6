"""A table that is read a piece at a time, and read again."""

import os
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from moe_keras.errors import require
from moe_keras.tables.names import find_name, plain_name

PARQUET = (".parquet", ".pq")


@dataclass(frozen=True, eq=False)
class Chunk:
    """Some rows of a table, their cells as they are in the file.

    Attributes:
        start: how many rows come before.
        columns: by name, `(N,)`: texts of a CSV file, of Parquet any type.
        lines: of the file, on which each row ends; empty if it has none.
        share: float in [0, 1], how much of the file was read by now.
    """

    start: int
    columns: dict[str, np.ndarray]
    lines: tuple[int, ...] = ()
    share: float = 0.0

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))

    def row(self, place: int) -> str:
        """How an error names a row: counted from 1, without the header."""
        line = f" (line {self.lines[place]})" if self.lines else ""
        return f"{self.start + place + 1:,}{line}"


class Source(Protocol):
    """A table that can be read more than once.

    Attributes:
        path: of the file.
        names: of the columns, all different.
        in_writing: whether all cells are texts.
        owner: who speaks in the errors.
    """

    path: Path
    names: list[str]
    in_writing: bool
    owner: str

    def chunks(self, names: Collection[str]) -> Iterator[Chunk]:
        """The rows from the first to the last, at least one.

        Args:
            names: the columns to read, one at least.
        """


def open_table(
    path: str | os.PathLike[str],
    owner: str,
    separator: str | None = None,
    encoding: str = "utf-8-sig",
) -> Source:
    """A table in a file: Parquet by its ending, CSV otherwise.

    Args:
        path: of the file.
        owner: who speaks in the errors.
        separator: of a CSV file; defaults to the one of comma, semicolon, tab
            and bar that gives the header most columns.
        encoding: of a CSV file; the default takes a byte order mark or none.

    Raises:
        FileNotFoundError: when there is no such file.
        ValueError: when it is no table.
        ImportError: for Parquet without pyarrow.
    """
    from moe_keras.tables.csv_source import CsvSource
    from moe_keras.tables.parquet_source import ParquetSource

    place = Path(path)
    if not place.is_file():
        raise FileNotFoundError(f"{owner}: no such file: {place}")
    require(place.stat().st_size, owner, "the file is empty.", path=str(place))
    if place.suffix.lower() in PARQUET:
        source: Source = ParquetSource(place, owner)
    else:
        source = CsvSource(place, owner, separator, encoding)
    _check_names(source)
    return source


def find_column(source: Source, name: str, argument: str = "column") -> str:
    """The name that a column has in the file.

    Raises:
        ValueError: when there is no such column.
    """
    found = find_name(name, source.names)
    require(
        found is not None,
        source.owner,
        f"no such column; there are {source.names}.",
        path=str(source.path),
        **{argument: name},
    )
    return str(found)


def at(
    source: Source, name: str, chunk: Chunk, place: int
) -> dict[str, object]:
    """Where in the file an error is."""
    return {"path": str(source.path), "column": name, "row": chunk.row(place)}


def _check_names(source: Source) -> None:
    path = str(source.path)
    require(
        any(source.names), source.owner, "the file has no header.", path=path
    )
    plain = [plain_name(name) for name in source.names]
    for place, name in enumerate(source.names):
        require(
            name,
            source.owner,
            "every column but the first one needs a name: give it one in the "
            "file's header, or take it out of the file.",
            path=path,
            column=place + 1,
        )
        require(
            plain[place] not in plain[:place],
            source.owner,
            f"columns {plain.index(plain[place]) + 1} and {place + 1} have one "
            "name.",
            path=path,
            column=name,
        )
