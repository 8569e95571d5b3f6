"""The zoo that comes with the package."""

import importlib.resources
from collections.abc import Iterator
from importlib.resources.abc import Traversable
from pathlib import Path

from moe_keras.zoo.presets.info import INFO_FILE


def zoo_root() -> Traversable | None:
    """The folder with a folder per task, or None where there is no zoo.

    A wheel carries it as `moe_keras/_presets`. In a checkout, also one that is
    installed to be edited, it is the folder `zoo` beside the package.
    """
    package = importlib.resources.files("moe_keras")
    inside = package / "_presets"
    if inside.is_dir():
        return inside
    if isinstance(package, Path):
        beside = package.parent / "zoo"
        # Beside an installed package there may be another's folder `zoo`.
        if (package.parent / "setup.cfg").is_file() and beside.is_dir():
            return beside
    return None


def find_packaged(handle: str) -> Traversable | None:
    """The folder of the zoo's preset `task/name`, or None."""
    for folder in packaged_folders():
        if handle == folder_handle(folder):
            return folder
    return None


def packaged_folders() -> Iterator[Traversable]:
    """The folders of the zoo's presets, by task and name."""
    root = zoo_root()
    if root is None:
        return
    for task in _folders(root):
        for folder in _folders(task):
            if (folder / INFO_FILE).is_file():
                yield folder


def folder_handle(folder: Traversable) -> str:
    """`task/name` of a folder of the zoo."""
    *_, task, name = str(folder).replace("\\", "/").rstrip("/").split("/")
    return f"{task}/{name}"


def _folders(parent: Traversable) -> list[Traversable]:
    found = (child for child in parent.iterdir() if child.is_dir())
    return sorted(found, key=lambda child: child.name)
