"""Whether what a folder holds is what is asked for."""

import reprlib
from pathlib import Path
from typing import Any

from moe_keras.data.load import FILES
from moe_keras.errors import require

LONGEST_VALUE = 60
_SHORT = reprlib.Repr()
_SHORT.maxother = _SHORT.maxstring = LONGEST_VALUE


def require_same(
    owner: str,
    folder: Path,
    there: Any,
    asked: Any,
    rule: str = "the folder holds another training; start afresh, or take "
    "another.",
) -> None:
    """Refuse a folder that holds another thing than is asked for.

    Args:
        owner: the function that was called.
        folder: to name.
        there: what its files say that they depend on, as JSON holds it.
        asked: the same of what is asked for.
        rule: a sentence, with its full stop.

    Raises:
        ValueError: with the dotted keys of what differs, and both values.
    """
    found = differences(there, asked)
    require(
        not found,
        owner,
        rule,
        folder=str(folder),
        different=[key for key, _, _ in found],
        there=[_short(value) for _, value, _ in found],
        asked=[_short(value) for _, _, value in found],
    )


def differences(
    there: Any, asked: Any, place: str = ""
) -> list[tuple[str, Any, Any]]:
    """Where two nested mappings differ: the dotted key, and both values.

    None is the same as nothing. A table is known by the digest of its rows, not
    by where its file is.
    """
    if isinstance(there, dict) and isinstance(asked, dict):
        return [
            found
            for key in {**there, **asked}
            for found in differences(
                there.get(key),
                asked.get(key),
                f"{place}.{key}" if place else key,
            )
        ]
    same = there == asked or (
        place.endswith("data.name")
        and _without_path(there) == _without_path(asked)
    )
    return [] if same else [(place, there, asked)]


def _without_path(name: Any) -> Any:
    """The kind and the options of a table in a file; others as they are."""
    kind, _, rest = str(name).partition(":")
    return (kind, rest.partition("?")[2]) if kind in FILES else name


def _short(value: Any) -> Any:
    text = repr(value)
    return value if len(text) <= LONGEST_VALUE else _SHORT.repr(value)
