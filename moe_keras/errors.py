"""How bad input is refused: `Owner: rule. Received: name=value`."""

from typing import Any


def require(condition: Any, owner: str, rule: str, **received: Any) -> None:
    """Raise a `ValueError` that names the argument and its value.

    Args:
        condition: true when the input is fine.
        owner: the class or function that was called.
        rule: a sentence that says what must hold, with its full stop.
        **received: the offending arguments by name.

    Raises:
        ValueError: when `condition` is false.
    """
    if not condition:
        values = ", ".join(
            f"{name}={value!r}" for name, value in received.items()
        )
        raise ValueError(f"{owner}: {rule} Received: {values}")


def is_count(value: Any) -> bool:
    """Whether `value` is an integer above zero (a bool is not)."""
    return isinstance(value, int) and not isinstance(value, bool) and value > 0
