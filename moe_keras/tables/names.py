"""The names of columns: one column, whatever stands around its name."""

import unicodedata
from collections.abc import Sequence
from typing import Any

from moe_keras.tables.notation import clean

# What pandas calls the first column of a CSV file, or a column of a Parquet
# file, that is a frame's index: it says which row it is, and nothing of it.
INDEX = ("Unnamed: 0", "__index_level_0__")


def plain_name(name: str) -> str:
    """A name without blanks around it, its letters composed."""
    return unicodedata.normalize("NFC", clean(name))


def find_name(name: str, names: Sequence[Any]) -> Any:
    """Which of the names is meant: the same one, or else the same plain one.

    Returns:
        One of `names`; None where none is meant, or more than one.
    """
    if name in names:
        return name
    plain = plain_name(name)
    same = [
        one
        for one in names
        if isinstance(one, str) and plain_name(one) == plain
    ]
    return same[0] if len(same) == 1 else None
