"""Parquet files as tables: every column has a type of its own."""

import importlib.util
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from moe_keras.data.table_source import CHUNK_ROWS, OWNER, Chunk
from moe_keras.errors import require


class ParquetSource:
    """A Parquet file, read with pyarrow.

    Args:
        path: of the file.
        owner: who speaks in the errors.
    """

    in_writing = False

    def __init__(self, path: Path, owner: str = OWNER):
        if importlib.util.find_spec("pyarrow") is None:
            raise ImportError(
                f"{owner}: {path} needs the package pyarrow. Run `pip install "
                "moe_keras[parquet]`."
            )
        import pyarrow as pa
        import pyarrow.parquet

        self.path, self.owner = path, owner
        try:
            self.file = pa.parquet.ParquetFile(path)
        except pa.ArrowException as error:
            raise ValueError(
                f"{owner}: not readable as Parquet: {error}. Received: "
                f"path={str(path)!r}"
            ) from error
        self.names = list(self.file.schema_arrow.names)

    def chunks(
        self,
        names: Collection[str] | None = None,
        numbers: Collection[str] = (),
        texts: Collection[str] = (),
        decimal: str = ".",
    ) -> Iterator[Chunk]:
        """See `Source`."""
        rows = self.file.metadata.num_rows
        require(rows, self.owner, "no row.", path=str(self.path))
        wanted = [one for one in self.names if names is None or one in names]
        start = 0
        for batch in self.file.iter_batches(CHUNK_ROWS, columns=wanted):
            columns = {
                name: self._column(name, batch.column(name), name in texts)
                for name in wanted
            }
            start += batch.num_rows
            yield Chunk(start - batch.num_rows, columns, (), start / rows)

    def _column(self, name: str, values: Any, in_writing: bool) -> np.ndarray:
        import pyarrow as pa

        types = pa.types
        if types.is_dictionary(values.type):
            values = values.dictionary_decode()
        if types.is_boolean(values.type):
            values = values.cast(pa.int8())
        if types.is_null(values.type):
            # Nothing in the file says what the values would be.
            values = values.cast(pa.float64())
        if in_writing and types.is_integer(values.type):
            values = values.cast(pa.string())
        kind = values.type
        found: np.ndarray
        if (
            types.is_integer(kind)
            or types.is_floating(kind)
            or types.is_decimal(kind)
        ):
            numbers = values.cast(pa.float64(), safe=False)
            found = numbers.to_numpy(zero_copy_only=False)
            return found
        require(
            types.is_string(kind) or types.is_large_string(kind),
            self.owner,
            "a column must hold numbers or texts.",
            path=str(self.path),
            column=name,
            dtype=str(kind),
        )
        found = values.fill_null("").to_numpy(zero_copy_only=False)
        return found
