"""From the rows of a file to what a model of tables reads."""

import difflib
import os
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from moe_keras.errors import require
from moe_keras.layers import TableColumns
from moe_keras.schema import Categorical, Numeric, RiskSchema, RowError
from moe_keras.schema.check import Column, check_column, refuse_in_file
from moe_keras.tables.cells import as_texts
from moe_keras.tables.names import find_name
from moe_keras.tables.notation import Notation, read_notation
from moe_keras.tables.source import (
    Chunk,
    Source,
    at,
    find_column,
    open_table,
)

OWNER = "score_table"
_NO_MARKS = Notation(missing=())


@dataclass(frozen=True)
class TableReader:
    """A table in a file, as a model reads it.

    Attributes:
        source: the file.
        columns: by the name that the file has for it, each column that the
            model reads, and what a value of it must be.
        id_column: that names the rows, or None.
        notation: how the cells are written that are texts.
    """

    source: Source
    columns: Mapping[str, Column]
    id_column: str | None
    notation: Notation

    @property
    def ignored(self) -> tuple[str, ...]:
        """The columns of the file that nobody reads."""
        read = {*self.columns, self.id_column}
        return tuple(name for name in self.source.names if name not in read)

    def chunks(self) -> Iterator[Chunk]:
        """The rows of the file, a piece at a time."""
        return self.source.chunks({*self.columns, self.id_column} - {None})

    def read(self, chunk: Chunk) -> dict[str, np.ndarray]:
        """What the model reads of some rows: float32, or objects of `str`.

        Raises:
            ValueError: with file, column and row, for a text or a number that
                is not finite in float32 where a number belongs, and for what
                the schema refuses.
        """
        found = {}
        for name, column in self.columns.items():
            try:
                values = check_column(
                    OWNER, column, chunk.columns[name], self.notation
                )
            except RowError as error:
                error.column = name
                refuse_in_file(error, self.source, chunk)
                raise
            if values.dtype != object:
                values = values.astype("float32")
            found[column.name] = values
        return found

    def names(self, chunk: Chunk) -> np.ndarray:
        """Of each row: its id; or its line; or its number, from 1 on."""
        if self.id_column is not None:
            # An id may be what stands for a missing value elsewhere.
            ids, _ = as_texts(chunk.columns[self.id_column], _NO_MARKS)
            require(
                (ids != "").all(),
                OWNER,
                "a value is missing.",
                **at(
                    *(self.source, self.id_column, chunk),
                    int(np.argmax(ids == "")),
                ),
            )
            return ids
        if chunk.lines:
            return np.array(chunk.lines)
        return np.arange(chunk.start + 1, chunk.start + len(chunk) + 1)

    def unseen(self, inputs: Mapping[str, np.ndarray]) -> dict[str, int]:
        """By column, how many values are levels that the model has not got."""
        found = {}
        for name, column in self.columns.items():
            if isinstance(column, Numeric):
                continue
            values = inputs[column.name]
            if values.dtype == object:
                # Few are different, and so this is quick.
                strange = {*values} - {"", *column.levels}
                count = sum(value in strange for value in values) * bool(
                    strange
                )
            else:
                known = np.asarray(column.levels, "float32")
                count = int((~np.isin(values, known) & ~np.isnan(values)).sum())
            if count:
                found[name] = count
        return found


def open_reader(
    columns: TableColumns,
    path: str | os.PathLike[str],
    *,
    id_column: str | None = None,
    schema: RiskSchema | str | os.PathLike[str] | None = None,
    separator: str | None = None,
    decimal: str = ".",
    thousands: str | None = None,
    encoding: str = "utf-8-sig",
    missing: Collection[str] | None = None,
) -> TableReader:
    """Open a table for a model; see `score_rows` for the arguments.

    Args:
        columns: the model's layer that reads tables.
        path: of the file.
        id_column: see `score_rows`.
        schema: the same.
        separator: the same.
        decimal: the same.
        thousands: the same.
        encoding: the same.
        missing: the same.

    Raises:
        ValueError: with the file, when it is no table or lacks a column.
    """
    notation = read_notation(OWNER, decimal, thousands, missing)
    source = open_table(path, OWNER, separator, encoding)
    read = _columns_of(columns)
    places = {name: find_name(name, source.names) for name in read}
    lacking = [name for name, place in places.items() if place is None]
    require(
        not lacking,
        OWNER,
        "the file lacks columns that the model reads"
        + _near(lacking, source.names),
        path=str(path),
        missing=lacking,
    )
    if id_column is not None:
        id_column = find_column(source, id_column, "id_column")
    if schema is not None and not isinstance(schema, RiskSchema):
        schema = RiskSchema.from_yaml(schema)
    if schema is not None:
        said = TableColumns(**schema.table_columns()).raw_names
        require(
            set(said) == set(read),
            OWNER,
            "the schema must be of the columns that the model reads.",
            only_model=sorted(set(read) - set(said)),
            only_schema=sorted(set(said) - set(read)),
        )
        read |= schema.raw_columns()
    return TableReader(
        source,
        {place: read[name] for name, place in places.items()},
        id_column,
        notation,
    )


def _columns_of(columns: TableColumns) -> dict[str, Column]:
    """What a model says of its columns, which refuses no value of theirs."""
    config = columns.get_config()
    leveled = (*config["ordinals"], *config["categories"])
    found: dict[str, Column] = {
        one["name"]: Categorical(name=one["name"], levels=one["levels"])
        for one in leveled
    }
    return {
        name: found.get(name) or Numeric(name=name, outside="missing")
        for name in columns.raw_names
    }


def _near(lacking: list[str], names: list[str]) -> str:
    """The end of the sentence: what the first of them may be called here."""
    lower = {name.lower(): name for name in names}
    near = [
        lower[found]
        for name in lacking[:1]
        for found in difflib.get_close_matches(name.lower(), lower, n=1)
    ]
    return f"; is {lacking[0]!r} here {near[0]!r}?" if near else "."
