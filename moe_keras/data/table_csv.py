"""CSV files as tables: rows of equal length, every cell in writing."""

import csv
from collections.abc import Collection, Iterable, Iterator
from itertools import islice
from pathlib import Path

import numpy as np

from moe_keras.data.table_source import CHUNK_ROWS, OWNER, Chunk
from moe_keras.errors import require

SEPARATORS = (",", ";", "\t", "|")
MISSING = ("", "NA", "N/A", "NaN", "nan", "null", "NULL", "?")


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
    ):
        self.path, self.encoding = path, encoding
        self.missing = frozenset(missing)
        headers = {
            one: next(self._rows(one), (1, []))[1]
            for one in ([separator] if separator else SEPARATORS)
        }
        # The first of those with most columns.
        self.separator = max(headers, key=lambda one: len(headers[one]))
        self.names = headers[self.separator]

    def chunks(self) -> Iterator[Chunk]:
        """See `Source`."""
        rows = self._rows(self.separator)
        next(rows)
        start = 0
        while some := list(islice(rows, CHUNK_ROWS)):
            lines, cells = zip(*some, strict=True)
            width = len(self.names)
            for line, row in some:
                if len(row) != width:
                    raise self._unequal(len(row), line)
            columns = {
                name: self._column(column)
                for name, column in zip(
                    self.names, zip(*cells, strict=True), strict=True
                )
            }
            yield Chunk(start, columns, lines)
            start += len(some)
        require(start, OWNER, "no row but the header.", path=str(self.path))

    def _unequal(self, cells: int, line: int) -> ValueError:
        return ValueError(
            f"{OWNER}: a row has {cells} cells, the header {len(self.names)}. "
            f"Received: path={str(self.path)!r}, line={line}"
        )

    def _column(self, cells: Iterable[str]) -> np.ndarray:
        return np.array(
            ["" if cell in self.missing else cell for cell in cells],
            dtype=object,
        )

    def _rows(self, separator: str) -> Iterator[tuple[int, list[str]]]:
        """Line number and stripped cells of every row, the header included."""
        with self.path.open(encoding=self.encoding, newline="") as file:
            reader = csv.reader(file, delimiter=separator, strict=True)
            try:
                for row in reader:
                    if row:
                        yield reader.line_num, [cell.strip() for cell in row]
            except (csv.Error, UnicodeDecodeError) as error:
                raise ValueError(
                    f"{OWNER}: not readable as CSV in {self.encoding}: "
                    f"{error}. Another `encoding` may help. Received: "
                    f"path={str(self.path)!r}, line={reader.line_num + 1}"
                ) from error
