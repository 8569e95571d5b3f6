"""The rows of a table to a file of scores, in memory that does not grow."""

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
)

from moe_keras.errors import require, require_counts
from moe_keras.prediction.score_report import (
    TableScores,
    csv_parts,
    json_parts,
)
from moe_keras.prediction.score_rows import (
    BATCH_SIZE,
    Model,
    ScoredRows,
    open_scores,
    score_chunks,
)
from moe_keras.prediction.table_reader import OWNER
from moe_keras.prediction.trained import as_trained
from moe_keras.storage import write_parts

ENDINGS = (".csv", ".json")


def score_table(
    model: Model,
    path: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    batch_size: int = BATCH_SIZE,
    classes: Any = None,
    top: int | None = None,
    console: Console | None = None,
    **options: Any,
) -> TableScores:
    """Write what a model of tables says of each row of a file.

    The file is read, and the scores are written, a piece at a time: the memory
    that it takes does not grow with the file. `out` has its name when all of it
    is there; after an error or an interruption, what was there before stays.

    Args:
        model: see `score_rows`.
        path: of a CSV file, or of a Parquet file by its ending.
        out: a `.csv` file with a line for each row: `line` (of Parquet `row`,
            from 1 on; the column's own name with `id_column`); `p_NAME`, the
            probability, for each class; `class`, the most probable one; and for
            each layer that gates `expert_LAYER` and `share_LAYER`. Or a `.json`
            file, as of `predict_files`.
        batch_size: int > 0. Rows that are computed together.
        classes: names, in the order of the outputs; None for the model's own.
        top: int > 0, how many classes to name in JSON; None for all.
        console: where progress goes; None for nowhere.
        **options: see `score_rows`.

    Returns:
        `TableScores`.

    Raises:
        OSError: when `out` cannot be written.
        ValueError: see `score_rows`; and for an `out` of another ending, that
            is the table itself, or whose columns would have one name.
    """
    path, out = Path(path), Path(out)
    require(
        out.suffix in ENDINGS,
        OWNER,
        f"`out` must end in {' or '.join(ENDINGS)}.",
        out=str(out),
    )
    require(
        out.resolve() != path.resolve() and not out.is_dir(),
        OWNER,
        "`out` must be another file than the table, and no folder.",
        out=str(out),
    )
    require_counts(OWNER, batch_size=batch_size, top=1 if top is None else top)
    trained = as_trained(model, classes, OWNER)
    reader = open_scores(trained, path, **options)
    heading = reader.id_column or (
        "line" if reader.source.in_writing else "row"
    )
    sums = np.zeros(len(trained.classes))
    predicted, unseen = np.zeros(len(sums), "int64"), Counter[str]()

    def tally() -> Iterator[ScoredRows]:
        nonlocal sums, predicted
        for rows in score_chunks(trained, reader, batch_size, None):
            sums += rows.probabilities.sum(axis=0, dtype="float64")
            predicted += np.bincount(rows.best, minlength=len(sums))
            unseen.update(rows.unseen)
            yield rows

    scored = _watched(tally(), path.name, console)
    if out.suffix == ".csv":
        parts = csv_parts(scored, heading)
    else:
        parts = json_parts(scored, trained.name, str(path), top)
    write_parts(out, (part.encode() for part in parts))
    count = int(predicted.sum())
    return TableScores(
        str(out),
        count,
        dict(zip(trained.classes, (sums / count).tolist(), strict=True)),
        dict(zip(trained.classes, predicted.tolist(), strict=True)),
        reader.ignored,
        dict(unseen),
    )


def _watched(
    scored: Iterator[ScoredRows], label: str, console: Console | None
) -> Iterator[ScoredRows]:
    """The same rows, with a bar of how much of the file was read."""
    if console is None:
        yield from scored
        return
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=12),
        TaskProgressColumn(),
        TextColumn("{task.fields[rows]:,} rows"),
        TimeElapsedColumn(),
        console=console,
    )
    with bar:
        done = 0
        task = bar.add_task(label, total=1.0, rows=0)
        for rows in scored:
            yield rows
            done += len(rows)
            bar.update(task, completed=rows.share, rows=done)
            del rows
        bar.update(task, completed=1.0)
