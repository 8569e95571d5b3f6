"""From the rows of a file to what a model of tables reads."""

import difflib
import os
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from moe_keras.data.table_csv import MISSING
from moe_keras.data.table_file import open_table
from moe_keras.data.table_source import Chunk, Source
from moe_keras.data.table_values import at, read_chunk, read_filled
from moe_keras.errors import require
from moe_keras.layers import TableColumns
from moe_keras.schema import RiskSchema, RowError
from moe_keras.schema.check import read_numbers

OWNER = "score_table"


@dataclass(frozen=True)
class TableReader:
    """A table in a file, as a model reads it.

    Attributes:
        source: the file.
        levels: by the name of each column that the model reads: its levels;
            none of a number.
        id_column: that names the rows, or None.
        decimal: the decimal mark.
        schema: what a value must be, or None.
    """

    source: Source
    levels: Mapping[str, tuple[Any, ...]]
    id_column: str | None
    decimal: str
    schema: RiskSchema | None

    @property
    def texts(self) -> dict[str, bool]:
        """By the name of each column: whether it holds texts."""
        return {
            name: bool(levels) and isinstance(levels[0], str)
            for name, levels in self.levels.items()
        }

    @property
    def ignored(self) -> tuple[str, ...]:
        """The columns of the file that nobody reads."""
        read = {*self.levels, self.id_column}
        return tuple(name for name in self.source.names if name not in read)

    def chunks(self) -> Iterator[Chunk]:
        """The rows of the file, a piece at a time."""
        texts = [name for name, is_text in self.texts.items() if is_text]
        if self.id_column is not None:
            texts.append(self.id_column)
        return self.source.chunks(
            {*self.levels, *texts}, {*self.levels}, texts, self.decimal
        )

    def read(self, chunk: Chunk) -> dict[str, np.ndarray]:
        """What the model reads of some rows: float32, or objects of `str`.

        Raises:
            ValueError: with file, column and row, for a text or a number that
                is not finite in float32 where a number belongs, and for what
                the schema refuses.
        """
        texts = self.texts
        found = read_chunk(self.source, chunk, texts, self.decimal)
        try:
            if self.schema is not None:
                checked = self.schema.check(found)
                found |= {name: checked[name] for name in found}
            return {
                name: values
                if texts[name]
                else read_numbers(OWNER, name, values).astype("float32")
                for name, values in found.items()
            }
        except RowError as error:
            place = at(self.source, error.column, chunk, error.place)
            require(False, OWNER, error.rule, **place, value=error.value)
            raise

    def names(self, chunk: Chunk) -> np.ndarray:
        """Of each row: its id; or its line; or its number, from 1 on."""
        if self.id_column is not None:
            return read_filled(self.source, chunk, self.id_column)
        if chunk.lines:
            return np.array(chunk.lines)
        rows = len(next(iter(chunk.columns.values())))
        return np.arange(chunk.start + 1, chunk.start + rows + 1)

    def unseen(self, inputs: Mapping[str, np.ndarray]) -> dict[str, int]:
        """By column, how many values are levels that the model has not got."""
        found = {}
        for name, levels in self.levels.items():
            if not levels:
                continue
            values = inputs[name]
            if self.texts[name]:
                # Few are different, and so this is quick.
                strange = {*values} - {"", *levels}
                count = sum(value in strange for value in values) * bool(
                    strange
                )
            else:
                known = np.asarray(levels, "float32")
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
    encoding: str = "utf-8-sig",
    missing: Collection[str] = MISSING,
) -> TableReader:
    """Open a table for a model; see `score_rows` for the arguments.

    Args:
        columns: the model's layer that reads tables.
        path: of the file.
        id_column: see `score_rows`.
        schema: the same.
        separator: the same.
        decimal: the same.
        encoding: the same.
        missing: the same.

    Raises:
        ValueError: with the file, when it is no table or lacks a column.
    """
    require(
        decimal in (".", ","),
        OWNER,
        "`decimal` must be a point or a comma.",
        decimal=decimal,
    )
    source = open_table(path, separator, encoding, missing, OWNER)
    levels = _levels_of(columns)
    lacking = [name for name in levels if name not in source.names]
    require(
        not lacking,
        OWNER,
        "the file lacks columns that the model reads"
        + _near(lacking, source.names),
        path=str(path),
        missing=lacking,
    )
    require(
        id_column is None or id_column in source.names,
        OWNER,
        f"no such column; there are {source.names}.",
        path=str(path),
        id_column=id_column,
    )
    if schema is not None and not isinstance(schema, RiskSchema):
        schema = RiskSchema.from_yaml(schema)
    if schema is not None:
        said = TableColumns(**schema.table_columns()).raw_names
        require(
            set(said) == set(levels),
            OWNER,
            "the schema must be of the columns that the model reads.",
            only_model=sorted(set(levels) - set(said)),
            only_schema=sorted(set(said) - set(levels)),
        )
    return TableReader(source, levels, id_column, decimal, schema)


def _levels_of(columns: TableColumns) -> dict[str, tuple[Any, ...]]:
    config = columns.get_config()
    leveled = (*config["ordinals"], *config["categories"])
    levels = {one["name"]: tuple(one["levels"]) for one in leveled}
    return {name: levels.get(name, ()) for name in columns.raw_names}


def _near(lacking: list[str], names: list[str]) -> str:
    """The end of the sentence: what the first of them may be called here."""
    lower = {name.lower(): name for name in names}
    near = [
        lower[found]
        for name in lacking[:1]
        for found in difflib.get_close_matches(name.lower(), lower, n=1)
    ]
    return f"; is {lacking[0]!r} here {near[0]!r}?" if near else "."
