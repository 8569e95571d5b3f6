"""Checkpoints that a power cut cannot spoil: whole files, renamed into place.

A checkpoint is one file, `epoch-000007.npz`: arrays, and facts as JSON. It is
written under another name, brought to the disk, and then renamed. The one
before it stays, in case the disk spoils the newer one; zip files carry a
checksum of every array.
"""

import io
import json
import os
import zipfile
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

PREFIX, SUFFIX = "epoch-", ".npz"
KEPT = 2
FACTS = "facts"
# What reading a file that is cut short or overwritten can raise.
_BROKEN = (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile)


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


def write_file(path: Path, content: bytes | memoryview) -> None:
    """Write a file whole, or leave the one that is there.

    Args:
        path: of the file; its folder is made if need be.
        content: all of it.

    Raises:
        OSError: when it cannot be written; nothing is left behind.
    """
    write_parts(path, [content])


def write_parts(path: Path, parts: Iterable[bytes | memoryview]) -> None:
    """Write a file part by part; it has its name when all of it is there.

    Args:
        path: of the file; its folder is made if need be.
        parts: one behind the other. An error that making them raises leaves
            the file that is there.

    Raises:
        OSError: when it cannot be written; nothing is left behind.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with draft.open("wb", buffering=0) as file:
            for part in parts:
                rest = memoryview(part)
                while rest:
                    rest = rest[file.write(rest) :]
            os.fsync(file.fileno())
        os.replace(draft, path)
    finally:
        draft.unlink(missing_ok=True)
    _sync_folder(path.parent)


def write_checkpoint(folder: Path, checkpoint: Checkpoint) -> None:
    """Add a checkpoint to a folder, and remove all but the last two.

    Raises:
        CheckpointError: when it cannot be written; those that are there stay.
    """
    arrays = {
        **checkpoint.arrays,
        FACTS: np.frombuffer(json.dumps(checkpoint.facts).encode(), "uint8"),
    }
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **arrays)
    path = folder / f"{PREFIX}{checkpoint.epoch:06d}{SUFFIX}"
    try:
        write_file(path, buffer.getbuffer())
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

    Raises:
        CheckpointError: where there are checkpoints and none can be read.
    """
    paths = find_checkpoints(folder)
    for path in reversed(paths):
        try:
            # Opened here, or numpy leaves a broken file open.
            with path.open("rb") as opened, np.load(opened) as file:
                arrays = {name: file[name] for name in file.files}
            facts = json.loads(arrays.pop(FACTS).tobytes())
        except (*_BROKEN, zlib.error):
            continue
        epoch = int(path.name.removeprefix(PREFIX).removesuffix(SUFFIX))
        return Checkpoint(epoch, arrays, facts)
    if paths:
        raise CheckpointError(
            f"none of the checkpoints in {folder} can be read; start afresh"
        )
    return None


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


def _sync_folder(folder: Path) -> None:
    """Bring a rename to the disk, where the system can."""
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
