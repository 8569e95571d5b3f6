"""Where TensorFlow Datasets' prepared data lie: folder/NAME[/CONFIG]/VERSION.

Read from the disk alone, so no network and no import can slow it down.
"""

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path

from moe_keras.errors import require

VARIABLE = "MOE_KERAS_DATA_DIR"
NAME = re.compile(
    r"(?P<set>[a-z]\w*)(/(?P<config>[\w.+-]+))?(:(?P<version>[\d.*]+))?",
    re.ASCII,
)
_VERSION = re.compile(r"\d+\.\d+\.\d+", re.ASCII)


def data_folder(data_dir: str | os.PathLike[str] | None = None) -> Path:
    """The folder of prepared data sets: the first of four that is named.

    Args:
        data_dir: path or None. Without it the environment variables
            `MOE_KERAS_DATA_DIR` and `TFDS_DATA_DIR` count, in this order, and
            at last TFDS' own default, `~/tensorflow_datasets`.
    """
    named = data_dir or os.environ.get(VARIABLE)
    # TFDS' own rule, which it computes only once, when it is imported.
    named = named or os.environ.get("TFDS_DATA_DIR")
    return Path(named or "~/tensorflow_datasets").expanduser()


def find_prepared(name: str, folder: Path) -> Path | None:
    """The folder of one prepared data set and version.

    Args:
        name: `NAME`, `NAME/CONFIG`, each with or without `:VERSION`, in which
            `*` stands for any number. Defaults: TFDS' default configuration,
            or the only one; the highest version.
        folder: see `data_folder`.

    Returns:
        The path, or None where there is none.

    Raises:
        ValueError: for a name of another form, and when several
            configurations are there and none of them is TFDS' default.
    """
    parts = NAME.fullmatch(name)
    require(
        parts is not None,
        "load_dataset",
        "the name must be tfds:NAME, tfds:NAME/CONFIG or tfds:NAME:VERSION.",
        name=f"tfds:{name}",
    )
    # `require` has seen to it.
    found = parts.groupdict() if parts else {}
    place = folder / found["set"]
    config = found["config"]
    if config is None and not _versions(place):
        config = _default_config(place)
    if config is not None:
        place = place / config
    wanted = found["version"] or "*.*.*"
    matching = [
        version
        for version in _versions(place)
        if _matches(version.name, wanted)
    ]
    return max(matching, key=_numbers, default=None)


def prepared_names(folder: Path) -> list[str]:
    """`NAME` or `NAME/CONFIG` of every data set in the folder, sorted."""
    return sorted(_names(folder)) if folder.is_dir() else []


def _names(folder: Path) -> Iterator[str]:
    for place in filter(Path.is_dir, folder.iterdir()):
        if _versions(place):
            yield place.name
        for config in filter(_versions, place.iterdir()):
            yield f"{place.name}/{config.name}"


def _versions(place: Path) -> list[Path]:
    """The folders of versions that are complete."""
    if not place.is_dir():
        return []
    return [
        version
        for version in place.iterdir()
        if _VERSION.fullmatch(version.name)
        and all(
            (version / file).is_file()
            for file in ("dataset_info.json", "features.json")
        )
    ]


def _default_config(place: Path) -> str | None:
    record = place / ".config" / "metadata.json"
    if record.is_file():
        named = json.loads(record.read_text()).get("default_config_name")
        if named:
            return str(named)
    if not place.is_dir():
        return None
    configs = sorted(
        config.name for config in place.iterdir() if _versions(config)
    )
    require(
        len(configs) < 2,
        "load_dataset",
        f"say which configuration is meant: tfds:{place.name}/CONFIG.",
        configurations=configs,
    )
    return configs[0] if configs else None


def _matches(version: str, wanted: str) -> bool:
    return all(
        part in ("*", number)
        for part, number in zip(
            wanted.split("."), version.split("."), strict=False
        )
    )


def _numbers(version: Path) -> tuple[int, ...]:
    return tuple(map(int, version.name.split(".")))
