"""Parquet files as tables: every column has a type of its own."""

import importlib.util
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from moe_keras.errors import require
from moe_keras.tables.source import Chunk

CHUNK_ROWS = 10_000


class ParquetSource:
    """A Parquet file, read with pyarrow.

    Args:
        path: of the file.
        owner: who speaks in the errors.
    """

    in_writing = False

    def __init__(self, path: Path, owner: str):
        if importlib.util.find_spec("pyarrow") is None:
            raise ImportError(
                f"{owner}: {path} needs the package pyarrow. Run `pip install "
                "moe_keras[parquet]`."
            )
        import pyarrow as pa
        import pyarrow.parquet

        self.path, self.owner = path, owner
        try:
            self.file = pa.parquet.ParquetFile(
                path, page_checksum_verification=True
            )
        except (pa.ArrowException, OSError) as error:
            raise self._unreadable(error) from error
        self.names = list(self.file.schema_arrow.names)

    def chunks(self, names: Collection[str]) -> Iterator[Chunk]:
        """See `Source`."""
        import pyarrow as pa

        rows = self.file.metadata.num_rows
        require(rows, self.owner, "no row.", path=str(self.path))
        wanted = [one for one in self.names if one in {*names}]
        start = 0
        batches = self.file.iter_batches(CHUNK_ROWS, columns=wanted)
        while True:
            try:
                batch = next(batches, None)
            except (pa.ArrowException, OSError) as error:
                raise self._unreadable(error) from error
            if batch is None:
                break
            columns = {n: self._column(n, batch.column(n)) for n in wanted}
            start += batch.num_rows
            yield Chunk(start - batch.num_rows, columns, (), start / rows)
            del batch, columns
        require(
            start == rows,
            self.owner,
            "the file is damaged: it has not the rows that it says it has.",
            path=str(self.path),
            rows=start,
            said=rows,
        )

    def _column(self, name: str, values: Any) -> np.ndarray:
        import pyarrow as pa

        types = pa.types
        if types.is_dictionary(values.type):
            values = values.dictionary_decode()
        kind = values.type
        if types.is_null(kind):
            # Nothing in the file says what the values would be.
            return np.full(len(values), np.nan)
        numbers = types.is_floating(kind) or types.is_decimal(kind)
        exact = types.is_integer(kind) or types.is_boolean(kind)
        texts = types.is_string(kind) or types.is_large_string(kind)
        texts = texts or types.is_string_view(kind)
        require(
            numbers or exact or texts,
            self.owner,
            "a column must hold numbers or texts: make numbers of dates, or "
            "leave the column out.",
            path=str(self.path),
            column=name,
            dtype=str(kind),
        )
        if exact and values.null_count:
            # As floats, large integers would not be what they are.
            return np.array(values.to_pylist(), dtype=object)
        found: np.ndarray = values.to_numpy(zero_copy_only=False)
        return found

    def _unreadable(self, error: Exception) -> ValueError:
        return ValueError(
            f"{self.owner}: not readable as Parquet: {error}. Received: "
            f"path={str(self.path)!r}"
        )
