"""From a YAML file to a `Recipe`, or to an error with key and line."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from moe_keras.training.builders import unknown
from moe_keras.training.recipe import Recipe

FILE_NAME = "recipe.yaml"
LONGEST_VALUE = 60

Place = tuple[int | str, ...]


class RecipeError(ValueError):
    """A recipe that cannot be used; the text says where and why."""


class _Loader(yaml.SafeLoader):
    """YAML 1.1, but 1e-3 is a number, as everybody thinks it is."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"[-+]?[0-9]+(\.[0-9]*)?[eE][-+]?[0-9]+$"),
    list("-+0123456789"),
)


def load_recipe(path: Path | str) -> Recipe:
    """Read a recipe and check all of it.

    Args:
        path: a YAML file, or a folder with a `recipe.yaml` in it.

    Returns:
        `Recipe`.

    Raises:
        RecipeError: a line for each fault: the file, the line, the dotted path
            of the key, what is wrong and what was found.
    """
    path = Path(path)
    if path.is_dir():
        path = path / FILE_NAME
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise RecipeError(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise RecipeError(f"{path}: is not a text in UTF-8") from None
    values, lines = _parse(text, path)
    try:
        return Recipe.model_validate(values)
    except ValidationError as error:
        found = error.errors(include_url=False)
        found.sort(key=lambda fault: _line_of(fault["loc"], lines))
        faults = [_explain(fault, lines, path) for fault in found]
        raise RecipeError("\n".join(faults)) from None


def _parse(text: str, path: Path) -> tuple[Any, dict[Place, int]]:
    """The file's content, and the line of each of its keys and items."""
    loader = _Loader(text)
    try:
        root = loader.get_single_node()
        if not isinstance(root, yaml.MappingNode):
            raise RecipeError(f"{path}: is not a mapping of keys to values")
        lines: dict[Place, int] = {}
        _find_lines(root, (), lines, path)
        return loader.construct_document(root), lines
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f":{mark.line + 1}" if mark else ""
        raise RecipeError(f"{path}{line}: {error.problem}") from None
    except (yaml.YAMLError, ValueError) as error:
        if isinstance(error, RecipeError):
            raise
        raise RecipeError(f"{path}: {error}") from None
    finally:
        loader.dispose()


def _find_lines(
    node: yaml.Node, place: Place, lines: dict[Place, int], path: Path
) -> None:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            inner = (*place, key.value)
            line = key.start_mark.line + 1
            # YAML's own readers take the last and say nothing.
            if inner in lines:
                raise RecipeError(
                    f"{path}:{line}: {_dotted(inner)}: is there twice, also in "
                    f"line {lines[inner]}"
                )
            lines[inner] = line
            _find_lines(value, inner, lines, path)
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            lines[*place, index] = value.start_mark.line + 1
            _find_lines(value, (*place, index), lines, path)


def _explain(fault: Any, lines: dict[Place, int], path: Path) -> str:
    """One fault in one line of text."""
    place: Place = fault["loc"]
    line = _line_of(place, lines)
    where = f"{path}:{line}" if line else f"{path}"
    kind, message = fault["type"], fault["msg"]
    if kind == "missing":
        return f"{where}: {_dotted(place)}: is missing"
    if kind == "extra_forbidden":
        message = unknown(str(place[-1]), _fields_at(place[:-1]))
    message = message.removeprefix("Value error, ")
    given = repr(fault["input"])
    if len(given) > LONGEST_VALUE:
        given = given[:LONGEST_VALUE] + "..."
    if not place:
        return f"{where}: {message}"
    stop = "" if message.endswith("?") else "."
    return (
        f"{where}: {_dotted(place)}: {message}{stop} "
        f"Received: {place[-1]}={given}"
    )


def _line_of(place: Place, lines: dict[Place, int]) -> int:
    """The line of a key, or of the nearest one around it; 0 without any."""
    while place and place not in lines:
        place = place[:-1]
    return lines.get(place, 0)


def _fields_at(place: Sequence[int | str]) -> list[str]:
    """The keys that a part of the recipe has."""
    part: Any = Recipe
    for key in place:
        if isinstance(key, str) and key in part.model_fields:
            annotation = part.model_fields[key].annotation
            part = next(_models_in(annotation), part)
    return list(part.model_fields)


def _models_in(annotation: Any) -> Any:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in getattr(annotation, "__args__", ()):
        yield from _models_in(inner)


def _dotted(place: Place) -> str:
    return ".".join(map(str, place))
