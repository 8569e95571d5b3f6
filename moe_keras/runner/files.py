"""What a run leaves in its folder, written whole or not at all."""

import io
import json
import os
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np

from moe_keras.training.checkpoint import write_file

MODEL = "model.keras"
HISTORY = "history.json"
# The last to be written: where it is, the run is done.
RESULT = "result.json"
CHECKPOINTS = "checkpoints"
# What the experts of a run said of its training rows, out of fold.
OPINIONS = "opinions.npz"


def write_json(path: Path, value: Any) -> None:
    """Write a value as JSON.

    Raises:
        OSError: when it cannot be written; what was there stays.
    """
    text = json.dumps(value, indent=2, ensure_ascii=False) + "\n"
    _write(path, text.encode())


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Raises:
        ValueError: when it holds none.
        OSError: when it cannot be read.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is not JSON: {error}") from None


def read_result(folder: Path) -> dict[str, Any]:
    """A run's `result.json`.

    Raises:
        ValueError: when it is not what `train_recipe` writes.
        OSError: when it cannot be read.
    """
    result = read_json(folder / RESULT)
    if not isinstance(result, dict) or "training" not in result:
        raise ValueError(f"{folder / RESULT} is not the result of a training")
    return result


def write_model(path: Path, model: keras.Model) -> None:
    """Save a model in Keras' own format.

    Raises:
        OSError: when it cannot be written; what was there stays.
    """
    draft = path.with_name(f".{os.getpid()}.{path.name}")
    try:
        model.save(draft)
        content = draft.read_bytes()
    except OSError as error:
        raise _cannot_write(path, error) from error
    finally:
        draft.unlink(missing_ok=True)
    _write(path, content)


def read_model(path: Path) -> keras.Model:
    """Load a saved model.

    Raises:
        ValueError: when the file is not one.
        OSError: when it cannot be read.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path}: there is no such model")
    try:
        return keras.saving.load_model(path)
    except Exception as error:
        # Zip, HDF5 and Keras each have errors of their own for broken files.
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise ValueError(
            f"{path} cannot be read as a Keras model: {lines[0]}"
        ) from error


def write_arrays(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write arrays, as `numpy.savez_compressed` does.

    Raises:
        OSError: when they cannot be written; what was there stays.
    """
    content = io.BytesIO()
    np.savez_compressed(content, allow_pickle=False, **arrays)
    _write(path, content.getvalue())


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """Read the arrays of a file.

    Raises:
        ValueError: when it holds none.
        OSError: when it cannot be read.
    """
    try:
        with path.open("rb") as opened, np.load(opened) as file:
            return {name: file[name] for name in file.files}
    except (ValueError, EOFError, KeyError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path} holds no arrays: {error}") from None


def _write(path: Path, content: bytes) -> None:
    try:
        write_file(path, content)
    except OSError as error:
        raise _cannot_write(path, error) from error


def _cannot_write(path: Path, error: OSError) -> OSError:
    return OSError(
        f"cannot write {path}: {error.strerror or error}; the last checkpoint "
        "is intact, and the same command goes on from there"
    )
