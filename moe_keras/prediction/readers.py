"""From a file to the rows that a model reads, by task."""

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import keras
import numpy as np

from moe_keras.errors import require

OWNER = "predict_files"
_COLOURS = {1: "grayscale", 3: "rgb", 4: "rgba"}

# From a path and the shape of one row to rows (N, ...), and whether the file
# is one of many rows.
Reader = Callable[[Path, tuple[int, ...]], tuple[np.ndarray, bool]]


def read_image(path: Path, shape: tuple[int, ...]) -> tuple[np.ndarray, bool]:
    """One image, cut to the model's proportions and scaled to its size.

    Args:
        path: of a file that Pillow reads.
        shape: `(H, W, C)`.

    Returns:
        float32 `(1, H, W, C)` in 0..255 (0..65,535 where the file has 16 bits
        of grey), and False.
    """
    require(
        shape[-1] in _COLOURS,
        OWNER,
        "for image files, the model must read 1, 3 or 4 channels.",
        channels=shape[-1],
    )
    try:
        image = keras.utils.load_img(
            path,
            color_mode=_COLOURS[shape[-1]],
            target_size=shape[:2],
            interpolation="bilinear",
            keep_aspect_ratio=True,
        )
    # Pillow's errors for what is no image and for what is cut off.
    except (OSError, ValueError, SyntaxError) as error:
        require(
            False,
            OWNER,
            "the file cannot be read as an image.",
            file=str(path),
            reason=str(error),
        )
    return keras.utils.img_to_array(image, dtype="float32")[None], False


def read_array(path: Path, shape: tuple[int, ...]) -> tuple[np.ndarray, bool]:
    """One row or many from a `.npy` file, without pickle.

    Args:
        path: of the file.
        shape: of one row; an axis of length 1 at its end may be left out.

    Returns:
        `(N, *shape)`, and whether the file has an axis for N.
    """
    try:
        with open(path, "rb") as file:
            value: Any = np.lib.format.read_array(file, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
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
    require(
        value.dtype.kind in "fiub" and bool(np.all(np.isfinite(value))),
        OWNER,
        "an array must hold finite numbers.",
        file=str(path),
        dtype=str(value.dtype),
    )
    return value.reshape(-1, *shape).astype("float32"), many


# What each task reads, by the ending of the file; a task is added here.
READERS: Mapping[str, Mapping[str, Reader]] = MappingProxyType(
    {
        "image": {
            **dict.fromkeys((".png", ".jpg", ".jpeg"), read_image),
            ".npy": read_array,
        },
    }
)


def read_rows(
    path: Path, task: str, shape: tuple[int, ...]
) -> tuple[np.ndarray, bool]:
    """The rows of a file, for a model of this task.

    Args:
        path: of the file.
        task: a key of `READERS`.
        shape: of one row.

    Returns:
        Rows `(N, *shape)`, and whether the file is one of many rows.

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
    require(path.is_file(), OWNER, "there is no such file.", file=str(path))
    reader = readers.get(path.suffix.lower())
    require(
        reader is not None,
        OWNER,
        f"a file for this task must end in {', '.join(readers)}.",
        file=str(path),
    )
    return reader(path, shape)
