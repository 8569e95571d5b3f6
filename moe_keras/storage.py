"""Files that are whole or not there, and readers that find damage.

A file is written under another name, brought to the disk, and renamed: a kill
at any moment, or a full disk, leaves what was there before. An archive is read
after the checksums of all that is in it were found right, so that a bit that
the disk has flipped is an error of one kind.
"""

import hashlib
import io
import json
import lzma
import os
import shutil
import struct
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

# What `zipfile` and what it unpacks with raise for an archive with any bit
# flipped or with its end cut off: a compression that nobody knows, a password,
# a place beyond the end, ...
_BROKEN_ARCHIVE = (
    *(OSError, EOFError, ValueError, KeyError, IndexError, OverflowError),
    *(NotImplementedError, RuntimeError, struct.error),
    *(zipfile.BadZipFile, zlib.error, lzma.LZMAError),
)
# Key of the checksum of all other keys.
SEAL = "sha256_of_the_rest"
_PIECE = 2**20
# The last bytes of an archive without a comment: a mark, and how many entries
# there are; this number stands for more of them.
_END = struct.Struct("<4s6xH10x")
_MANY = 0xFFFF


class DamagedFile(ValueError):
    """A file that is not what was written; the text names it and says why."""


class CannotWrite(OSError):
    """A file that cannot be written; the text names it and says why."""

    def __init__(self, path: Path, cause: OSError):
        # HDF5 has no number of the error, but a text.
        super().__init__(cause.errno, cause.strerror or str(cause))
        self._path = path

    def __str__(self) -> str:
        return (
            f"cannot write {self._path}: {self.strerror}; what was there "
            "before stays"
        )


def write_file(path: Path, content: bytes | memoryview) -> None:
    """Write a file whole, or leave the one that is there.

    Args:
        path: of the file; its folder is made if need be.
        content: all of it.

    Raises:
        CannotWrite: with the file's name; nothing is left behind.
    """
    write_parts(path, [content])


def write_text(path: Path, text: str) -> None:
    """`write_file` of a text, in UTF-8."""
    write_file(path, text.encode())


def write_json(path: Path, value: Any, sealed: bool = False) -> None:
    """`write_file` of a value, as JSON.

    Args:
        path: of the file.
        value: what JSON can hold.
        sealed: whether `read_json` is to find any damage: of a dict, which gets
            one more key for it.
    """
    if sealed:
        value = {**value, SEAL: _seal(value)}
    write_text(path, as_json(value))


def as_json(value: Any) -> str:
    """The text of a JSON file."""
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


def write_picture(path: Path, figure: Any, dots_per_inch: int) -> None:
    """`write_file` of a matplotlib figure, in the format of its ending."""
    content = io.BytesIO()
    kind = path.suffix.removeprefix(".")
    figure.savefig(content, dpi=dots_per_inch, format=kind)
    write_file(path, content.getbuffer())


def write_model(path: Path, model: Any) -> None:
    """`write_file` of a Keras model, in Keras' own format."""
    # Keras wants a name with this ending.
    draft = draft_of(path) / "model.keras"
    try:
        with _named(path):
            draft.parent.mkdir(parents=True, exist_ok=True)
            model.save(draft)
            content = draft.read_bytes()
    finally:
        shutil.rmtree(draft.parent, ignore_errors=True)
    write_file(path, content)


def write_parts(path: Path, parts: Iterable[bytes | memoryview]) -> None:
    """Write a file part by part; it has its name when all of it is there.

    Args:
        path: of the file; its folder is made if need be.
        parts: one behind the other. An error that making them raises leaves
            the file that is there.

    Raises:
        CannotWrite: with the file's name; nothing is left behind.
    """
    draft = draft_of(path)
    try:
        with _named(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            file = draft.open("wb", buffering=0)
        with file:
            for part in parts:
                with _named(path):
                    rest = memoryview(part)
                    while rest:
                        rest = rest[file.write(rest) :]
            with _named(path):
                os.fsync(file.fileno())
        with _named(path):
            os.replace(draft, path)
            _sync_folder(path.parent)
    finally:
        # The folder may be none.
        with suppress(OSError):
            draft.unlink()


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """A folder to fill, which then takes the place of the one that is there.

    Args:
        path: of the folder.

    Yields:
        Where to write; nothing is there yet. After an error it is removed, and
        what was at `path` stays.
    """
    draft = draft_of(path)
    before = draft.with_name(f".{path.name}.old.{os.getpid()}.part")
    try:
        yield draft
        with _named(path):
            for file in draft.rglob("*"):
                if file.is_file():
                    with file.open("rb+") as opened:
                        os.fsync(opened.fileno())
            if path.exists():
                os.replace(path, before)
            os.replace(draft, path)
            _sync_folder(path.parent)
    finally:
        for folder in (draft, before):
            shutil.rmtree(folder, ignore_errors=True)


def draft_of(path: Path) -> Path:
    """Under what name this process writes a file until it is whole."""
    return path.with_name(f".{path.name}.{os.getpid()}.part")


def remove_drafts(folder: Path) -> None:
    """Remove what writers that were killed have left in a folder."""
    for draft in folder.glob(".*.part"):
        if _is_running(draft.name.removesuffix(".part").rpartition(".")[2]):
            continue
        if draft.is_dir():
            shutil.rmtree(draft, ignore_errors=True)
        else:
            draft.unlink(missing_ok=True)


def _is_running(pid: str) -> bool:
    """Whether there is a process of this number; True where nobody can say."""
    if os.name != "posix":
        return True
    try:
        os.kill(int(pid), 0)
    except (ValueError, ProcessLookupError):
        return False
    except OSError:
        return True
    return True


def read_json(path: Path) -> Any:
    """Read a JSON file; of one that is sealed, without the seal.

    Raises:
        DamagedFile: when it holds none, or is not what was sealed.
        OSError: when it cannot be read.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise DamagedFile(f"{path} is not JSON: {error}") from None
    if not isinstance(value, dict) or SEAL not in value:
        return value
    seal = value.pop(SEAL)
    if seal != _seal(value):
        raise DamagedFile(f"{path} is damaged: it is not what was written")
    return value


def _seal(value: Mapping[str, Any]) -> str:
    # As it will be read: a tuple is a list there, a number as a key a text.
    text = json.dumps(json.loads(json.dumps(value)), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def pack_arrays(arrays: Mapping[str, np.ndarray], compress: bool) -> memoryview:
    """The content of a file that `read_arrays` reads: NumPy's `.npz`.

    Args:
        arrays: by name.
        compress: whether to make the file smaller, which takes longer.
    """
    content = io.BytesIO()
    save = np.savez_compressed if compress else np.savez
    save(content, allow_pickle=False, **arrays)
    return content.getbuffer()


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """Read the arrays of an `.npz` file, in the order of the file.

    Raises:
        DamagedFile: when it is damaged, or holds none.
        OSError: when it cannot be opened.
    """
    with _archive(path) as archive:
        return {
            info.filename.removesuffix(".npy"): np.lib.format.read_array(
                io.BytesIO(archive.read(info)), allow_pickle=False
            )
            for info in archive.infolist()
        }


def check_archive(path: Path) -> None:
    """Refuse a zip file, such as `.keras`, that is damaged.

    Raises:
        DamagedFile: when a checksum in it is wrong, or it is no such file.
        OSError: when it cannot be opened.
    """
    with _archive(path) as archive:
        for info in archive.infolist():
            with archive.open(info) as member:
                # The checksum is compared at the end.
                while member.read(_PIECE):
                    pass


@contextmanager
def _archive(path: Path) -> Iterator[zipfile.ZipFile]:
    """A zip file to read, whose errors name it and are of one kind."""
    with path.open("rb") as opened:
        try:
            with zipfile.ZipFile(opened) as archive:
                _check_directory(archive, opened)
                yield archive
        except _BROKEN_ARCHIVE as error:
            reason = str(error) or type(error).__name__
            raise DamagedFile(f"{path} is damaged: {reason}") from None


def _check_directory(archive: zipfile.ZipFile, file: BinaryIO) -> None:
    """Refuse what `zipfile` overlooks in the list of what an archive holds."""
    entries = archive.infolist()
    file.seek(-_END.size, os.SEEK_END)
    mark, count, *_ = _END.unpack(file.read(_END.size))
    if mark == b"PK\5\6" and count not in (len(entries), _MANY):
        # A length with a flipped bit has swallowed the entries behind it.
        raise zipfile.BadZipFile("entries are missing")
    size = file.seek(0, os.SEEK_END)
    if any(entry.compress_size > size for entry in entries):
        # As much memory would be asked for.
        raise zipfile.BadZipFile("an entry is longer than the file")


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Errors of the system name the file that was to be written."""
    try:
        yield
    except OSError as error:
        raise CannotWrite(path, error) from error


def _sync_folder(folder: Path) -> None:
    """Bring a rename to the disk, where the system can."""
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
