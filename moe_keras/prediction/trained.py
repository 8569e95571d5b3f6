"""Trained models by whatever names them: preset, file, folder of a run."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from os import PathLike
from pathlib import Path
from typing import Any

import keras

from moe_keras.data.table import READING
from moe_keras.errors import require
from moe_keras.layers import TableColumns
from moe_keras.runner.files import MODEL as RUN_MODEL
from moe_keras.runner.files import RESULT as RUN_RESULT
from moe_keras.runner.files import is_unfinished_table
from moe_keras.storage import check_archive
from moe_keras.training.recipe_file import FILE_NAME, load_recipe
from moe_keras.zoo import load_preset
from moe_keras.zoo.presets.info import INFO_FILE
from moe_keras.zoo.presets.loading import load_info

OWNER = "load_trained"


@dataclass(frozen=True)
class TrainedModel:
    """A model that can be asked about files, texts or tables.

    Attributes:
        name: what it was loaded by.
        model: `keras.Model`, built.
        task: such as `"image"`; says how files are read.
        classes: names, in the order of the outputs; two where the one output
            is the probability of the second; numbers where the model does not
            say them.
        reading: how tables are written that it was trained on, as options of
            `score_rows`; empty where nothing says it, or for the usual way.
    """

    name: str
    model: keras.Model
    task: str
    classes: tuple[str, ...]
    reading: Mapping[str, Any] = field(default_factory=dict)


def load_trained(name: str | PathLike[str], owner: str = OWNER) -> TrainedModel:
    """Load a preset, a `.keras` file or the model of a run.

    Args:
        name: a handle of `load_preset`; a `.keras` file; or a folder with a
            `model.keras`.
        owner: whom to name in errors.

    Returns:
        `TrainedModel`. A lone `.keras` file has numbers for classes; beside
        the `result.json` of its training, or a preset, the names that they say.
        In a folder with both a `model.keras` and a preset, as `train_table`
        makes, the former is the model, and the latter says its task too. The
        folder's recipe, if any, says how tables are read.

    Raises:
        ValueError: for what names no model, and for a model that cannot be
            loaded. No code is run: see `load_preset`.
    """
    found = _load(name, owner)
    if table_columns(found.model) is None:
        return found
    return replace(found, reading=_reading_of(Path(name)))


def _reading_of(path: Path) -> dict[str, Any]:
    """How the recipe of a run says that its table is to be read."""
    folder = path.parent if path.name == RUN_MODEL else path
    if not (folder / FILE_NAME).is_file():
        return {}
    options = load_recipe(folder).data.options
    return {key: options[key] for key in READING if key in options}


def _load(name: str | PathLike[str], owner: str) -> TrainedModel:
    path = Path(name)
    if path.is_file():
        return _with_names(
            _describe(str(name), _read_model(path, owner), owner), path.parent
        )
    require(
        not is_unfinished_table(path),
        owner,
        "the training of this table is not done, and the model of all rows is "
        "not there yet; give the command that began it again, it goes on from "
        "where it was.",
        folder=str(path),
    )
    file = path / RUN_MODEL
    if file.is_file() and (path / INFO_FILE).is_file():
        info = load_info(path.resolve())
        found = _describe(str(name), _read_model(file, owner), owner)
        return TrainedModel(found.name, found.model, info.task, info.classes)
    if path.is_dir() and not (path / INFO_FILE).is_file():
        if (path / RUN_MODEL).is_file():
            model = _read_model(path / RUN_MODEL, owner)
            return _with_names(_describe(str(name), model, owner), path)
        seeds = [found.parent for found in path.glob(f"*/{RUN_MODEL}")]
        require(
            not seeds,
            owner,
            "the folder holds several trained models; name one of "
            + ", ".join(sorted(map(str, seeds)))
            + ".",
            folder=str(path),
        )
        require(
            False,
            owner,
            f"the folder holds neither a {RUN_MODEL}, as a training writes, "
            f"nor the {INFO_FILE} of a preset.",
            folder=str(path),
        )
    require(
        path.suffix not in (".keras", ".h5"),
        owner,
        "there is no such file.",
        file=str(path),
    )
    preset = load_preset(name)
    return TrainedModel(str(name), preset.model, preset.task, preset.classes)


def _with_names(found: TrainedModel, folder: Path) -> TrainedModel:
    """The same with the names of the classes that its folder knows, if any.

    A `.keras` file has none; the result of a training beside it has, and so
    has a preset.
    """
    try:
        if (folder / INFO_FILE).is_file():
            names = load_info(folder.resolve()).classes
        else:
            result = json.loads((folder / RUN_RESULT).read_text("utf-8"))
            names = tuple(result["classes"])
    except (OSError, ValueError, KeyError, TypeError):
        return found
    fits = len(names) == len(found.classes) and all(
        isinstance(name, str) for name in names
    )
    return replace(found, classes=names) if fits else found


def _describe(name: str, model: Any, owner: str) -> TrainedModel:
    task = _task_of(model)
    require(
        task is not None,
        owner,
        "a model without a preset must map images (B, H, W, C), texts (B,), or "
        "the columns of a table, a dict of (B,) that a TableColumns layer "
        "reads, to classes.",
        model=name,
        input_shape=_said_by(model, "input_shape"),
        output_shape=_said_by(model, "output_shape"),
    )
    _check_outputs(name, model, owner)
    return TrainedModel(name, model, str(task), _numbers(_class_count(model)))


def table_columns(model: Any) -> TableColumns | None:
    """The layer by which a model reads tables; None where it reads none.

    Args:
        model: `keras.Model`.
    """
    if not isinstance(_said_by(model, "input"), dict):
        return None
    layers = model._flatten_layers()
    return next((one for one in layers if isinstance(one, TableColumns)), None)


def reads_tables(trained: TrainedModel) -> bool:
    """Whether a model is asked with `score_table`, not `predict_files`."""
    return table_columns(trained.model) is not None


def _task_of(model: Any) -> str | None:
    """What a model without a preset is for, by what it reads."""
    shape = _said_by(model, "input_shape")
    if table_columns(model) is not None:
        return "risk"
    if not isinstance(shape, tuple):
        return None
    if model.inputs[0].dtype == "string":
        return "text"
    return "image" if len(shape) == 4 else None


def _check_outputs(name: str, model: Any, owner: str) -> None:
    """Refuse a model with several outputs."""
    shape = _said_by(model, "output_shape")
    require(
        not isinstance(shape, dict | list),
        owner,
        "a model of several targets cannot be asked about a file: make one of "
        "an output, keras.Model(model.input, model.output[target]).",
        model=name,
        output_shape=shape,
    )


def _said_by(model: Any, which: str) -> Any:
    """None for a model that does not say, such as one of a class of its own."""
    try:
        return getattr(model, which)
    except (AttributeError, ValueError):
        return None


def _class_count(model: Any) -> int:
    """One output is the probability of the second of two classes."""
    return max(2, int(model.output_shape[-1]))


def _numbers(count: int) -> tuple[str, ...]:
    return tuple(map(str, range(count)))


def as_trained(
    model: str | PathLike[str] | keras.Model | TrainedModel,
    classes: Sequence[str] | None = None,
    owner: str = OWNER,
) -> TrainedModel:
    """A model, or what names one, as a `TrainedModel`.

    Args:
        model: see `predict_files`.
        classes: names, in the order of the outputs; None for its own.
        owner: whom to name in errors.

    Raises:
        ValueError: for names that are not as many as the outputs.
    """
    if isinstance(model, keras.Model):
        model = _describe(model.name, model, owner)
    trained = (
        model if isinstance(model, TrainedModel) else load_trained(model, owner)
    )
    _check_outputs(trained.name, trained.model, owner)
    count = _class_count(trained.model)
    names = trained.classes if classes is None else tuple(classes)
    require(
        len(names) == count
        and not isinstance(classes, str)
        and (classes is None or len(set(names)) == count),
        owner,
        "`classes` must have one name for each of the "
        f"{count} classes, all of them different.",
        classes=classes if isinstance(classes, str) else names,
    )
    return replace(trained, classes=names)


def _read_model(path: Path, owner: str) -> Any:
    try:
        if path.suffix == ".keras":
            check_archive(path)
        return keras.saving.load_model(path)
    except Exception as error:
        # Zip, HDF5 and Keras each have errors of their own for broken files.
        lines = str(error).strip().splitlines() or [type(error).__name__]
        require(
            False,
            owner,
            "the file cannot be read as a Keras model.",
            file=str(path),
            reason=lines[0][:300],
        )
