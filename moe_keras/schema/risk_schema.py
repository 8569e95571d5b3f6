"""A schema: the columns of a table, the target, and what must hold."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import model_validator

from moe_keras.layers.preprocessing.table_spec import (
    OUTSIDE,
    TableSpec,
    check_table,
)
from moe_keras.schema.check import (
    Column,
    check_column,
    check_labels,
    read_table,
)
from moe_keras.schema.columns import (
    Categorical,
    Derived,
    Numeric,
    Ordinal,
    Part,
    Target,
    check_targets,
)
from moe_keras.schema.schema_file import dump_schema, load_schema

OWNER = "RiskSchema"


@dataclass(frozen=True)
class RowMonotone:
    """What must be monotone in the row of a model.

    Attributes:
        signs: for each of the D columns of the row: -1, 0 or 1.
        sources: for each of them, the monotone columns that it is, or depends
            on; empty for most. What must not see a monotone column must not
            read the columns of the row where there are any.
    """

    signs: tuple[int, ...]
    sources: tuple[tuple[str, ...], ...]


class RiskSchema(Part):
    """What the columns of a table are.

    A model reads the columns that are named here; further ones in a table are
    not read.

    Attributes:
        target: see `Target`; None where there is nothing to learn from.
        other_targets: further ones, of a model that learns several at once.
        numeric: see `Numeric`.
        ordinal: see `Ordinal`.
        categorical: see `Categorical`.
        derived: see `Derived`.
        protected: the names of columns such as age or sex, which a report is
            broken down by.
        hide_protected: whether the model is to be without the protected columns
            and without the derived ones that depend on them.
    """

    target: Target | None = None
    other_targets: list[Target] = []
    numeric: list[Numeric] = []
    ordinal: list[Ordinal] = []
    categorical: list[Categorical] = []
    derived: list[Derived] = []
    protected: list[str] = []
    hide_protected: bool = False

    @model_validator(mode="after")
    def _columns_fit(self) -> "RiskSchema":
        spec = self._spec(hide=False)
        check_targets(self.targets, [one.name for one in spec.row])
        for name in self.protected:
            if name not in spec.raw:
                raise ValueError(
                    f"protected: {name!r} is no column of the schema; there "
                    f"are {', '.join(spec.raw)}"
                )
        for one in self.derived:
            read = [n for n in self.depends_on(one.name) if self._sign(n)]
            if one.monotone and read:
                raise ValueError(
                    f"derived column {one.name!r} cannot be monotone by "
                    f"itself: it reads {', '.join(read)}, monotone already"
                )
        if self.hide_protected:
            self._spec(hide=True)
        return self

    @property
    def targets(self) -> list[Target]:
        """All targets, `target` first."""
        first = [] if self.target is None else [self.target]
        return [*first, *self.other_targets]

    @classmethod
    def from_yaml(cls, path: str | os.PathLike[str]) -> "RiskSchema":
        """Read a schema and check all of it.

        Args:
            path: a YAML file.

        Raises:
            FileNotFoundError: when there is no such file.
            ValueError: a line for each fault: the dotted path of the key, what
                is wrong and what was found.
        """
        return load_schema(cls, Path(path))

    def to_yaml(self, path: str | os.PathLike[str] | None = None) -> str:
        """The schema as a YAML file, with every default written out.

        Args:
            path: where to write it, None for nowhere.

        Returns:
            The file's content.
        """
        text = dump_schema(self)
        if path is not None:
            Path(path).write_text(text, encoding="utf-8")
        return text

    def table_columns(self) -> dict[str, Any]:
        """The arguments of `moe_keras.layers.TableColumns`.

        Without the protected columns, if they are to be hidden.
        """
        spec = self._spec(self.hide_protected)
        return {
            "numbers": [dict(one) for one in spec.numbers],
            "ordinals": [dict(one) for one in spec.ordinals],
            "derived": [dict(one) for one in spec.derived],
            "categories": [dict(one) for one in spec.categories],
        }

    def depends_on(self, name: str) -> tuple[str, ...]:
        """The raw columns that a column is computed from.

        Args:
            name: of a raw column, which depends on itself, of a derived one, or
                of another column of the row.

        Raises:
            ValueError: when there is no such column.
        """
        spec = self._spec(hide=False)
        sources = {one.name: one.source for one in spec.row}
        if name not in sources:
            raise ValueError(
                f"{OWNER}: there is no such column; there are "
                f"{list(sources)}. Received: name={name!r}"
            )
        return _roots(spec, sources[name])

    def row_monotone(self) -> RowMonotone:
        """What must be monotone in the row that `TableColumns` makes."""
        row = self._spec(self.hide_protected).row
        sources = []
        for one in row:
            found = {n for n in self.depends_on(one.name) if self._sign(n)}
            if self._sign(one.name):
                found.add(one.name)
            sources.append(tuple(sorted(found)))
        signs = tuple(self._sign(one.name) for one in row)
        return RowMonotone(signs, tuple(sources))

    def check(self, frame: Any) -> dict[str, np.ndarray]:
        """Check a table, and make of it what a model reads.

        Args:
            frame: a pandas data frame, or a dict of arrays `(N,)` by name.

        Returns:
            For each raw column of the model: float64 `(N,)`, NaN where missing,
            or object `(N,)` of `str`, "" where missing. Values that are outside
            or unseen are as they were: the model knows what becomes of them.

        Raises:
            ValueError: with column and row, counted from 1, for a column that
                is missing or there twice, a value of another type, an infinite
                one, and one that is outside or unseen where that is an error.
        """
        columns = self.raw_columns()
        table = read_table(f"{OWNER}.check", frame, list(columns))
        return {
            name: check_column(f"{OWNER}.check", column, table[name])
            for name, column in columns.items()
        }

    def raw_columns(self) -> dict[str, Column]:
        """By name, what is said of each raw column that a model reads."""
        columns: dict[str, Column] = {}
        columns |= {one.name: one for one in self.numeric}
        columns |= {one.name: one for one in self.ordinal}
        columns |= {one.name: one for one in self.categorical}
        raw = self._spec(self.hide_protected).raw
        return {name: columns[name] for name in raw}

    def labels(self, frame: Any, one_class: bool = False) -> np.ndarray:
        """The target of a table.

        Args:
            frame: as of `check`.
            one_class: whether all rows may be of one class, as in a part of a
                table. Nothing can be learned from such a table.

        Returns:
            int64 `(N,)`: 1 where bad.

        Raises:
            ValueError: with column and row, for a value that is missing or none
                of `target.values`; and where all rows are of one class, unless
                they may be.
        """
        if self.target is None:
            raise ValueError(
                f"{OWNER}.labels: the schema has no target. Received: "
                "target=None"
            )
        owner = f"{OWNER}.labels"
        table = read_table(owner, frame, [self.target.name])
        values = table[self.target.name]
        return check_labels(owner, self.target, values, one_class)

    def labels_by_target(
        self, frame: Any, one_class: bool = False
    ) -> dict[str, np.ndarray]:
        """All targets of a table, of which some may not be known yet.

        Args:
            frame: as of `check`.
            one_class: as of `labels`.

        Returns:
            By target, int64 `(N,)`: 1 where bad, -1 where missing.
        """
        owner = f"{OWNER}.labels_by_target"
        table = read_table(owner, frame, [one.name for one in self.targets])
        return {
            one.name: check_labels(owner, one, table[one.name], one_class, True)
            for one in self.targets
        }

    def _sign(self, name: str) -> int:
        signs: dict[str, int] = {one.name: one.monotone for one in self.numeric}
        signs |= {one.name: one.monotone for one in self.ordinal}
        signs |= {one.name: one.monotone for one in self.derived}
        return signs.get(name, 0)

    def _spec(self, hide: bool) -> TableSpec:
        numbers = [
            {
                "name": one.name,
                "special": one.special,
                "minimum": one.minimum,
                "maximum": one.maximum,
                "outside": one.outside
                if one.outside in OUTSIDE
                else OUTSIDE[0],
            }
            for one in self.numeric
        ]
        keys = {"name", "levels"}
        ordinals = [one.model_dump(include=keys) for one in self.ordinal]
        categories = [one.model_dump(include=keys) for one in self.categorical]
        derived: list[Mapping[str, Any]] = [
            {"name": one.name, "expression": one.expression}
            for one in self.derived
        ]
        spec = check_table(OWNER, numbers, ordinals, derived, categories)
        if not hide:
            return spec
        hidden = set(self.protected)
        hidden |= {
            one.name
            for one in self.derived
            if hidden & {*_roots(spec, one.name)}
        }
        return check_table(
            OWNER,
            *(
                [one for one in part if one["name"] not in hidden]
                for part in (numbers, ordinals, derived, categories)
            ),
        )


def _roots(spec: TableSpec, name: str) -> tuple[str, ...]:
    """The raw columns behind a raw or a derived one."""
    reads = {
        one["name"]: tree.columns
        for one, tree in zip(spec.derived, spec.expressions, strict=True)
    }
    if name not in reads:
        return (name,)
    found = [root for one in reads[name] for root in _roots(spec, one)]
    return tuple(dict.fromkeys(found))
