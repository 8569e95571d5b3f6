"""A model's weights as an npz file: half precision, no pickle.

An array is kept in float16 where that loses no more than half precision's own
rounding, else in float32: biases, normalisation and other vectors always, since
they are few, and since a variance near 0 or above 65,504 matters. Integers,
booleans, and what has the attribute `keep_exact`, such as the thresholds of
trees, infinite ones too, are kept as they are. What an array is, its dtype in
the file says.
"""

import io
import math
import zipfile
import zlib
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from moe_keras.errors import require
from moe_keras.zoo.presets.weight_names import name_weights

# Half a unit in the last place of float16, whose fraction has 10 bits.
ROUNDING = 2.0**-11
# Of an array's header in the file.
HEADER_BYTES = 1024
_ENDING = ".npy"
_UNREADABLE = (
    ValueError,
    OSError,
    EOFError,
    RuntimeError,
    MemoryError,
    zipfile.BadZipFile,
    zlib.error,
)


def encode(value: np.ndarray) -> np.ndarray:
    """An array in the precision in which it is kept.

    Args:
        value: array of any shape; a bank of experts has its experts in front,
            and is kept in float32 if half precision fails one of them.

    Returns:
        float16, float32, or the array's own integers or booleans.
    """
    if not keras.backend.is_float_dtype(str(value.dtype)):
        return value
    # bfloat16 too, which numpy cannot write.
    value = value.astype("float32")
    if value.ndim < 2:
        return value
    with np.errstate(over="ignore"):
        half = value.astype("float16")
    if not value.size:
        return half
    parts = value.shape[0] if value.ndim > 2 else 1
    exact = value.reshape(parts, -1).astype("float64")
    error = half.reshape(parts, -1).astype("float64") - exact
    # Not one by one: a weight of 1e-7 beside others of 1 may be lost.
    kept = np.linalg.norm(error, axis=1) <= ROUNDING * np.linalg.norm(
        exact, axis=1
    )
    return half if bool(np.all(kept)) else value


def pack_weights(model: keras.Model, owner: str) -> bytes:
    """The weights of a model as the content of an npz file.

    Args:
        model: `keras.Model`, built.
        owner: whom to name in errors.

    Raises:
        ValueError: for a weight that is not finite.
    """
    arrays = {}
    for name, weight in name_weights(model).items():
        value, exact = (
            keras.ops.convert_to_numpy(weight),
            getattr(weight, "keep_exact", False),
        )
        value = value if exact else encode(value)
        wrong = np.isnan if exact else lambda array: ~np.isfinite(array)
        require(
            value.dtype.kind != "f" or not bool(np.any(wrong(value))),
            owner,
            "`model` must have finite weights.",
            weight=name,
        )
        arrays[name] = value
    content = io.BytesIO()
    # Not as keywords, of which one could be called `file`.
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, value in arrays.items():
            # Without a date, so that equal weights make equal files.
            member = zipfile.ZipInfo(name + _ENDING)
            member.compress_type = zipfile.ZIP_DEFLATED
            with archive.open(member, "w") as file:
                np.lib.format.write_array(file, value, allow_pickle=False)
    return content.getvalue()


def unpack_weights(
    content: bytes,
    weights: Mapping[str, Any],
    file: str,
    owner: str,
    growth: int = 1,
) -> dict[str, np.ndarray]:
    """The arrays of an npz file for these weights, and no others.

    Args:
        content: of the file.
        weights: variables by name, which say how large an array may be.
        file: whom to name in errors.
        owner: the same.
        growth: int > 0. An array may have this many times the numbers of its
            weight.

    Raises:
        ValueError: for a file that is no npz file, lacks an array or has one
            too many, for arrays of objects, and for those that are larger than
            their weight.
    """
    try:
        archive = zipfile.ZipFile(io.BytesIO(content))
    except zipfile.BadZipFile:
        require(False, owner, "the weights must be an npz file.", file=file)
    with archive:
        members = {
            member.filename.removesuffix(_ENDING): member
            for member in archive.infolist()
        }
        require(
            set(members) == set(weights),
            owner,
            "the file must hold the weights of the model, and nothing else.",
            file=file,
            missing=sorted(set(weights) - set(members)),
            unknown=sorted(set(members) - set(weights)),
        )
        return {
            name: _read(
                archive,
                members[name],
                growth * math.prod(weight.shape),
                file,
                owner,
            )
            for name, weight in weights.items()
        }


def _read(
    archive: zipfile.ZipFile,
    member: zipfile.ZipInfo,
    numbers: int,
    file: str,
    owner: str,
) -> np.ndarray:
    # What is small in the file may fill the memory.
    largest = 8 * numbers + HEADER_BYTES
    require(
        member.file_size <= largest,
        owner,
        "an array must be as large as its weight.",
        file=file,
        array=member.filename,
        bytes=member.file_size,
        at_most=largest,
    )
    try:
        with archive.open(member) as stream:
            value: np.ndarray = np.lib.format.read_array(
                io.BytesIO(stream.read(largest + 1)), allow_pickle=False
            )
    except _UNREADABLE as error:
        require(
            False,
            owner,
            "an array cannot be read.",
            file=file,
            array=member.filename,
            reason=str(error),
        )
    require(
        value.dtype.kind in "fiub",
        owner,
        "an array must hold numbers.",
        file=file,
        array=member.filename,
        dtype=str(value.dtype),
    )
    return value


def assign_weights(
    weights: Mapping[str, Any],
    arrays: Mapping[str, np.ndarray],
    owner: str,
    **received: Any,
) -> None:
    """Give variables their values.

    Args:
        weights: variables by name.
        arrays: by the same names.
        owner: whom to name in errors.
        **received: what else to name.

    Raises:
        ValueError: for an array of another shape; nothing is assigned then.
    """
    for name, weight in weights.items():
        require(
            arrays[name].shape == tuple(weight.shape),
            owner,
            "an array must have the shape of its weight.",
            **received,
            weight=name,
            expected=tuple(weight.shape),
            found=arrays[name].shape,
        )
    for name, weight in weights.items():
        value = arrays[name]
        # TensorFlow would log that it has no fast half precision here.
        half = value.dtype == np.float16
        weight.assign(value.astype("float32") if half else value)
