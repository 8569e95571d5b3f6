"""What a preset says of itself: `preset.json`."""

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields
from functools import partial
from typing import Any

from moe_keras.errors import is_count, require

INFO_FILE = "preset.json"
MODEL_FILE = "model.json"
WEIGHTS_FILE = "weights.npz"
FORMAT = 1
_SHA256 = re.compile(r"[0-9a-f]{64}")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")


@dataclass(frozen=True)
class FileInfo:
    """One file of a preset.

    Attributes:
        sha256: str, 64 hexadecimal digits.
        num_bytes: int >= 0.
    """

    sha256: str
    num_bytes: int

    @classmethod
    def of(cls, content: bytes) -> "FileInfo":
        return cls(hashlib.sha256(content).hexdigest(), len(content))


@dataclass(frozen=True)
class PresetInfo:
    """A preset without its weights: what `list_presets` returns.

    Attributes:
        name: str, the preset's folder, without its task.
        task: str, such as `"image"`.
        classes: names of the classes, in the order of the model's outputs.
        preprocessing: what the model wants its inputs to be, in words.
        data: of the data set: `name`, `licence`, `citation`.
        licence: of the weights.
        scores: by metric: a number, or `mean`, `sd` and `seeds`; the first one
            is the headline.
        builder: `name` and `arguments` of the function that builds the model,
            or None; `weights=` of that function needs them.
        parameters: int > 0.
        multiply_adds: of one example, `active` and `total`.
        versions: of the packages that wrote the files.
        files: `FileInfo` by file name.
        sha256: of `preset.json` itself, to pin a handle with.
    """

    name: str
    task: str
    classes: tuple[str, ...]
    preprocessing: str
    data: Mapping[str, str]
    licence: str
    scores: Mapping[str, Any]
    builder: Mapping[str, Any] | None
    parameters: int
    multiply_adds: Mapping[str, float]
    versions: Mapping[str, str]
    files: Mapping[str, FileInfo]
    sha256: str = field(default="", compare=False)

    @property
    def handle(self) -> str:
        """What loads the preset, if it is part of the zoo."""
        return f"{self.task}/{self.name}"

    @property
    def num_bytes(self) -> int:
        """Size of the architecture and the weights, as files."""
        return sum(file.num_bytes for file in self.files.values())

    def to_json(self) -> str:
        """The content of `preset.json`."""
        values = asdict(self)
        del values["sha256"]
        text = json.dumps({"format": FORMAT, **values}, indent=2)
        return text + "\n"


def read_info(content: bytes, file: str, owner: str) -> PresetInfo:
    """What a `preset.json` says.

    Args:
        content: of the file.
        file: whom to name in errors.
        owner: the same.

    Raises:
        ValueError: for a file that is no JSON file, lacks a key, has one too
            many or a value of another kind, or is of another format.
    """
    try:
        values = json.loads(content)
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        require(
            False,
            owner,
            f"{INFO_FILE} must be a JSON file.",
            file=file,
            reason=str(error),
        )
    known = {one.name for one in fields(PresetInfo)} - {"sha256"} | {"format"}
    found = set(values) if isinstance(values, dict) else set()
    # First of all: the keys of another format may be others.
    require(
        "format" in found and values["format"] == FORMAT,
        owner,
        f"{INFO_FILE} must be of format {FORMAT}; a newer one needs a newer "
        "moe_keras.",
        file=file,
        format=values.get("format") if isinstance(values, dict) else None,
    )
    require(
        found == known,
        owner,
        f"{INFO_FILE} must have the keys of its format, and no others.",
        file=file,
        missing=sorted(known - found),
        unknown=sorted(found - known),
    )
    del values["format"]
    _check_values(values, file, owner)
    values["classes"] = tuple(values["classes"])
    values["files"] = {
        name: FileInfo(**value) for name, value in values["files"].items()
    }
    sha256 = hashlib.sha256(content).hexdigest()
    return PresetInfo(**values, sha256=sha256)


def check_info(info: PresetInfo, owner: str) -> None:
    """Refuse values that `read_info` would refuse."""
    try:
        values = json.loads(info.to_json())
    except TypeError as error:
        require(
            False,
            owner,
            "`metadata` must hold what JSON can hold.",
            reason=str(error),
        )
    _check_values(values, info.name, owner)


def _check_values(values: dict[str, Any], file: str, owner: str) -> None:
    for key, check in _CHECKS.items():
        require(
            check(values[key]),
            owner,
            f"{INFO_FILE} has a value that its key cannot have.",
            file=file,
            **{key: values[key]},
        )


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def is_name(value: Any) -> bool:
    """Whether a preset, or its task, can be called so."""
    return isinstance(value, str) and bool(_NAME.fullmatch(value))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_score(value: Any) -> bool:
    if isinstance(value, dict):
        return "mean" in value and all(map(_is_number, value.values()))
    return _is_number(value)


def _is_file(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and set(value) == {"sha256", "num_bytes"}
        and isinstance(value["sha256"], str)
        and bool(_SHA256.fullmatch(value["sha256"]))
        and isinstance(value["num_bytes"], int)
    )


def _is_builder(value: Any) -> bool:
    return value is None or (
        isinstance(value, dict)
        and set(value) == {"name", "arguments"}
        and isinstance(value["name"], str)
        and isinstance(value["arguments"], dict)
    )


def _are_texts(value: Any, needed: frozenset[str] = frozenset()) -> bool:
    return (
        isinstance(value, dict)
        and needed <= set(value)
        and all(map(_is_text, value.values()))
    )


def _are_classes(value: Any) -> bool:
    return isinstance(value, list) and all(map(_is_text, value))


def _are_scores(value: Any) -> bool:
    return isinstance(value, dict) and all(map(_is_score, value.values()))


def _are_multiply_adds(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and set(value) == {"active", "total"}
        and all(map(_is_number, value.values()))
    )


def _are_files(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and set(value) == {MODEL_FILE, WEIGHTS_FILE}
        and all(map(_is_file, value.values()))
    )


_CHECKS: dict[str, Callable[[Any], bool]] = {
    "name": is_name,
    "task": is_name,
    "classes": _are_classes,
    "preprocessing": _is_text,
    "data": partial(_are_texts, needed=frozenset({"name", "licence"})),
    "licence": _is_text,
    "scores": _are_scores,
    "builder": _is_builder,
    "parameters": is_count,
    "multiply_adds": _are_multiply_adds,
    "versions": _are_texts,
    "files": _are_files,
}
