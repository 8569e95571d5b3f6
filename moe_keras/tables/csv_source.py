"""CSV files as tables: rows of equal length, every cell a text."""

import csv
from collections.abc import Collection, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TextIO

import numpy as np

from moe_keras.errors import require
from moe_keras.tables.names import INDEX
from moe_keras.tables.notation import clean
from moe_keras.tables.source import Chunk

SEPARATORS = (",", ";", "\t", "|")
CHUNK_ROWS = 10_000
# Of a piece: a wide table's is of fewer rows.
CHUNK_CELLS = 2_000_000


class CsvSource:
    """Text with one row a line, cells in quotes where need be.

    Python's own reader splits rows into cells. See the decision "Tables are
    split by Python's csv" for why no other one does.

    Args: see `open_table`.
    """

    in_writing = True

    def __init__(
        self, path: Path, owner: str, separator: str | None, encoding: str
    ):
        self.path, self.owner, self.encoding = path, owner, encoding
        require(
            separator is None
            or (len(separator) == 1 and separator not in '"\n\r'),
            owner,
            "`separator` must be one character.",
            separator=separator,
        )
        headers = self._headers([separator] if separator else SEPARATORS)
        # The first of those with most columns.
        self.separator = max(headers, key=lambda one: len(headers[one]))
        self.names = list(map(clean, headers[self.separator]))
        if len(self.names) > 1 and not self.names[0]:
            # As pandas writes an index, and as it reads it.
            self.names[0] = INDEX[0]

    def chunks(self, names: Collection[str]) -> Iterator[Chunk]:
        """See `Source`."""
        places = {n: p for p, n in enumerate(self.names) if n in {*names}}
        size, start = self.path.stat().st_size, 0
        most = max(1, min(CHUNK_ROWS, CHUNK_CELLS // len(self.names)))
        with self._open() as file:
            rows = self._rows(file, self.separator)
            next(rows)
            while some := list(islice(rows, most)):
                lines, cells = zip(*some, strict=True)
                self._check_width(lines, cells)
                table = np.array(cells, dtype=object)
                columns = {n: table[:, place] for n, place in places.items()}
                share = min(1.0, file.buffer.tell() / size)
                yield Chunk(start, columns, lines, share)
                start += len(lines)
                # Or it would be held while the next one is read.
                del some, cells, table, columns
        require(
            start, self.owner, "no row but the header.", path=str(self.path)
        )

    def _headers(self, separators: Sequence[str]) -> dict[str, list[str]]:
        """The header by separator, of those by which it can be read."""
        found, wrong = {}, []
        for separator in separators:
            try:
                with self._open() as file:
                    rows = self._rows(file, separator)
                    found[separator] = next(rows, (1, []))[1]
            except ValueError as error:
                # Quoted names have their own separator between them alone.
                wrong.append(error)
        if not found:
            raise wrong[0]
        return found

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

    def _open(self) -> TextIO:
        try:
            return self.path.open(encoding=self.encoding, newline="")
        except LookupError as error:
            raise ValueError(
                f"{self.owner}: there is no such encoding. Received: "
                f"encoding={self.encoding!r}"
            ) from error

    def _rows(
        self, file: TextIO, separator: str
    ) -> Iterator[tuple[int, list[str]]]:
        """Line number and cells of every row, the header included."""
        reader = csv.reader(
            file, delimiter=separator, strict=True, skipinitialspace=True
        )
        done = 0
        try:
            for row in reader:
                if row:
                    yield reader.line_num, row
                done = reader.line_num
        except (csv.Error, UnicodeError) as error:
            line = done + 1
            if isinstance(error, UnicodeError):
                line = self._first_unreadable(line)
            raise ValueError(
                f"{self.owner}: not readable as CSV in {self.encoding}: "
                f"{error}. Another `encoding` may help. Received: "
                f"path={str(self.path)!r}, line={line}"
            ) from error

    def _first_unreadable(self, line: int) -> int:
        """Where it is: a file is decoded many lines ahead of its rows."""
        if "\n".encode(self.encoding) != b"\n" and "utf-8" not in self.encoding:
            return line
        with self.path.open("rb") as file:
            for number, content in enumerate(file, 1):
                try:
                    content.decode(self.encoding)
                except UnicodeError:
                    return number
        return line
