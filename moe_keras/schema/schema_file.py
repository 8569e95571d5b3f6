"""From a YAML file to a schema, or to an error that names the key."""

import difflib
import re
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

LONGEST_VALUE = 60

Schema = TypeVar("Schema", bound=BaseModel)


class _Loader(yaml.SafeLoader):
    """YAML 1.1 without surprises.

    1e-3 is a number; yes, no, on and off are texts; no key is there twice.
    """

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        keys = [key.value for key, _ in node.value]
        for key, _ in node.value:
            if keys.count(key.value) > 1:
                raise yaml.constructor.ConstructorError(
                    None, None, f"{key.value} is there twice", key.start_mark
                )
        return super().construct_mapping(node, deep)


_Loader.yaml_implicit_resolvers = {
    first: [one for one in resolvers if one[0] != "tag:yaml.org,2002:bool"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:bool", re.compile("true|false$"), list("tf")
)


class _Dumper(yaml.SafeDumper):
    """Texts that other readers, or ours, take for something else are quoted."""


for _one in (_Loader, _Dumper):
    _one.add_implicit_resolver(
        "tag:yaml.org,2002:float",
        re.compile(r"[-+]?[0-9]+(\.[0-9]*)?[eE][-+]?[0-9]+$"),
        list("-+0123456789"),
    )


def dump_schema(schema: BaseModel) -> str:
    """A schema as the content of a YAML file, every default written out."""
    values = schema.model_dump(mode="json")
    text: str = yaml.dump(
        values, None, _Dumper, sort_keys=False, allow_unicode=True
    )
    return text


def load_schema(kind: type[Schema], path: Path) -> Schema:
    """Read a schema; see `RiskSchema.from_yaml`.

    Args:
        kind: the class of the schema.
        path: a YAML file.
    """
    try:
        values = yaml.load(path.read_text(encoding="utf-8"), _Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f":{mark.line + 1}" if mark else ""
        raise ValueError(f"{path}{line}: {error.problem}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: {error}") from None
    if not isinstance(values, dict):
        raise ValueError(f"{path}: is not a mapping of keys to values")
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        faults = error.errors(include_url=False)
        lines = [f"{path}: {_explain(kind, values, one)}" for one in faults]
        raise ValueError("\n".join(dict.fromkeys(lines))) from None


def _explain(kind: type[BaseModel], values: Any, fault: Any) -> str:
    """One fault in one line of text."""
    place = [*fault["loc"]]
    # Behind a key, pydantic names the type that it tried.
    while place and not _holds(values, place):
        if fault["type"] in ("missing", "extra_forbidden"):
            break
        place.pop()
    where = ".".join(map(str, place))
    where = f"{where}: " if where else ""
    if fault["type"] == "missing":
        return f"{where}is missing"
    message = fault["msg"].removeprefix("Value error, ")
    if fault["type"] == "extra_forbidden":
        known = _keys_at(kind, place[:-1])
        near = difflib.get_close_matches(str(place[-1]), known, n=1)
        message = "unknown key" + (f"; did you mean {near[0]}?" if near else "")
    given = repr(fault["input"])
    if len(given) > LONGEST_VALUE:
        given = given[:LONGEST_VALUE] + "..."
    stop = "" if message.endswith("?") else "."
    return f"{where}{message}{stop} Received: {given}" if where else message


def _holds(values: Any, place: list[Any]) -> bool:
    for key in place:
        try:
            values = values[key]
        except (KeyError, IndexError, TypeError):
            return False
    return True


def _keys_at(kind: Any, place: list[Any]) -> list[str]:
    """The keys that a part of the schema has."""
    for key in place:
        if isinstance(key, str) and key in kind.model_fields:
            kind = next(_parts_in(kind.model_fields[key].annotation), kind)
    return list(kind.model_fields)


def _parts_in(annotation: Any) -> Any:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in getattr(annotation, "__args__", ()):
        yield from _parts_in(inner)
