"""A first schema of a table in a file."""

import os
from collections.abc import Collection
from typing import TYPE_CHECKING, Any

import numpy as np

from moe_keras.data.table_classes import find_class
from moe_keras.data.table_csv import MISSING
from moe_keras.data.table_file import open_table
from moe_keras.data.table_scan import scan_table
from moe_keras.errors import either, require, require_counts

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
    encoding: str = "utf-8-sig",
    missing: Collection[str] = MISSING,
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
    from moe_keras.schema import infer_schema

    bad = either(OWNER, bad=bad, positive=positive)
    require_counts(OWNER, max_rows=max_rows)
    source = open_table(path, separator, encoding, missing)
    for name in (target, *drop, *text):
        require(
            name in source.names,
            OWNER,
            f"no such column; there are {source.names}.",
            path=str(path),
            column=name,
        )
    scan = scan_table(source, target, drop=drop, text=text, decimal=decimal)
    parts, rows = [], 0
    for chunk in source.chunks({*scan.inputs, target}):
        parts.append(scan.read(source, chunk))
        rows += len(parts[-1][1])
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
    table[target] = np.array(classes, dtype=object)[labels]
    return infer_schema(table, target, bad, **options)


def _as_numbers(classes: tuple[str, ...]) -> list[Any]:
    try:
        return [float(name) for name in classes]
    except ValueError:
        return list(classes)
