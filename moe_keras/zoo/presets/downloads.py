"""Presets from elsewhere: Keras' and Hugging Face's own ways to fetch files."""

import contextlib
import hashlib
import importlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import keras

from moe_keras.errors import require

OWNER = "load_preset"
CACHE = "MOE_KERAS_CACHE"


def cache_folder() -> Path:
    """Where fetched presets are kept.

    `MOE_KERAS_CACHE` if it is set, else `moe_keras` in `KERAS_HOME`, which is
    `~/.keras` if it is not set.
    """
    chosen = os.environ.get(CACHE)
    if chosen:
        return Path(chosen).expanduser()
    home = os.environ.get("KERAS_HOME") or "~/.keras"
    return Path(home).expanduser() / "moe_keras"


class UrlPlace:
    """A folder of a web server; files that were fetched once are kept.

    Args:
        url: str, `https://host/folder`.
    """

    def __init__(self, url: str) -> None:
        self._url = url.rstrip("/")

    def show(self, file: str) -> str:
        return f"{self._url}/{file}"

    def read(self, file: str, sha256: str | None = None) -> bytes | None:
        host = urlsplit(self._url).hostname or "unknown"
        mark = hashlib.sha256(self._url.encode()).hexdigest()[:16]
        root = cache_folder()
        # Keras would take /tmp for one that is not there yet.
        root.mkdir(parents=True, exist_ok=True)
        kept = root / host / mark / file
        try:
            with _progress_to_stderr():
                path = keras.utils.get_file(
                    file,
                    origin=self.show(file),
                    cache_dir=str(root),
                    cache_subdir=f"{host}/{mark}",
                    force_download=_is_outdated(kept, sha256),
                )
        # Keras raises it without a class of its own.
        except Exception as error:
            _refuse(self.show(file), error)
        return Path(path).read_bytes()


class HubPlace:
    """A folder of a repository of the Hugging Face Hub.

    Args:
        repository: str, `owner/name`.
        folder: str, empty for the repository itself.
    """

    def __init__(self, repository: str, folder: str) -> None:
        self._repository = repository
        self._folder = folder

    def show(self, file: str) -> str:
        parts = [self._repository, self._folder, file]
        return "hf://" + "/".join(filter(None, parts))

    def read(self, file: str, sha256: str | None = None) -> bytes | None:
        try:
            hub = importlib.import_module("huggingface_hub")
        except ModuleNotFoundError:
            require(
                False,
                OWNER,
                "hf:// needs the package huggingface_hub: install "
                "moe_keras[hub].",
                handle=self.show(""),
            )
        options = {"repo_id": self._repository}
        options["filename"] = "/".join(filter(None, [self._folder, file]))
        if os.environ.get(CACHE):
            options["cache_dir"] = str(cache_folder() / "hub")
        try:
            with _progress_to_stderr():
                path = Path(hub.hf_hub_download(**options))
                if _is_outdated(path, sha256):
                    path = Path(
                        hub.hf_hub_download(**options, force_download=True)
                    )
        # Its own errors, those of its web client, OSError.
        except Exception as error:
            _refuse(self.show(file), error)
        return path.read_bytes()


def _is_outdated(path: Path, sha256: str | None) -> bool:
    if sha256 is None or not path.is_file():
        return False
    return hashlib.sha256(path.read_bytes()).hexdigest() != sha256


@contextlib.contextmanager
def _progress_to_stderr() -> Iterator[None]:
    # What a command prints may be read by a program.
    with contextlib.redirect_stdout(sys.stderr):
        yield


def _refuse(file: str, error: Exception) -> None:
    lines = str(error).strip().splitlines()
    require(
        False,
        OWNER,
        "a file of the preset cannot be fetched.",
        file=file,
        reason=lines[0] if lines else type(error).__name__,
    )
