"""Checkpoints that a power cut cannot spoil: whole files, renamed into place.

A checkpoint is one file, `epoch-000007.npz`: arrays, and facts as JSON. It is
written under another name, brought to the disk, and then renamed. The one
before it stays, in case the disk spoils the newer one; zip files carry a
checksum of every array.
"""

import json
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from moe_keras.storage import (
    DamagedFile,
    pack_arrays,
    read_arrays,
    write_file,
)

PREFIX, SUFFIX = "epoch-", ".npz"
KEPT = 2
FACTS = "facts"


class CheckpointError(OSError):
    """A checkpoint that cannot be written or read; the text says why."""


@dataclass(frozen=True)
class Checkpoint:
    """What one checkpoint holds.

    Attributes:
        epoch: epochs that were finished when it was written.
        arrays: by name.
        facts: what JSON can hold.
    """

    epoch: int
    arrays: Mapping[str, np.ndarray]
    facts: Mapping[str, Any]


def write_checkpoint(folder: Path, checkpoint: Checkpoint) -> None:
    """Add a checkpoint to a folder, and remove all but the last two.

    Raises:
        CheckpointError: when it cannot be written; those that are there stay.
    """
    arrays = {
        **checkpoint.arrays,
        FACTS: np.frombuffer(json.dumps(checkpoint.facts).encode(), "uint8"),
    }
    path = folder / f"{PREFIX}{checkpoint.epoch:06d}{SUFFIX}"
    try:
        write_file(path, pack_arrays(arrays, compress=False))
    except OSError as error:
        there = find_checkpoints(folder)
        left = f"{there[-1].name} is intact" if there else "there is none yet"
        raise CheckpointError(
            f"cannot write the checkpoint {path}: {error.strerror}; {left}, "
            "and the same command goes on from there"
        ) from error
    for old in find_checkpoints(folder)[:-KEPT]:
        old.unlink(missing_ok=True)


def read_checkpoint(folder: Path) -> Checkpoint | None:
    """The newest checkpoint that can be read, or None where there is none.

    Where a newer one is damaged, a warning says so.

    Raises:
        CheckpointError: where there are checkpoints and none can be read.
    """
    reasons: list[str] = []
    for path in reversed(find_checkpoints(folder)):
        try:
            found = _read(path)
        except (OSError, DamagedFile) as error:
            reasons.append(str(error))
            continue
        if reasons:
            warnings.warn(
                f"{'; '.join(reasons)}; the older {path.name} is read instead",
                stacklevel=2,
            )
        return found
    if reasons:
        raise CheckpointError(
            f"none of the checkpoints in {folder} can be read; start afresh, "
            f"or remove them: {'; '.join(reasons)}"
        )
    return None


def _read(path: Path) -> Checkpoint:
    arrays = read_arrays(path)
    if FACTS not in arrays:
        raise DamagedFile(f"{path} is no checkpoint")
    facts = json.loads(arrays.pop(FACTS).tobytes())
    epoch = int(path.name.removeprefix(PREFIX).removesuffix(SUFFIX))
    return Checkpoint(epoch, arrays, facts)


def find_checkpoints(folder: Path) -> list[Path]:
    """The checkpoints in a folder, oldest first."""
    return sorted(folder.glob(f"{PREFIX}[0-9]*{SUFFIX}"))


def remove_checkpoints(folder: Path) -> None:
    """Remove the checkpoints of a folder, drafts too, and then the folder.

    Those of a training in stages are in folders inside it.
    """
    for stage in folder.glob("stage_*"):
        remove_checkpoints(stage)
    for path in find_checkpoints(folder):
        path.unlink(missing_ok=True)
    for path in folder.glob(f".{PREFIX}*.part"):
        path.unlink(missing_ok=True)
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()
