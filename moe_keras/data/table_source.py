"""A table that is read a piece at a time, and read again."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

# Who speaks in the errors, unless another function was called.
OWNER = "load_table"
CHUNK_ROWS = 10_000


@dataclass(frozen=True, eq=False)
class Chunk:
    """Some rows of a table.

    Attributes:
        start: how many rows come before.
        columns: by name, float `(N,)` with NaN where missing, or object `(N,)`
            of `str`, "" where missing, numbers still in writing.
        lines: of the file, on which each row ends; empty if it has none.
        share: float in [0, 1], how much of the file was read by now.
    """

    start: int
    columns: dict[str, np.ndarray]
    lines: tuple[int, ...] = ()
    share: float = 0.0

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
        owner: who speaks in the errors.
    """

    path: Path
    names: list[str]
    in_writing: bool
    owner: str

    def chunks(
        self,
        names: Collection[str] | None = None,
        numbers: Collection[str] = (),
        texts: Collection[str] = (),
        decimal: str = ".",
    ) -> Iterator[Chunk]:
        """The rows from the first to the last, at least one.

        Args:
            names: the columns to read; None for all.
            numbers: columns that should hold numbers. Where that is quick, they
                are numbers in the chunk already.
            texts: columns to be in writing, such as ids: no digit is lost.
            decimal: their decimal mark.
        """
