"""The rows of a table to probabilities, a piece at a time."""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from moe_keras.errors import require, require_counts
from moe_keras.insight import GatedModel, expert_names
from moe_keras.prediction.outputs import (
    as_numpy,
    busiest,
    name_expert,
    read_probabilities,
)
from moe_keras.prediction.prediction import (
    ClassScore,
    ExpertShare,
    Prediction,
)
from moe_keras.prediction.table_reader import OWNER, TableReader, open_reader
from moe_keras.prediction.trained import (
    TrainedModel,
    as_trained,
    table_columns,
)

BATCH_SIZE = 4096
Model = str | os.PathLike[str] | keras.Model | TrainedModel


@dataclass(frozen=True, eq=False)
class ScoredRows:
    """What a model says of some rows of a table.

    Attributes:
        names: `(N,)` of each row: its id as `str`; or the number of the line on
            which it ends; or, of Parquet, its number from 1 on.
        classes: names of the C classes.
        probabilities: float32 `(N, C)`.
        experts: by the name of each layer that gates: for each row, the name
            `(N,)` of the expert that counted most, and its share `(N,)` of the
            gates.
        unseen: by column, how many values are levels that the model has not
            got, and takes as missing.
        share: float in [0, 1], how much of the file was read by now.
    """

    names: np.ndarray
    classes: tuple[str, ...]
    probabilities: np.ndarray
    experts: Mapping[str, tuple[np.ndarray, np.ndarray]]
    unseen: Mapping[str, int]
    share: float

    def __len__(self) -> int:
        return len(self.names)

    @property
    def best(self) -> np.ndarray:
        """Int `(N,)`: the most probable class, the first of equal ones."""
        found: np.ndarray = self.probabilities.argmax(axis=1)
        return found

    def predictions(self, file: str, top: int) -> Iterator[Prediction]:
        """The same as of other files, one for each row.

        Args:
            file: its name.
            top: int > 0. How many classes to name.
        """
        order = np.argsort(-self.probabilities, axis=1, kind="stable")
        for place, name in enumerate(self.names.tolist()):
            yield Prediction(
                file,
                name,
                tuple(
                    ClassScore(
                        self.classes[c], float(self.probabilities[place, c])
                    )
                    for c in order[place, :top]
                ),
                tuple(
                    ExpertShare(layer, str(names[place]), float(shares[place]))
                    for layer, (names, shares) in self.experts.items()
                ),
            )


def score_rows(
    model: Model,
    path: str | os.PathLike[str],
    *,
    batch_size: int = BATCH_SIZE,
    classes: Sequence[str] | None = None,
    max_rows: int | None = None,
    **options: Any,
) -> Iterator[ScoredRows]:
    """What a model of tables says of the rows of a file, a piece at a time.

    The memory that it takes does not grow with the file.

    Args:
        model: see `predict_files`; it must read tables, as those of
            `build_risk_moe` do.
        path: of a CSV file, or of a Parquet file by its ending.
        batch_size: int > 0. Rows that are computed together.
        classes: names, in the order of the outputs; None for the model's own.
        max_rows: int > 0, how many rows to read; None for all.
        **options: `id_column`, whose values name the rows; `schema`, a
            `RiskSchema` or its file, whose rules refuse values that the model
            would take as missing, or clip; and `separator`, `decimal`,
            `thousands`, `encoding`, `missing`, see `moe_keras.data.load_table`.
            What is not given is as it was in the training, where the model is
            that of a run's folder.

    Returns:
        Iterator over `ScoredRows`, in the order of the file.

    Raises:
        ValueError: at once for a model that cannot be loaded or reads no
            tables, and for a file that is no table or lacks a column; and, when
            its rows are read, with file, column and row for what is no value of
            its column.
    """
    require_counts(OWNER, batch_size=batch_size)
    if max_rows is not None:
        require_counts(OWNER, max_rows=max_rows)
    trained = as_trained(model, classes, OWNER)
    reader = open_scores(trained, path, **options)
    return score_chunks(trained, reader, batch_size, max_rows)


def open_scores(
    trained: TrainedModel, path: str | os.PathLike[str], **options: Any
) -> TableReader:
    """The reader of a file for a model; see `score_rows`."""
    columns = table_columns(trained.model)
    require(
        columns is not None,
        OWNER,
        "the model must be one that reads tables, through a TableColumns "
        "layer.",
        model=trained.name,
        task=trained.task,
    )
    return open_reader(columns, path, **{**trained.reading, **options})


def score_chunks(
    trained: TrainedModel,
    reader: TableReader,
    batch_size: int,
    max_rows: int | None,
) -> Iterator[ScoredRows]:
    """See `score_rows`."""
    gated = GatedModel(trained.model)
    names = expert_names(trained.model)
    rows = 0
    for chunk in reader.chunks():
        inputs, ids = reader.read(chunk), reader.names(chunk)
        share = chunk.share
        del chunk
        if max_rows is not None:
            ids = ids[: max_rows - rows]
            inputs = {name: v[: len(ids)] for name, v in inputs.items()}
        outputs, gates = _ask(gated, inputs, batch_size)
        experts = {}
        for layer, values in gates.items():
            places, shares = busiest(values)
            known = [
                name_expert(names, layer, one)
                for one in range(values.shape[-1])
            ]
            experts[layer] = np.array(known, dtype=object)[places], shares
        yield ScoredRows(
            ids,
            trained.classes,
            read_probabilities(OWNER, outputs, trained.name),
            experts,
            reader.unseen(inputs),
            share,
        )
        rows += len(ids)
        if rows == max_rows:
            return


def _ask(
    gated: GatedModel,
    inputs: Mapping[str, np.ndarray],
    batch_size: int,
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Outputs and gates of some rows, by batches."""
    outputs, gates = [], []
    for _, said, seen in gated.batches(inputs, batch_size):
        outputs.append(as_numpy(said))
        gates.append({name: as_numpy(value) for name, value in seen.items()})
    return np.concatenate(outputs), {
        name: np.concatenate([one[name] for one in gates]) for name in gates[0]
    }
