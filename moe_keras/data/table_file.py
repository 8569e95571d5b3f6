"""Which reader a file of a table needs."""

import os
from collections.abc import Collection
from pathlib import Path

from moe_keras.data.table_csv import MISSING, CsvSource
from moe_keras.data.table_parquet import ParquetSource
from moe_keras.data.table_source import OWNER, Source
from moe_keras.errors import require

PARQUET = (".parquet", ".pq")


def open_table(
    path: str | os.PathLike[str],
    separator: str | None = None,
    encoding: str = "utf-8-sig",
    missing: Collection[str] = MISSING,
    owner: str = OWNER,
) -> Source:
    """A table in a file: Parquet by its ending, CSV otherwise.

    Args:
        path: of the file.
        separator: of a CSV file; defaults to the one of comma, semicolon, tab
            and bar that gives the header most columns.
        encoding: of a CSV file; the default takes a byte order mark or none.
        missing: what stands for a missing value in a CSV file.
        owner: who speaks in the errors.

    Raises:
        FileNotFoundError: when there is no such file.
        ValueError: when it is no table.
        ImportError: for Parquet without pyarrow.
    """
    place = Path(path)
    if not place.is_file():
        raise FileNotFoundError(f"{owner}: no such file: {place}")
    require(place.stat().st_size, owner, "the file is empty.", path=str(place))
    source: Source
    if place.suffix.lower() in PARQUET:
        source = ParquetSource(place, owner)
    else:
        source = CsvSource(place, separator, encoding, missing, owner)
    _check_names(source)
    return source


def _check_names(source: Source) -> None:
    path = str(source.path)
    require(
        any(source.names), source.owner, "the file has no header.", path=path
    )
    for place, name in enumerate(source.names):
        require(
            name,
            source.owner,
            "every column needs a name.",
            path=path,
            column=place + 1,
        )
        require(
            name not in source.names[:place],
            source.owner,
            f"columns {source.names.index(name) + 1} and {place + 1} have one "
            "name.",
            path=path,
            column=name,
        )
