"""A table that is read a piece at a time, and read again."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

# Who speaks in the errors of all files here: the function that was called.
OWNER = "load_table"
CHUNK_ROWS = 10_000


@dataclass(frozen=True)
class Chunk:
    """Some rows of a table.

    Attributes:
        start: how many rows come before.
        columns: by name, float `(N,)` with NaN where missing, or object `(N,)`
            of `str`, "" where missing, numbers still in writing.
        lines: of the file, on which each row ends; empty if it has none.
    """

    start: int
    columns: dict[str, np.ndarray]
    lines: tuple[int, ...] = ()

    def row(self, place: int) -> str:
        """How an error names a row: counted from 1, without the header."""
        line = f" (line {self.lines[place]})" if self.lines else ""
        return f"{self.start + place + 1:,}{line}"


class Source(Protocol):
    """A table that can be read more than once.

    Attributes:
        path: of the file.
        names: of the columns, all different.
        in_writing: whether texts may be numbers in writing.
    """

    path: Path
    names: list[str]
    in_writing: bool

    def chunks(self) -> Iterator[Chunk]:
        """The rows from the first to the last, at least one."""
