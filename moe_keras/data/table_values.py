"""The cells of a piece of a table, as numbers or in writing, or an error."""

from collections.abc import Iterable, Mapping

import numpy as np

from moe_keras.data.table_source import Chunk, Source
from moe_keras.errors import require


def read_chunk(
    source: Source, chunk: Chunk, texts: Mapping[str, bool], decimal: str
) -> dict[str, np.ndarray]:
    """Columns of some rows, each of a kind that is known.

    Args:
        source: the table.
        chunk: its rows.
        texts: by the name of each column, whether it holds texts.
        decimal: the decimal mark.

    Returns:
        float64 `(N,)`, NaN where missing, or objects `(N,)` of `str`, "" where
        missing.

    Raises:
        ValueError: for a text or an infinite number where a number belongs.
    """
    found = {}
    for name, is_text in texts.items():
        values = None
        if not is_text:
            values = read_numbers(source, chunk, name, decimal, must=True)
        found[name] = read_texts(chunk, name) if values is None else values
    return found


def parse_numbers(column: np.ndarray, decimal: str) -> np.ndarray:
    """Numbers, NaN for a missing value and for what is no number."""
    # Here, so that a list of names does not wait for pandas.
    import pandas as pd

    if column.dtype != object:
        return column
    if decimal == ",":
        # Afterwards a point is a comma, and so no part of any number.
        swapped = str.maketrans(",.", ".,")
        column = as_objects(cell.translate(swapped) for cell in column)
    found: np.ndarray = pd.to_numeric(column, errors="coerce")
    return found.astype("float64")


def read_numbers(
    source: Source, chunk: Chunk, name: str, decimal: str, must: bool
) -> np.ndarray | None:
    """A column as numbers; None, or an error if it must be, where it is not."""
    column = chunk.columns[name]
    if not must and column.dtype == object and not source.in_writing:
        return None
    values = parse_numbers(column, decimal)
    if column.dtype == object:
        wrong = np.isnan(values) & (column != "")
        if wrong.any():
            place = int(np.argmax(wrong))
            rule = f"a number belongs where {column[place]!r} stands"
            rule += _decimal_hint(column[place], decimal)
            require(
                not must, source.owner, rule, **at(source, name, chunk, place)
            )
            return None
    infinite = np.isinf(values)
    require(
        not infinite.any(),
        source.owner,
        "numbers must be finite.",
        **at(source, name, chunk, int(np.argmax(infinite))),
    )
    return values


def read_texts(chunk: Chunk, name: str) -> np.ndarray:
    """The values of a column in writing, "" where missing."""
    column = chunk.columns[name]
    if column.dtype == object:
        return column
    return as_objects(
        "" if np.isnan(number) else np.format_float_positional(number, trim="-")
        for number in column
    )


def read_filled(source: Source, chunk: Chunk, name: str) -> np.ndarray:
    """The values of a column in writing, none of which may be missing."""
    found = read_texts(chunk, name)
    missing = found == ""
    require(
        not missing.any(),
        source.owner,
        "a value is missing.",
        **at(source, name, chunk, int(np.argmax(missing))),
    )
    return found


def as_objects(values: Iterable[str]) -> np.ndarray:
    """An array of texts of any length."""
    return np.array(list(values), dtype=object)


def at(
    source: Source, name: str, chunk: Chunk, place: int
) -> dict[str, object]:
    """Where in the file an error is."""
    return {
        "path": str(source.path),
        "column": name,
        "row": chunk.row(place),
    }


def _decimal_hint(cell: str, decimal: str) -> str:
    """The end of the sentence about what is no number."""
    other = "," if decimal == "." else "."
    if np.isfinite(parse_numbers(as_objects([cell]), other)[0]):
        return f'; for this decimal mark, give `decimal="{other}"`.'
    return "."
