"""What a run leaves in its folder, written whole or not at all."""

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import keras
import numpy as np

from moe_keras import storage
from moe_keras.storage import DamagedFile, read_json

MODEL = "model.keras"
HISTORY = "history.json"
# The last to be written: where it is, the run is done.
RESULT = "result.json"
SUMS = "SHA256SUMS"
# The first that `train_table` writes into its folder: what was asked for.
TABLE_RUN = "run.json"
CHECKPOINTS = "checkpoints"
# What the experts of a run said of its training rows, out of fold.
OPINIONS = "opinions.npz"


def write_json(path: Path, value: Any) -> None:
    """Write a value as JSON.

    Raises:
        OSError: when it cannot be written; what was there stays.
    """
    with _goes_on(path):
        storage.write_json(path, value)


def finish(folder: Path, result: dict[str, Any]) -> None:
    """Write a run's `result.json`, when all its other files are there.

    Before it comes a list of what they must be, which `sha256sum --check`
    reads too.

    Raises:
        OSError: when they cannot be written.
    """
    text = storage.as_json(result)
    sums = {
        name: digest((folder / name).read_bytes())
        for name in (MODEL, HISTORY, OPINIONS)
        if (folder / name).exists()
    }
    sums[RESULT] = digest(text.encode())
    lines = (f"{value}  {name}\n" for name, value in sums.items())
    with _goes_on(folder / SUMS):
        storage.write_text(folder / SUMS, "".join(lines))
    with _goes_on(folder / RESULT):
        storage.write_text(folder / RESULT, text)


def is_finished(folder: Path) -> bool:
    """Whether a run is done."""
    return (folder / RESULT).exists()


def is_unfinished_table(folder: Path) -> bool:
    """Whether a folder is one of `train_table` that is not done yet.

    It is done when the model of all rows is there. Earlier versions wrote the
    recipe first.
    """
    begun = (folder / TABLE_RUN).is_file() or (
        (folder / "recipe.yaml").is_file() and (folder / "runs").is_dir()
    )
    return begun and not (folder / MODEL).is_file()


def read_result(folder: Path) -> dict[str, Any]:
    """A run's `result.json`.

    Raises:
        ValueError: when it is not what `train_recipe` writes.
        OSError: when it cannot be read.
    """
    path = folder / RESULT
    check_sum(path)
    result = read_json(path)
    if not isinstance(result, dict) or "training" not in result:
        raise DamagedFile(f"{path} is not the result of a training")
    return result


def read_history(folder: Path) -> dict[str, list[Any]]:
    """A run's `history.json`; see `read_result`."""
    check_sum(folder / HISTORY)
    history: dict[str, list[Any]] = read_json(folder / HISTORY)
    return history


def check_sum(path: Path) -> None:
    """Refuse a file of a run that is not what the training has written.

    Runs of earlier versions have no list of sums, and are taken as they are.

    Raises:
        DamagedFile: when it is another; it says what to do.
    """
    sums = path.parent / SUMS
    if not sums.is_file() or not path.is_file():
        return
    for line in sums.read_text(encoding="utf-8", errors="replace").splitlines():
        value, _, name = line.partition("  ")
        if name == path.name and value != digest(path.read_bytes()):
            raise DamagedFile(
                f"{path} is not what the training has written: its sum is not "
                f"that of {SUMS}; remove {path.parent}, and train again"
            )


def digest(content: bytes) -> str:
    """SHA-256, 64 hexadecimal digits."""
    return hashlib.sha256(content).hexdigest()


def write_model(path: Path, model: keras.Model) -> None:
    """Save a model in Keras' own format.

    Raises:
        OSError: when it cannot be written; what was there stays.
    """
    with _goes_on(path):
        storage.write_model(path, model)


def read_model(path: Path) -> keras.Model:
    """Load a saved model.

    Raises:
        ValueError: when the file is not one.
        OSError: when it cannot be read.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path}: there is no such model")
    check_sum(path)
    try:
        storage.check_archive(path)
        return keras.saving.load_model(path)
    except Exception as error:
        # HDF5 and Keras each have errors of their own for what is no model.
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise ValueError(
            f"{path} cannot be read as a Keras model: {lines[0]}"
        ) from error


def write_arrays(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write arrays, as `numpy.savez_compressed` does.

    Raises:
        OSError: when they cannot be written; what was there stays.
    """
    with _goes_on(path):
        storage.write_file(path, storage.pack_arrays(arrays, compress=True))


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """Read the arrays of a run's file.

    Raises:
        DamagedFile: when they are not what was written.
        OSError: when it cannot be read.
    """
    check_sum(path)
    return storage.read_arrays(path)


@contextmanager
def _goes_on(path: Path) -> Iterator[None]:
    """Errors say what is left of the run."""
    try:
        yield
    except OSError as error:
        raise OSError(
            f"cannot write {path}: {error.strerror or error}; the last "
            "checkpoint is intact, and the same command goes on from there"
        ) from error
