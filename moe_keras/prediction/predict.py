"""Files and texts to predictions, with the experts that decided."""

from collections.abc import Iterable, Iterator, Sequence
from os import PathLike
from pathlib import Path

import keras
import numpy as np

from moe_keras.errors import is_count, require
from moe_keras.insight import expert_names
from moe_keras.layers import record_gates
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
from moe_keras.prediction.readers import (
    OWNER,
    READERS,
    TEXT_FILES,
    Rows,
    read_rows,
    text_rows,
)
from moe_keras.prediction.trained import (
    TrainedModel,
    as_trained,
    table_columns,
)

Model = str | PathLike[str] | keras.Model | TrainedModel
# File, its place in the file, the text that it is, and what the model reads.
Row = tuple[str | None, int | None, str | None, np.ndarray]


def predict_files(
    model: Model,
    files: Iterable[str | PathLike[str]],
    top: int = 3,
    batch_size: int = 64,
    classes: Sequence[str] | None = None,
) -> list[Prediction]:
    """What a trained model says of files.

    Args:
        model: a handle of `load_preset`, a `.keras` file, a folder of a run, a
            `keras.Model`, or what `load_trained` returns.
        files: for an image model: pictures (`.png`, `.jpg`, `.jpeg`, `.bmp`,
            `.gif`, `.tif`, `.tiff`, `.webp`), upright, cut to the model's
            proportions and scaled to its size, in 0..255; arrays (`.npy`) of
            one image or of many. For a model of texts: `.txt`, UTF-8, one
            text a line; blank lines are left out.
        top: int > 0. How many classes to name.
        batch_size: int > 0. Rows that are computed together.
        classes: names, in the order of the outputs; None for the model's own.

    Returns:
        A `Prediction` for each row, in the order of the files.

    Raises:
        ValueError: for a model that cannot be loaded or does not return
            probabilities, and for a file that cannot be read.
    """
    require(
        not isinstance(files, str | PathLike),
        OWNER,
        "`files` must be a list of files.",
        files=files,
    )
    trained, shape = _check(
        OWNER, model, classes, top=top, batch_size=batch_size
    )
    rows = (
        row
        for file in files
        for row in _split(read_rows(Path(file), trained.task, shape), str(file))
    )
    return _predict_all(OWNER, trained, rows, top, batch_size)


def predict_texts(
    model: Model,
    texts: Iterable[str],
    top: int = 3,
    batch_size: int = 64,
    classes: Sequence[str] | None = None,
) -> list[Prediction]:
    """What a trained model says of texts.

    Args:
        model: see `predict_files`; it must read texts.
        texts: of any length; empty ones are predicted, too.
        top: int > 0. How many classes to name.
        batch_size: int > 0. Texts that are computed together.
        classes: names, in the order of the outputs; None for the model's own.

    Returns:
        A `Prediction` for each text, in their order.

    Raises:
        ValueError: for a model that cannot be loaded, reads no texts or does
            not return probabilities, and for what is no text.
    """
    owner = "predict_texts"
    trained, shape = _check(
        owner, model, classes, top=top, batch_size=batch_size
    )
    require(
        READERS.get(trained.task) is TEXT_FILES,
        owner,
        "the model must be one that reads texts.",
        task=trained.task,
    )
    given = [texts] if isinstance(texts, str) else list(texts)
    require(
        not isinstance(texts, str) and all(isinstance(t, str) for t in given),
        owner,
        "`texts` must be a sequence of str.",
        texts=given[:3],
    )
    rows = _split(text_rows(given, shape), None)
    return _predict_all(owner, trained, rows, top, batch_size)


def _check(
    owner: str, model: Model, classes: Sequence[str] | None, **counts: int
) -> tuple[TrainedModel, tuple[int, ...]]:
    """The model and the shape of what it reads."""
    for name, value in counts.items():
        require(
            is_count(value),
            owner,
            f"`{name}` must be an integer above 0.",
            **{name: value},
        )
    trained = as_trained(model, classes, owner)
    require(
        table_columns(trained.model) is None,
        owner,
        "a model of tables is asked with `score_table`.",
        model=trained.name,
    )
    shape = tuple(trained.model.input_shape[1:])
    require(
        all(map(is_count, shape)),
        owner,
        "the model must declare the shape of its inputs.",
        input_shape=shape,
    )
    return trained, shape


def _split(rows: Rows, file: str | None) -> Iterator[Row]:
    for n in range(len(rows.values)):
        place = None if rows.places is None else rows.places[n]
        text = None if rows.texts is None else rows.texts[n]
        # Texts as arrays of rank 0: NumPy cuts NUL off the end of `bytes`.
        yield file, place, text, rows.values[n, ...]


def _predict_all(
    owner: str,
    trained: TrainedModel,
    rows: Iterable[Row],
    top: int,
    batch_size: int,
) -> list[Prediction]:
    return [
        prediction
        for batch in _batches(rows, batch_size)
        for prediction in _predict(owner, trained, batch, top)
    ]


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
    owner: str, trained: TrainedModel, batch: list[Row], top: int
) -> Iterator[Prediction]:
    inputs = np.stack([value for *_, value in batch])
    if inputs.dtype == object:
        inputs = keras.ops.convert_to_tensor(inputs, dtype="string")
    with record_gates() as record:
        outputs = trained.model(inputs, training=False)
    outputs = read_probabilities(owner, outputs, trained.name)
    gates = {name: busiest(as_numpy(value)) for name, value in record.items()}
    names = expert_names(trained.model)
    for place, (file, row, text, _) in enumerate(batch):
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
                ExpertShare(
                    layer,
                    name_expert(names, layer, int(experts[place])),
                    float(shares[place]),
                )
                for layer, (experts, shares) in gates.items()
            ),
            text,
        )
