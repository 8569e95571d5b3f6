"""A trained model as the folder of a preset."""

import sys
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any

import keras
import numpy as np

from moe_keras._version import __version__
from moe_keras.errors import require
from moe_keras.ops.cost import count_multiply_adds
from moe_keras.storage import write_file, write_text
from moe_keras.zoo.presets.architecture import (
    pack_architecture,
    same_architecture,
)
from moe_keras.zoo.presets.info import (
    INFO_FILE,
    MODEL_FILE,
    WEIGHTS_FILE,
    FileInfo,
    PresetInfo,
    check_info,
    is_name,
)
from moe_keras.zoo.presets.loading import load_preset
from moe_keras.zoo.presets.weight_file import encode, pack_weights
from moe_keras.zoo.presets.weight_names import name_weights

OWNER = "save_preset"
NEEDED = ("task", "classes", "preprocessing", "data", "licence", "scores")
OPTIONAL = ("builder", "multiply_adds")


def save_preset(
    model: keras.Model,
    folder: str | PathLike[str],
    metadata: Mapping[str, Any],
) -> PresetInfo:
    """Write a model as a preset: `model.json`, `weights.npz`, `preset.json`.

    The weights are written in half precision where that is safe (see
    `docs/presets.md`), without the optimizer's state and how the model was
    compiled. The folder is loaded again before this function returns; its other
    files, such as the recipe, are left as they are.

    Args:
        model: `keras.Model`, built, of layers of Keras and of this package.
        folder: its name is the preset's name, letters, digits and `_.-`.
        metadata: `task`; `classes`, their names in the order of the outputs;
            `preprocessing`, in words; `data`, with `name` and `licence` of the
            data set; `licence`, of the weights; `scores`, by metric a number or
            a mapping with `mean`. Optional: `builder`, with `name` and
            `arguments`, so that the builder's `weights=` can use the preset;
            `multiply_adds`, with `active` and `total`, measured. Defaults to
            those of `count_multiply_adds` at an even load.

    Returns:
        `PresetInfo` of the preset.

    Raises:
        ValueError: for a model that is not built, has weights that are not
            finite or layers that a preset may not hold; for metadata that lack
            a key or have one too many.
    """
    folder = Path(folder)
    require(
        isinstance(model, keras.Model) and model.built,
        OWNER,
        "`model` must be a keras.Model that is built.",
        model=model,
    )
    require(
        set(NEEDED) <= set(metadata) <= {*NEEDED, *OPTIONAL},
        OWNER,
        f"`metadata` must have {', '.join(NEEDED)}, and may have "
        f"{', '.join(OPTIONAL)}.",
        missing=sorted(set(NEEDED) - set(metadata)),
        unknown=sorted(set(metadata) - {*NEEDED, *OPTIONAL}),
    )
    require(
        len(set(metadata["classes"])) == len(metadata["classes"]),
        OWNER,
        "`classes` must have a name of its own for each class.",
        classes=list(metadata["classes"]),
    )
    contents = {
        MODEL_FILE: pack_architecture(model, OWNER),
        WEIGHTS_FILE: pack_weights(model, OWNER),
    }
    values = {"builder": None, **metadata}
    values["classes"] = tuple(metadata["classes"])
    values["multiply_adds"] = _count(model, metadata)
    info = PresetInfo(
        **values,
        name=folder.resolve().name,
        parameters=model.count_params(),
        versions=_versions(),
        files={name: FileInfo.of(data) for name, data in contents.items()},
    )
    check_info(info, OWNER)
    for name, content in contents.items():
        write_file(folder / name, content)
    write_text(folder / INFO_FILE, info.to_json())
    return _verify(model, folder)


def check_name(folder: Path, owner: str) -> None:
    """Refuse a folder whose name no preset can have.

    Args:
        folder: of the preset.
        owner: whom to name in errors.
    """
    require(
        is_name(folder.resolve().name),
        owner,
        "the folder's name, which is the preset's, must be of the letters a to "
        "z, digits, `_`, `.` and `-`, the first no mark.",
        folder=str(folder),
    )


def _count(
    model: keras.Model, metadata: Mapping[str, Any]
) -> Mapping[str, float]:
    if "multiply_adds" in metadata:
        given: Mapping[str, float] = metadata["multiply_adds"]
        return given
    cost = count_multiply_adds(model)
    return {"active": cost.active, "total": cost.total}


def _versions() -> dict[str, str]:
    backend = keras.backend.backend()
    return {
        "moe_keras": __version__,
        "keras": keras.__version__,
        "numpy": np.__version__,
        backend: str(getattr(sys.modules.get(backend), "__version__", "")),
    }


def _verify(model: keras.Model, folder: Path) -> PresetInfo:
    """Load what was written and compare it with the model."""
    preset = load_preset(folder.resolve())
    written = (folder / MODEL_FILE).read_bytes()
    require(
        same_architecture(written, pack_architecture(preset.model, OWNER)),
        OWNER,
        "the model that was written is not the model: a layer's configuration "
        "changes on its way.",
        folder=str(folder),
    )
    found = name_weights(preset.model)
    for name, weight in name_weights(model).items():
        expected = encode(keras.ops.convert_to_numpy(weight))
        require(
            np.array_equal(
                encode(keras.ops.convert_to_numpy(found[name])), expected
            ),
            OWNER,
            "the weights that were written are not the model's.",
            folder=str(folder),
            weight=name,
        )
    return preset.info
