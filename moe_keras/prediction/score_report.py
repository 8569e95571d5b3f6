"""Scores of a table's rows as CSV and JSON by pieces, and for the terminal."""

import csv
import io
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from rich.table import Table
from rich.text import Text

from moe_keras.errors import require
from moe_keras.prediction.score_rows import ScoredRows
from moe_keras.prediction.table_reader import OWNER

# Rows, and names of columns, in a terminal.
SHOWN = 20
_NAMED = 8


@dataclass(frozen=True)
class TableScores:
    """What `score_table` has written.

    Attributes:
        out: the file.
        rows: how many.
        means: by class, the mean of its probabilities.
        predicted: by class, of how many rows it is the most probable one.
        ignored: columns of the table that the model does not read.
        unseen: by column, how many values are levels that the model has not
            got, and took as missing.
    """

    out: str
    rows: int
    means: dict[str, float]
    predicted: dict[str, int]
    ignored: tuple[str, ...]
    unseen: dict[str, int]


def csv_parts(scored: Iterator[ScoredRows], heading: str) -> Iterator[str]:
    """The text of a CSV file, a piece at a time; see `score_table`.

    Args:
        scored: the rows.
        heading: of the column that names them.
    """
    names: list[str] = []
    for rows in scored:
        if not names:
            names = _headings(rows, heading)
            yield _lines([names])
        # As texts: the shortest that give the same float32.
        scores = rows.probabilities.astype(str)
        columns = [rows.names, *scores.T, np.array(rows.classes)[rows.best]]
        for experts, shares in rows.experts.values():
            columns += [experts, shares.astype("float32").astype(str)]
        yield _lines(zip(*(one.tolist() for one in columns), strict=True))


def json_parts(
    scored: Iterator[ScoredRows], model: str, file: str, top: int | None
) -> Iterator[str]:
    """The text of a JSON file, as `predictions_json` has it, by pieces.

    Args:
        scored: the rows.
        model: its name.
        file: that of the table.
        top: int > 0, how many classes to name; None for all.
    """
    between = f'{{"model": {json.dumps(model)}, "predictions": [\n'
    for rows in scored:
        lines = []
        for one in rows.predictions(file, top or len(rows.classes)):
            values = asdict(one)
            del values["text"]
            lines.append(between + json.dumps(values))
            between = ",\n"
        yield "".join(lines)
    yield "\n]}\n"


def _headings(rows: ScoredRows, heading: str) -> list[str]:
    names = [heading, *(f"p_{name}" for name in rows.classes), "class"]
    for layer in rows.experts:
        names += [f"expert_{layer}", f"share_{layer}"]
    require(
        len({*names}) == len(names),
        OWNER,
        "two columns of the scores would have one name.",
        columns=names,
    )
    return names


def _lines(rows: Any) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


def rows_table(rows: ScoredRows) -> Table:
    """The first rows, of which those in a terminal are few.

    Args:
        rows: at least one.
    """
    table = Table()
    table.add_column("row", justify="right")
    for name in rows.classes:
        table.add_column(Text(f"p {name}"), justify="right")
    table.add_column("class")
    table.add_column("expert that counted most", overflow="fold")
    for place, name in enumerate(rows.names[:SHOWN].tolist()):
        table.add_row(
            # As text: brackets in it are no markup.
            Text(str(name)),
            *(f"{chance:.4f}" for chance in rows.probabilities[place]),
            Text(rows.classes[rows.best[place]]),
            ", ".join(
                f"{layer}: {names[place]} ({100 * shares[place]:.1f} %)"
                for layer, (names, shares) in rows.experts.items()
            ),
        )
    return table


def scores_table(scores: TableScores) -> Table:
    """What was written, and what was not read."""
    table = Table(show_header=False)
    table.add_row("rows", f"{scores.rows:,}")
    for name, mean in scores.means.items():
        table.add_row(
            Text(f"p {name}"),
            f"{mean:.4f} in the mean, the class of "
            f"{scores.predicted[name]:,} rows",
        )
    if scores.ignored:
        table.add_row("not read", Text(_some(scores.ignored)))
    for name, count in scores.unseen.items():
        table.add_row(
            Text(f"unknown {name}"),
            f"{count:,} rows with a level that the model has not got, taken "
            "as missing",
        )
    return table


def scores_json(scores: TableScores) -> str:
    """The same as JSON."""
    return json.dumps(asdict(scores), indent=2)


def _some(names: tuple[str, ...]) -> str:
    """The first names, and how many others there are."""
    more = len(names) - _NAMED
    shown = ", ".join(names[:_NAMED])
    return f"{shown} and {more} others" if more > 0 else shown
