"""From a file to the rows that a model reads, by task."""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from moe_keras.errors import require
from moe_keras.prediction.pictures import MODES, OWNER, read_picture


@dataclass(frozen=True, eq=False)
class Rows:
    """What a file holds.

    Attributes:
        values: `(N, ...)`, as a model reads them.
        places: of each row in the file; None where the file is one row.
        texts: of each row, to be shown; None for what is no text.
    """

    values: np.ndarray
    places: tuple[int, ...] | None = None
    texts: tuple[str, ...] | None = None


# From a path and the shape of one row to the rows.
Reader = Callable[[Path, tuple[int, ...]], Rows]


def read_image(path: Path, shape: tuple[int, ...]) -> Rows:
    """One image, cut to the model's proportions and scaled to its size.

    Args:
        path: of a file that Pillow reads.
        shape: `(H, W, C)`.

    Returns:
        float32 `(1, H, W, C)` in 0..255; see `read_picture`.
    """
    require(
        shape[-1] in MODES,
        OWNER,
        "for image files, the model must read 1, 3 or 4 channels.",
        channels=shape[-1],
    )
    return Rows(read_picture(path, shape)[None])


def read_array(path: Path, shape: tuple[int, ...]) -> Rows:
    """One row or many from a `.npy` file, without pickle.

    Args:
        path: of the file.
        shape: of one row; an axis of length 1 at its end may be left out.

    Returns:
        `(N, *shape)`, with places from 0 on if the file has an axis for N.
    """
    try:
        with open(path, "rb") as file:
            value: Any = np.lib.format.read_array(file, allow_pickle=False)
    # NumPy reads a header as Python, with errors of all kinds, and makes an
    # array of the size that it says, which no memory may have.
    except Exception as error:
        require(
            False,
            OWNER,
            "the file cannot be read as an array.",
            file=str(path),
            reason=str(error),
        )
    short = shape[:-1] if shape[-1] == 1 else shape
    many = value.ndim > 0 and value.shape[1:] in (shape, short)
    require(
        many or value.shape in (shape, short),
        OWNER,
        f"an array must be one row of shape {shape}, or many.",
        file=str(path),
        shape=value.shape,
    )
    numbers = value.dtype.kind in "fiub"
    with np.errstate(over="ignore"):
        rows = value.astype("float32") if numbers else value
    require(
        numbers and bool(np.all(np.isfinite(rows))),
        OWNER,
        "an array must hold finite numbers, in float32 too, which is what a "
        "model reads: of 3.4e38 at most.",
        file=str(path),
        dtype=str(value.dtype),
    )
    value = rows.reshape(-1, *shape)
    return Rows(value, tuple(range(len(value))) if many else None)


def read_lines(path: Path, shape: tuple[int, ...]) -> Rows:
    """The texts of a UTF-8 file, one a line; blank lines are none.

    Args:
        path: of the file, with or without a byte order mark.
        shape: `()` or `(1,)`.

    Returns:
        `text_rows`, whose places are the numbers of the lines, from 1 on.
    """
    try:
        # Not `splitlines`, which also splits inside of texts.
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        require(
            False,
            OWNER,
            "the file cannot be read as UTF-8 text.",
            file=str(path),
            reason=str(error),
        )
    found = {place: line for place, line in enumerate(lines, 1) if line.strip()}
    return text_rows(found.values(), shape, tuple(found))


def text_rows(
    texts: Iterable[str],
    shape: tuple[int, ...],
    places: tuple[int, ...] | None = None,
) -> Rows:
    """Texts as a model reads them.

    Args:
        texts: of each row.
        shape: of one row, `()` or `(1,)`.
        places: of each row; None for those of the sequence.

    Returns:
        Rows of UTF-8 `bytes` `(N, *shape)`.
    """
    # What is no character has no UTF-8.
    kept = tuple(re.sub("[\ud800-\udfff]", "\ufffd", text) for text in texts)
    values = np.array([text.encode() for text in kept], dtype=object)
    places = tuple(range(len(kept))) if places is None else places
    return Rows(values.reshape(-1, *shape), places, kept)


PICTURES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp")
TEXT_FILES: Mapping[str, Reader] = MappingProxyType({".txt": read_lines})

# What each task reads, by the ending of the file; a task is added here.
READERS: Mapping[str, Mapping[str, Reader]] = MappingProxyType(
    {
        "image": {
            **dict.fromkeys(PICTURES, read_image),
            ".npy": read_array,
        },
        # Presets name what the texts are read for, data sets what they are.
        **dict.fromkeys(("sentiment", "text"), TEXT_FILES),
    }
)


def read_rows(path: Path, task: str, shape: tuple[int, ...]) -> Rows:
    """The rows of a file, for a model of this task.

    Args:
        path: of the file.
        task: a key of `READERS`.
        shape: of one row.

    Returns:
        `Rows`.

    Raises:
        ValueError: for a task that has no files, a file that is not there or
            cannot be read, or rows of another shape.
    """
    require(
        task in READERS,
        OWNER,
        f"the model's task must be one of {', '.join(READERS)}.",
        task=task,
    )
    readers = READERS[task]
    endings = ", ".join(readers)
    require(
        not path.is_dir(),
        OWNER,
        "this is a folder: name the files in it, such as "
        f"{path / ('*' + next(iter(readers)))}.",
        file=str(path),
    )
    require(path.is_file(), OWNER, "there is no such file.", file=str(path))
    suffix = path.suffix.lower()
    require(
        suffix in readers,
        OWNER,
        f"a file for this task must end in {endings}.",
        file=str(path),
    )
    return readers[suffix](path, shape)
