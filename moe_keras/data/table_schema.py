"""A first schema of a table in a file."""

import os
import warnings
from collections.abc import Collection
from typing import TYPE_CHECKING, Any

import numpy as np

from moe_keras.data.table import scan_file
from moe_keras.data.table_classes import find_class
from moe_keras.errors import either, require_counts
from moe_keras.tables.names import INDEX
from moe_keras.tables.source import Chunk, open_table

if TYPE_CHECKING:
    from moe_keras.schema import RiskSchema

OWNER = "infer_table_schema"


def infer_table_schema(
    path: str | os.PathLike[str],
    target: str,
    bad: Any = None,
    *,
    positive: Any = None,
    drop: Collection[str] = (),
    text: Collection[str] = (),
    separator: str | None = None,
    decimal: str = ".",
    thousands: str | None = None,
    encoding: str = "utf-8-sig",
    missing: Collection[str] | None = None,
    max_rows: int = 500_000,
    **options: Any,
) -> "RiskSchema":
    """A schema of a table in a CSV or Parquet file, as `load_table` reads it.

    The file is read a piece at a time. Whether a column holds numbers or texts
    is found in all of its rows, which levels there are in the first `max_rows`.

    Args:
        path: of the file.
        target: name of the column to predict.
        bad: which value of it is bad, as a number or in writing; true and false
            are 1 and 0. Defaults to the larger one of two numbers.
        positive: the same as `bad`, for a target of which no value is bad: a
            churn, a diagnosis, a sale.
        drop: columns that the model is not to read, such as ids.
        text: columns to take as texts, such as codes that look like numbers.
        separator: see `load_table`.
        decimal: the same.
        thousands: the same.
        encoding: the same.
        missing: the same.
        max_rows: int > 0.
        **options: see `moe_keras.schema.infer_schema`.

    Raises:
        FileNotFoundError: when there is no such file.
        ValueError: with file, column and row, when the file is not such a
            table; see `load_table` and `infer_schema`.
    """
    # Here, so that a list of names does not wait for Keras.
    from moe_keras.schema import RowError, infer_schema
    from moe_keras.schema.check import refuse_in_file

    bad = either(OWNER, bad=bad, positive=positive)
    require_counts(OWNER, max_rows=max_rows)
    source = open_table(path, OWNER, separator, encoding)
    scan = scan_file(
        *(source, target, None, drop, (), text),
        decimal=decimal,
        thousands=thousands,
        missing=missing,
    )
    unread = {*INDEX} & {*source.names} - {*scan.inputs, scan.target, *drop}
    if unread:
        warnings.warn(
            f"{OWNER}: column 1 of {source.path} has no name, as an index, and "
            "is not read; give it one in the file's header to have it read.",
            stacklevel=2,
        )
    parts, lines = [], []
    for chunk in source.chunks({*scan.inputs, scan.target}):
        parts.append(scan.read(source, chunk))
        lines += [*chunk.lines]
        rows = chunk.start + len(chunk)
        if rows >= max_rows:
            break
    table = {
        name: np.concatenate([inputs[name] for inputs, _ in parts])[:max_rows]
        for name in scan.inputs
    }
    labels = np.concatenate([labels for _, labels in parts])[:max_rows]
    classes = _as_numbers(scan.classes)
    meant = None if bad is None else find_class(scan.classes, bad)
    if meant is not None:
        bad = classes[scan.classes.index(meant)]
    table[scan.target] = np.array(classes, dtype=object)[labels]
    # Of a file with types, what its texts are is still to be looked at.
    texts = [
        name
        for name in scan.inputs
        if name not in scan.numbers and (source.in_writing or name in text)
    ]
    try:
        return infer_schema(table, scan.target, bad, text=texts, **options)
    except RowError as error:
        refuse_in_file(error, source, Chunk(0, table, tuple(lines)))
        raise


def _as_numbers(classes: tuple[str, ...]) -> list[Any]:
    try:
        return [float(name) for name in classes]
    except ValueError:
        return list(classes)
