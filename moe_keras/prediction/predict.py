"""Files to predictions, with the experts that decided."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from os import PathLike
from pathlib import Path

import keras
import numpy as np

from moe_keras.errors import is_count, require
from moe_keras.insight import expert_names
from moe_keras.layers import record_gates
from moe_keras.prediction.prediction import (
    ClassScore,
    ExpertShare,
    Prediction,
)
from moe_keras.prediction.readers import OWNER, read_rows
from moe_keras.prediction.trained import TrainedModel, as_trained

Row = tuple[str, int | None, np.ndarray]


def predict_files(
    model: str | PathLike[str] | keras.Model | TrainedModel,
    files: Iterable[str | PathLike[str]],
    top: int = 3,
    batch_size: int = 64,
    classes: Sequence[str] | None = None,
) -> list[Prediction]:
    """What a trained model says of files.

    Args:
        model: a handle of `load_preset`, a `.keras` file, a folder of a run, a
            `keras.Model`, or what `load_trained` returns.
        files: for an image model: images (`.png`, `.jpg`, `.jpeg`), cut to the
            model's proportions and scaled to its size; arrays (`.npy`) of one
            image or of many.
        top: int > 0. How many classes to name.
        batch_size: int > 0. Rows that are computed together.
        classes: names, in the order of the outputs; None for the model's own.

    Returns:
        A `Prediction` for each row, in the order of the files.

    Raises:
        ValueError: for a model that cannot be loaded or does not return
            probabilities, and for a file that cannot be read.
    """
    for name, value in (("top", top), ("batch_size", batch_size)):
        require(
            is_count(value),
            OWNER,
            f"`{name}` must be an integer above 0.",
            **{name: value},
        )
    trained = as_trained(model, classes)
    shape = tuple(trained.model.input_shape[1:])
    require(
        all(map(is_count, shape)),
        OWNER,
        "the model must declare the shape of its inputs.",
        input_shape=shape,
    )
    rows = _rows(files, trained.task, shape)
    return [
        prediction
        for batch in _batches(rows, batch_size)
        for prediction in _predict(trained, batch, top)
    ]


def _rows(
    files: Iterable[str | PathLike[str]], task: str, shape: tuple[int, ...]
) -> Iterator[Row]:
    for file in files:
        values, many = read_rows(Path(file), task, shape)
        for place, value in enumerate(values):
            yield str(file), place if many else None, value


def _batches(rows: Iterable[Row], size: int) -> Iterator[list[Row]]:
    batch = []
    for row in rows:
        batch.append(row)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch


def _predict(
    trained: TrainedModel, batch: list[Row], top: int
) -> Iterator[Prediction]:
    inputs = np.stack([value for _, _, value in batch])
    with record_gates() as record:
        outputs = trained.model(inputs, training=False)
    outputs = _as_numpy(outputs)
    require(
        bool(np.all(outputs >= 0))
        and np.allclose(outputs.sum(axis=-1), 1, atol=1e-2),
        OWNER,
        "the model must return probabilities of classes.",
        model=trained.name,
        first_output=outputs[0].tolist(),
    )
    gates = {name: _as_numpy(value) for name, value in record.items()}
    names = expert_names(trained.model)
    for place, (file, row, _) in enumerate(batch):
        # Stable, so that equal ones come in the order of the classes.
        best = np.argsort(-outputs[place], kind="stable")[:top]
        yield Prediction(
            file,
            row,
            tuple(
                ClassScore(trained.classes[c], float(outputs[place, c]))
                for c in best
            ),
            tuple(
                _busiest(names, name, value[place])
                for name, value in gates.items()
            ),
        )


def _as_numpy(tensor: object) -> np.ndarray:
    value: np.ndarray = keras.ops.convert_to_numpy(
        keras.ops.cast(tensor, "float32")
    )
    return value


def _busiest(
    names: Mapping[str, Sequence[str]], layer: str, gates: np.ndarray
) -> ExpertShare:
    """Of the gates `(..., E)` of one input, the expert that counted most."""
    means = gates.reshape(-1, gates.shape[-1]).mean(axis=0)
    total = float(means.sum())
    best = int(means.argmax())
    share = float(means[best]) / total if total > 0 else 0.0
    name = names[layer][best] if layer in names else str(best)
    return ExpertShare(layer, name, share)
