"""One process at a time writes into a folder."""

import os
import socket
import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from moe_keras.storage import (
    CannotWrite,
    DamagedFile,
    read_json,
    remove_drafts,
    write_json,
)

LOCK = ".lock"
# Who has the lock: it can be read while the lock is held.
WRITER = ".writer.json"
# Of a process that was stopped, others may take a moment to end.
PATIENCE_SECONDS = 5.0


class FolderInUse(OSError):
    """Another process writes into a folder; the text says which."""


@contextmanager
def one_writer(folder: Path, owner: str) -> Iterator[None]:
    """Hold a folder for this process, while it writes there.

    The lock is one of the system's: it ends with the process that holds it,
    however that ends. What writers that were killed have left half is removed.

    Args:
        folder: made if need be. It gets a file `.lock`, which stays.
        owner: whom to name in errors.

    Raises:
        FolderInUse: when another process, or another call in this one, holds
            the folder.
        CannotWrite: when the folder cannot be written to.
    """
    lock = FileLock(folder / LOCK, timeout=PATIENCE_SECONDS)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout:
        raise FolderInUse(_in_use(folder, owner)) from None
    except NotImplementedError:
        warnings.warn(
            f"the file system of {folder} knows no locks: take care that no "
            "other process writes there",
            stacklevel=3,
        )
    except OSError as error:
        raise CannotWrite(folder / LOCK, error) from error
    try:
        remove_drafts(folder)
        write_json(folder / WRITER, _this_process())
        yield
    finally:
        (folder / WRITER).unlink(missing_ok=True)
        lock.release()


def _this_process() -> dict[str, str | int]:
    return {
        "pid": os.getpid(),
        "host": socket.gethostname(),
        "since": time.strftime("%Y-%m-%d %H:%M:%S"),
        "command": " ".join([Path(sys.argv[0]).name, *sys.argv[1:]]),
    }


def _in_use(folder: Path, owner: str) -> str:
    try:
        known = read_json(folder / WRITER)
    except (OSError, DamagedFile):
        # It has just begun, or just ended.
        known = {}
    told = ", ".join(f"{key}={value!r}" for key, value in known.items())
    return (
        f"{owner}: another process writes into this folder; wait until it has "
        f"ended, or take another folder. Received: folder={str(folder)!r}"
        + (f", {told}" if told else "")
    )
