"""Presets by handle: listed, loaded, and checked before they are used."""

from collections.abc import Mapping
from dataclasses import dataclass
from os import PathLike
from typing import Any

import keras
import numpy as np

from moe_keras.errors import require
from moe_keras.zoo.presets import packaged
from moe_keras.zoo.presets.architecture import unpack_architecture
from moe_keras.zoo.presets.info import (
    INFO_FILE,
    MODEL_FILE,
    WEIGHTS_FILE,
    FileInfo,
    PresetInfo,
    read_info,
)
from moe_keras.zoo.presets.places import FolderPlace, Place, find_place
from moe_keras.zoo.presets.weight_file import assign_weights, unpack_weights
from moe_keras.zoo.presets.weight_names import name_weights

OWNER = "load_preset"


@dataclass(frozen=True)
class Preset:
    """A trained model, and what is known of it.

    Attributes:
        model: `keras.Model`, not compiled.
        info: `PresetInfo`: data set, licence, scores, cost, versions.
    """

    model: keras.Model
    info: PresetInfo

    @property
    def task(self) -> str:
        """Such as `"image"`."""
        return self.info.task

    @property
    def classes(self) -> tuple[str, ...]:
        """Names, in the order of the model's outputs."""
        return self.info.classes

    @property
    def preprocessing(self) -> str:
        """What the model wants its inputs to be, in words."""
        return self.info.preprocessing


def list_presets(task: str | None = None) -> list[PresetInfo]:
    """The presets that come with the package.

    Args:
        task: such as `"image"`; None for all.

    Returns:
        `PresetInfo` of each, by task and name; `handle` loads it.
    """
    folders = packaged.packaged_folders()
    infos = [_read_info(FolderPlace(folder), None) for folder in folders]
    return [info for info in infos if task in (None, info.task)]


def from_preset(handle: str | PathLike[str]) -> keras.Model:
    """A trained model: see `load_preset`, which also says what is known of it.

    Args:
        handle: such as `"image/fashion_mnist_moe"`.

    Returns:
        `keras.Model`, not compiled.

    Example:
    >>> model = from_preset("image/fashion_mnist_moe")
    >>> model.predict(images)
    """
    return load_preset(handle).model


def load_preset(handle: str | PathLike[str]) -> Preset:
    """Load a trained model and what is known of it.

    No code of the files is run: they may hold layers of Keras and of this
    package only, arrays of numbers, and nothing pickled. Each file is compared
    with its checksum before it is used.

    Args:
        handle: a name of the zoo (`"image/fashion_mnist_moe"`), a folder,
            `"hf://owner/repository/folder"` (with the extra `hub`) or
            `"https://host/folder"`. With `#sha256=...` behind it, only the
            preset whose `preset.json` has this checksum is loaded.

    Returns:
        `Preset`: `.model`, `.info`, `.task`, `.classes`, `.preprocessing`.

    Raises:
        ValueError: for a handle that names nothing, and for a file that is
            missing, is not the one that `preset.json` describes, or holds what
            a preset may not hold.
    """
    place, pin = find_place(str(handle), OWNER)
    info = _read_info(place, pin)
    content = _read_file(place, info, MODEL_FILE)
    model = unpack_architecture(content, place.show(MODEL_FILE), OWNER)
    weights = name_weights(model)
    arrays = _read_arrays(place, info, weights)
    assign_weights(weights, arrays, OWNER, file=place.show(WEIGHTS_FILE))
    return Preset(model, info)


def load_info(handle: str | PathLike[str]) -> PresetInfo:
    """What a preset says of itself, without its model.

    Args:
        handle: see `load_preset`.
    """
    return _read_info(*find_place(str(handle), OWNER))


def load_arrays(
    handle: str | PathLike[str], weights: Mapping[str, Any], growth: int = 1
) -> dict[str, np.ndarray]:
    """The arrays of a preset for weights of these names, not assigned.

    Args:
        handle: see `load_preset`.
        weights: variables by name, see `name_weights`.
        growth: int > 0. An array may have this many times the numbers of its
            weight.

    Returns:
        Arrays by name.
    """
    place, pin = find_place(str(handle), OWNER)
    info = _read_info(place, pin)
    return _read_arrays(place, info, weights, growth)


def _read_info(place: Place, pin: str | None) -> PresetInfo:
    content = place.read(INFO_FILE, pin)
    shown = place.show(INFO_FILE)
    found = None if content is None else FileInfo.of(content).sha256
    require(
        content is not None and pin in (None, found),
        OWNER,
        f"{INFO_FILE} must be the one that the handle demands.",
        file=shown,
        expected_sha256=pin,
        found_sha256=found,
    )
    return read_info(content or b"", shown, OWNER)


def _read_file(place: Place, info: PresetInfo, file: str) -> bytes:
    """The content of a file, if it is the one that `info` describes."""
    expected = info.files[file]
    content = place.read(file, expected.sha256)
    found = None if content is None else FileInfo.of(content)
    require(
        found == expected,
        OWNER,
        f"{file} must be the file that {INFO_FILE} describes.",
        file=place.show(file),
        expected_sha256=expected.sha256,
        found_sha256=found and found.sha256,
        expected_bytes=expected.num_bytes,
        found_bytes=found and found.num_bytes,
    )
    return content or b""


def _read_arrays(
    place: Place,
    info: PresetInfo,
    weights: Mapping[str, Any],
    growth: int = 1,
) -> dict[str, np.ndarray]:
    content = _read_file(place, info, WEIGHTS_FILE)
    file = place.show(WEIGHTS_FILE)
    return unpack_weights(content, weights, file, OWNER, growth)
