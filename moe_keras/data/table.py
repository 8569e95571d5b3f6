"""Tables in files, with a column to predict."""

import os
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from moe_keras.data.dataset import Dataset, Feature, assemble
from moe_keras.data.split import Split
from moe_keras.data.table_classes import find_class
from moe_keras.data.table_scan import Known, Scan, scan_table
from moe_keras.errors import require
from moe_keras.tables.names import INDEX, find_name
from moe_keras.tables.notation import read_notation
from moe_keras.tables.source import PARQUET, Source, find_column, open_table

if TYPE_CHECKING:
    from moe_keras.schema import RiskSchema

OWNER = "load_table"
# Options that say how a file is written, not what is in it.
READING = ("separator", "decimal", "thousands", "encoding", "missing")


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
    schema: "RiskSchema | str | os.PathLike[str] | None" = None,
    separator: str | None = None,
    decimal: str = ".",
    thousands: str | None = None,
    encoding: str = "utf-8-sig",
    missing: Collection[str] | None = None,
    licence: str = "not given: a file of the caller's",
    citation: str = "not given",
    **options: Any,
) -> Dataset:
    """A table from a CSV or Parquet file, and the column to predict.

    A column whose every value can be read as a number is one of numbers, and so
    is one of true and false, as 1 and 0; any other one is one of texts, that is
    of categories. Columns of which half of the values are numbers are refused:
    what stands in them has to be said.

    Args:
        path: of the file; `.parquet` and `.pq` are Parquet, all else CSV.
        target: name of the column with the classes.
        positive: of two classes, the one whose label is to be 1, in writing or
            as a number; true and false are 1 and 0. Defaults to the second one,
            sorted as numbers or as texts.
        test_path: file of the test split, with the same columns, or None.
        id_column: whose rows belong together: none of its values is both in
            training and in validation. It is no input.
        drop: columns that are no inputs. A first column without a name, as
            pandas writes an index, is none either.
        numeric: columns that must be numbers: a text in them is an error.
        text: columns to take as texts, such as codes that look like numbers.
        schema: `RiskSchema`, or its file, that says what its columns hold; None
            finds it out.
        separator: of a CSV file; found in its header by default.
        decimal: `"."` or `","`, of the numbers in a CSV file.
        thousands: what stands between thousands in a CSV file: a comma, a
            point, a blank or an apostrophe; None for nothing.
        encoding: of a CSV file. The default takes a byte order mark or none.
        missing: what stands for a missing value in a CSV file, instead of what
            usually does (`moe_keras.tables.MISSING`). A level of `schema` never
            does.
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
    both = sorted({*numeric} & {*text})
    require(not both, OWNER, "columns are in `numeric` and `text`.", both=both)
    source = open_table(path, OWNER, separator, encoding)
    scan = scan_file(
        *(source, target, id_column, drop, numeric, text, schema),
        decimal=decimal,
        thousands=thousands,
        missing=missing,
    )
    test = None
    if test_path is not None:
        other = open_table(test_path, OWNER, separator, encoding)
        for name in (scan.target, *scan.inputs):
            find_column(other, name)
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


def scan_file(
    source: Source,
    target: str,
    id_column: str | None = None,
    drop: Collection[str] = (),
    numeric: Collection[str] = (),
    text: Collection[str] = (),
    schema: "RiskSchema | str | os.PathLike[str] | None" = None,
    **notation: Any,
) -> Scan:
    """Read a table once; see `load_table` for the arguments."""
    target = find_column(source, target)
    numeric = [find_column(source, name) for name in numeric]
    text = [find_column(source, name) for name in text]
    dropped = {find_column(source, name) for name in drop if name}
    if id_column is not None:
        id_column = find_column(source, id_column)
    index = {*INDEX} - {*numeric, *text}
    others = {target, id_column, *dropped, *index}
    return scan_table(
        *(source, target, id_column),
        [name for name in source.names if name not in others],
        *(numeric, text),
        read_notation(source.owner, **notation),
        Known() if schema is None else _known(schema, source),
    )


def _known(
    schema: "RiskSchema | str | os.PathLike[str]", source: Source
) -> Known:
    """What a schema says of the columns that a model reads, and the target."""
    # Here, so that a list of names does not wait for Keras.
    from moe_keras.schema import RiskSchema

    if not isinstance(schema, RiskSchema):
        schema = RiskSchema.from_yaml(schema)
    columns = {}
    for name, column in schema.raw_columns().items():
        place = find_name(name, source.names)
        if place is not None:
            columns[place] = column
    values = schema.target.values if schema.target else []
    return Known(columns, tuple(one for one in values if isinstance(one, str)))


def _read(scan: Scan, source: Source) -> Split:
    used = {*scan.inputs, scan.target}
    parts = [scan.read(source, chunk) for chunk in source.chunks(used)]
    inputs = {
        name: np.concatenate([columns[name] for columns, _ in parts])
        for name in scan.inputs
    }
    return Split(inputs, np.concatenate([labels for _, labels in parts]))
