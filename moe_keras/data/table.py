"""Tables in files, with a column to predict."""

import os
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from moe_keras.data.dataset import Dataset, Feature, assemble
from moe_keras.data.split import Split
from moe_keras.data.table_classes import find_class
from moe_keras.data.table_csv import MISSING
from moe_keras.data.table_file import PARQUET, open_table
from moe_keras.data.table_scan import Scan, scan_table
from moe_keras.data.table_source import OWNER, Source
from moe_keras.errors import require


def load_table(
    path: str | os.PathLike[str],
    target: str,
    positive: object = None,
    *,
    test_path: str | os.PathLike[str] | None = None,
    id_column: str | None = None,
    drop: Sequence[str] = (),
    numeric: Sequence[str] = (),
    text: Sequence[str] = (),
    separator: str | None = None,
    decimal: str = ".",
    encoding: str = "utf-8-sig",
    missing: Collection[str] = MISSING,
    licence: str = "not given: a file of the caller's",
    citation: str = "not given",
    **options: Any,
) -> Dataset:
    """A table from a CSV or Parquet file, and the column to predict.

    A column whose every value can be read as a number is one of numbers, any
    other one of texts, that is of categories.

    Args:
        path: of the file; `.parquet` and `.pq` are Parquet, all else CSV.
        target: name of the column with the classes.
        positive: of two classes, the one whose label is to be 1, in writing or
            as a number; true and false are 1 and 0. Defaults to the second one,
            sorted as numbers or as texts.
        test_path: file of the test split, with the same columns, or None.
        id_column: whose rows belong together: none of its values is both in
            training and in validation. It is no input.
        drop: columns that are no inputs.
        numeric: columns that must be numbers: a text in them is an error.
        text: columns to take as texts, such as codes that look like numbers.
        separator: of a CSV file; found in its header by default.
        decimal: `"."` or `","`, of the numbers in a CSV file.
        encoding: of a CSV file. The default takes a byte order mark or none.
        missing: what stands for a missing value in a CSV file.
        licence: under which the data may be used.
        citation: whom to name.
        **options: `validation_share`, see `load_dataset`.

    Returns:
        `Dataset` whose inputs are a dict of columns: float64 with NaN where
        missing, or `str` with "" where missing.

    Raises:
        FileNotFoundError: when there is no such file.
        ImportError: for Parquet without pyarrow.
        ValueError: with file, column and row, when the file is not such a
            table: no header, rows of another length, columns of one name, no
            such column, no row, one class only, no class in a row, a text or
            an infinite number where a number belongs.
    """
    require(
        decimal in (".", ","),
        OWNER,
        "`decimal` must be a point or a comma.",
        decimal=decimal,
    )
    both = sorted({*numeric} & {*text})
    require(not both, OWNER, "columns are in `numeric` and `text`.", both=both)
    source = open_table(path, separator, encoding, missing)
    ids = [] if id_column is None else [id_column]
    _check_columns(source, target, *ids, *drop, *numeric, *text)
    scan = scan_table(source, target, id_column, drop, numeric, text, decimal)
    test = None
    if test_path is not None:
        other = open_table(test_path, separator, encoding, missing)
        _check_columns(other, target, *scan.inputs)
        test = _read(scan, other)
    if positive is not None:
        positive = find_class(scan.classes, positive) or str(positive)
    kind = "parquet" if Path(path).suffix.lower() in PARQUET else "csv"
    return assemble(
        name=f"{kind}:{path}",
        task="tabular",
        train=_read(scan, source),
        test=test,
        classes=scan.classes,
        keys=scan.ids,
        schema=tuple(
            Feature(name, "float64" if name in scan.numbers else "string")
            for name in scan.inputs
        ),
        licence=licence,
        citation=citation,
        source=str(path),
        positive=positive,
        **options,
    )


def _read(scan: Scan, source: Source) -> Split:
    used = {*scan.inputs, scan.target}
    parts = [scan.read(source, chunk) for chunk in source.chunks(used)]
    inputs = {
        name: np.concatenate([columns[name] for columns, _ in parts])
        for name in scan.inputs
    }
    return Split(inputs, np.concatenate([labels for _, labels in parts]))


def _check_columns(source: Source, *names: str) -> None:
    for name in names:
        require(
            name in source.names,
            OWNER,
            f"no such column; there are {source.names}.",
            path=str(source.path),
            column=name,
        )
