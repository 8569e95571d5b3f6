"""Where the files of a preset are, by its handle."""

import re
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Protocol

from moe_keras.errors import require
from moe_keras.zoo.presets import packaged
from moe_keras.zoo.presets.downloads import HubPlace, UrlPlace
from moe_keras.zoo.presets.info import INFO_FILE

_PIN = re.compile(r"sha256=([0-9a-fA-F]{64})")
_REPOSITORY = re.compile(r"([\w.-]+/[\w.-]+)((?:/[\w-][\w.-]*)*)/?")


class Place(Protocol):
    """A folder somewhere."""

    def read(self, file: str, sha256: str | None = None) -> bytes | None:
        """The content of a file, or None if there is none.

        Args:
            file: str, its name.
            sha256: str or None: the wanted content's; what was fetched earlier
                and differs is fetched anew.
        """

    def show(self, file: str) -> str:
        """Where the file is, for errors."""


class FolderPlace:
    """A folder on disk, or inside the package."""

    def __init__(self, folder: Traversable) -> None:
        self._folder = folder

    def read(self, file: str, sha256: str | None = None) -> bytes | None:
        path = self._folder / file
        return path.read_bytes() if path.is_file() else None

    def show(self, file: str) -> str:
        return str(self._folder / file)


def find_place(handle: str, owner: str) -> tuple[Place, str | None]:
    """The place that a handle names, and the sha256 that it demands.

    Args:
        handle: `task/name` of the zoo, a folder, `hf://owner/repository/folder`
            or `https://host/folder`, each with `#sha256=...` behind it or not.
        owner: whom to name in errors.

    Returns:
        Place, and the sha256 of its `preset.json` or None.
    """
    address, mark, fragment = str(handle).partition("#")
    pin = None
    if mark:
        match = _PIN.fullmatch(fragment)
        require(
            match,
            owner,
            "after `#`, a handle must have sha256= and 64 hexadecimal digits.",
            handle=handle,
        )
        pin = match[1].lower() if match else None
    scheme, mark, rest = address.partition("://")
    if not mark:
        return _find_folder(address, owner), pin
    require(
        scheme in ("hf", "https", "http"),
        owner,
        "a handle must be a name of the zoo, a folder, hf:// or https://.",
        handle=handle,
    )
    if scheme == "hf":
        match = _REPOSITORY.fullmatch(rest)
        require(
            match,
            owner,
            "such a handle must read hf://owner/repository/folder.",
            handle=handle,
        )
        repository, folder = match.groups() if match else ("", "")
        return HubPlace(repository, folder.strip("/")), pin
    require(
        scheme == "https" or pin,
        owner,
        "over http:// a handle must end in #sha256=...; https:// need not.",
        handle=handle,
    )
    require(
        rest and "?" not in rest,
        owner,
        "such a handle must read https://host/folder.",
        handle=handle,
    )
    return UrlPlace(address), pin


def _find_folder(address: str, owner: str) -> Place:
    known = packaged.find_packaged(address)
    if known is not None:
        return FolderPlace(known)
    folder = Path(address).expanduser()
    names = map(packaged.folder_handle, packaged.packaged_folders())
    require(
        (folder / INFO_FILE).is_file(),
        owner,
        f"neither a preset of the zoo nor a folder with a {INFO_FILE} has this "
        f"name; the zoo has {', '.join(names) or 'no presets'}.",
        handle=address,
    )
    return FolderPlace(folder)
