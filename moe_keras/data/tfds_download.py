"""Prepare a data set of TensorFlow Datasets, or say at once why not.

TFDS tries each address for minutes when there is no network, so the hosts that
the data come from are asked first, for a few seconds.
"""

import difflib
import http.client
import importlib.util
import queue
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from moe_keras.data.tfds_files import VARIABLE

PATIENCE = 5.0  # seconds
# Some data sets come from thousands of hosts; these many are asked.
_HOSTS = 8
# Answers of a proxy that cannot reach the host, not of the host.
_BLOCKED = (407, 502, 503, 504)


def import_tfds(*others: str) -> Any:
    """The package `tensorflow_datasets`.

    Args:
        *others: modules that must be there too.

    Raises:
        ImportError: when it is not installed, with the command that does it.
    """
    for module in ("tensorflow_datasets", *others):
        if importlib.util.find_spec(module) is None:
            raise ImportError(
                f"tfds: data sets need the package {module}. Run "
                "`pip install moe_keras[datasets]`."
            )
    return importlib.import_module("tensorflow_datasets")


def not_prepared(name: str, folder: Path, why: str) -> FileNotFoundError:
    """The error that says what was looked for, where, and what to do."""
    return FileNotFoundError(
        f"load_dataset: tfds:{name} is not prepared in {folder}, and {why} "
        f"If it lies elsewhere, name that folder with `data_dir` or the "
        f"environment variable {VARIABLE}. To prepare it, run `tfds build "
        f"{name} --data_dir {folder}` where there is a network."
    )


def prepare(name: str, folder: Path) -> Path:
    """Download and prepare a data set, with TFDS' own progress bar.

    Args:
        name: as TFDS knows it, `NAME[/CONFIG][:VERSION]`.
        folder: to write into.

    Returns:
        The prepared data's folder.

    Raises:
        ValueError: when TFDS knows no such name, configuration or version.
        FileNotFoundError: when there is no network, or TFDS fails.
    """
    # TFDS needs it to prepare, not to read, and does not bring it along.
    tfds = import_tfds("importlib_resources")
    try:
        builder = tfds.builder(name, data_dir=str(folder))
    except tfds.core.registered.DatasetNotFoundError as error:
        known = tfds.list_builders(with_community_datasets=False)
        near = difflib.get_close_matches(name.split("/")[0], known)
        hint = f" Did you mean {' or '.join(near)}?" if near else ""
        raise ValueError(
            f"load_dataset: TFDS knows no such data set, and {folder} holds "
            f"none.{hint} Received: name={'tfds:' + name!r}"
        ) from error
    except (AssertionError, ValueError) as error:
        # What TFDS says of a configuration or a version that is not there.
        raise ValueError(
            f"load_dataset: {error} Received: name={'tfds:' + name!r}"
        ) from error
    addresses = _one_per_host(builder.url_infos or ())
    if addresses and not any_answers(addresses):
        hosts = ", ".join(map(_host, addresses))
        raise not_prepared(
            name, folder, f"it cannot be downloaded: no answer from {hosts}."
        )
    try:
        builder.download_and_prepare()
    except Exception as error:
        first = str(error).strip().splitlines() or [type(error).__name__]
        raise not_prepared(
            name, folder, f"TFDS could not prepare it: {first[0]}"
        ) from error
    return Path(builder.data_dir)


def any_answers(addresses: Iterable[str], patience: float = PATIENCE) -> bool:
    """Whether any host answers, whatever it says, within `patience` seconds."""
    answers: queue.Queue[bool] = queue.Queue()
    waiting = 0
    for address in addresses:
        # Name resolution has no timeout of its own, so nobody waits for it.
        threading.Thread(
            target=lambda to=address: answers.put(_answers(to, patience)),
            daemon=True,
        ).start()
        waiting += 1
    end = time.monotonic() + patience
    try:
        return any(
            answers.get(timeout=max(0.0, end - time.monotonic()))
            for _ in range(waiting)
        )
    except queue.Empty:
        return False


def _answers(address: str, patience: float) -> bool:
    try:
        request = urllib.request.Request(address, method="HEAD")
        with urllib.request.urlopen(request, timeout=patience):
            return True
    except urllib.error.HTTPError as error:
        return error.code not in _BLOCKED
    except (OSError, ValueError, http.client.HTTPException):
        return False


def _one_per_host(addresses: Iterable[str]) -> list[str]:
    found = {_host(address): address for address in addresses}
    return list(found.values())[:_HOSTS]


def _host(address: str) -> str:
    return urllib.parse.urlsplit(address).netloc
