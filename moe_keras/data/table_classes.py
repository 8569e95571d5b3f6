"""Which class of a table is meant by a name, a number, or true and false."""

from collections.abc import Sequence

from moe_keras.tables.notation import WORDS


def find_class(classes: Sequence[str], wanted: object) -> str | None:
    """The class that is meant.

    Args:
        classes: their names, as a file has them.
        wanted: one of them, or what is the same number: 1, 1.0, `"1"` and
            true are, in any spelling.

    Returns:
        One of `classes`; None where none is meant.
    """
    written = str(wanted)
    if written in classes:
        return written
    number = _number(written)
    for name in classes:
        if number is not None and _number(name) == number:
            return name
    return None


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return WORDS.get(text.lower())
