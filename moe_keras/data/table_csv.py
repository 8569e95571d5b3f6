"""CSV files as tables: rows of equal length, every cell in writing."""

import csv
from collections.abc import Collection, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TextIO

import numpy as np

from moe_keras.data.table_lines import Lines, parse_lines
from moe_keras.data.table_source import CHUNK_ROWS, OWNER, Chunk
from moe_keras.errors import require

SEPARATORS = (",", ";", "\t", "|")
MISSING = ("", "NA", "N/A", "NaN", "nan", "null", "NULL", "?")

# Of each row the line on which it ends, and the cells by column.
Places = tuple[int, ...]
Columns = dict[str, np.ndarray]


class CsvSource:
    """Text with one row a line, cells in quotes where need be.

    Args: see `open_table`.
    """

    in_writing = True

    def __init__(
        self,
        path: Path,
        separator: str | None,
        encoding: str,
        missing: Collection[str],
        owner: str = OWNER,
    ):
        self.path, self.encoding, self.owner = path, encoding, owner
        # What is empty already needs no look.
        self._missing = frozenset(missing) - {""}
        headers = self._headers([separator] if separator else SEPARATORS)
        # The first of those with most columns.
        self.separator = max(headers, key=lambda one: len(headers[one]))
        self.names = headers[self.separator]

    def chunks(
        self,
        names: Collection[str] | None = None,
        numbers: Collection[str] = (),
        texts: Collection[str] = (),
        decimal: str = ".",
    ) -> Iterator[Chunk]:
        """See `Source`."""
        wanted = self.names if names is None else names
        numbers = {*numbers} - {*texts}
        size = self.path.stat().st_size
        start = 0
        with self._open() as file:
            lines = Lines(file)
            next(self._rows(lines, self.separator))
            while True:
                places, columns = self._plain(lines, wanted, numbers, decimal)
                if not places:
                    places, columns = self._any(lines, wanted)
                if not places:
                    break
                share = min(1.0, file.buffer.tell() / size)
                yield Chunk(start, columns, places, share)
                start += len(places)
                # Or it would be held while the next one is read.
                del columns
        require(
            start, self.owner, "no row but the header.", path=str(self.path)
        )

    def _plain(
        self,
        lines: Lines,
        wanted: Collection[str],
        numbers: Collection[str],
        decimal: str,
    ) -> tuple[Places, Columns]:
        """The next rows, with numbers; none where they are not plain."""
        if not numbers:
            return (), {}
        first = lines.count + 1
        taken = self._taken(lines)
        places = {name: place for place, name in enumerate(self.names)}
        found = parse_lines(
            taken,
            self.separator,
            [places[n] for n in self.names if n in wanted and n not in numbers],
            [places[n] for n in self.names if n in wanted and n in numbers],
            len(self.names),
            self._missing,
            decimal,
        )
        if found is None:
            lines.give_back(taken)
            return (), {}
        columns = {
            self.names[place]: column
            if column.dtype != object
            else self._column([cell.strip() for cell in column])
            for place, column in found.items()
        }
        return tuple(range(first, first + len(taken))), columns

    def _any(
        self, lines: Lines, wanted: Collection[str]
    ) -> tuple[Places, Columns]:
        """The next rows, whatever is in them; none at the end."""
        some = list(islice(self._rows(lines, self.separator), CHUNK_ROWS))
        if not some:
            return (), {}
        places, cells = zip(*some, strict=True)
        self._check_width(places, cells)
        columns = {
            name: self._column(column)
            for name, column in zip(
                self.names, zip(*cells, strict=True), strict=True
            )
            if name in wanted
        }
        return places, columns

    def _headers(self, separators: Sequence[str]) -> dict[str, list[str]]:
        """The header by separator, of those by which it can be read."""
        found, wrong = {}, []
        for separator in separators:
            try:
                with self._open() as file:
                    rows = self._rows(Lines(file), separator)
                    found[separator] = next(rows, (1, []))[1]
            except ValueError as error:
                # Quoted names have their own separator between them alone.
                wrong.append(error)
        if not found:
            raise wrong[0]
        return found

    def _taken(self, lines: Lines) -> list[str]:
        try:
            return lines.take(CHUNK_ROWS)
        except UnicodeDecodeError as error:
            raise self._unreadable(error, lines.count + 1) from error

    def _check_width(
        self, lines: Sequence[int], cells: Sequence[list[str]]
    ) -> None:
        width = len(self.names)
        if set(map(len, cells)) == {width}:
            return
        for line, row in zip(lines, cells, strict=True):
            require(
                len(row) == width,
                self.owner,
                f"a row has {len(row)} cells, the header {width}.",
                path=str(self.path),
                line=line,
            )

    def _column(self, cells: Sequence[str]) -> np.ndarray:
        found = np.array(cells, dtype=object)
        # In most columns nothing is, which is seen much faster.
        if not self._missing.isdisjoint(cells):
            found[[cell in self._missing for cell in cells]] = ""
        return found

    def _open(self) -> TextIO:
        return self.path.open(encoding=self.encoding, newline="")

    def _rows(
        self, lines: Lines, separator: str
    ) -> Iterator[tuple[int, list[str]]]:
        """Line number and stripped cells of every row, the header included."""
        try:
            for row in csv.reader(lines, delimiter=separator, strict=True):
                if row:
                    yield lines.count, list(map(str.strip, row))
        except (csv.Error, UnicodeDecodeError) as error:
            raise self._unreadable(error, lines.count + 1) from error

    def _unreadable(self, error: Exception, line: int) -> ValueError:
        return ValueError(
            f"{self.owner}: not readable as CSV in {self.encoding}: {error}. "
            "Another `encoding` may help. Received: "
            f"path={str(self.path)!r}, line={line}"
        )
