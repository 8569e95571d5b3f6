"""How bad input is refused: `Owner: rule. Received: name=value`."""

import math
from numbers import Real
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


def missing_method(owner: str, method: str, what: str) -> NotImplementedError:
    """The error of a base class whose subclass lacks a method.

    Args:
        owner: the subclass.
        method: that it lacks.
        what: a sentence on what the method is to return, with its full stop.

    Returns:
        The error, to be raised.
    """
    return NotImplementedError(
        f"{owner}: the class must implement `{method}`. {what}"
    )


def is_count(value: Any) -> bool:
    """Whether `value` is an integer above zero (a bool is not)."""
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def is_number(value: Any) -> bool:
    """Whether `value` is a real number and finite (a bool is not)."""
    return (
        isinstance(value, Real)
        and not isinstance(value, bool)
        and math.isfinite(value)
    )


def either(owner: str, **names: Any) -> Any:
    """The value of an argument that has two names.

    Args:
        owner: the class or function that was called.
        **names: what was given under each of them, None where nothing was.

    Returns:
        The value that was given; None where none was.

    Raises:
        ValueError: where it was given twice.
    """
    given = [value for value in names.values() if value is not None]
    both = " and ".join(f"`{name}`" for name in names)
    rule = f"{both} are two names of one argument: give one of them."
    require(len(given) < 2, owner, rule, **names)
    return given[0] if given else None


def require_counts(owner: str, **counts: Any) -> None:
    """Raise a `ValueError` for the first that is no integer above zero.

    Args:
        owner: the class or function that was called.
        **counts: the arguments by name.
    """
    for name, value in counts.items():
        rule = f"`{name}` must be an integer above 0."
        require(is_count(value), owner, rule, **{name: value})


def require_rates(owner: str, **rates: Any) -> None:
    """Raise a `ValueError` for the first that is no number in [0, 1).

    Args:
        owner: the class or function that was called.
        **rates: the arguments by name, such as `dropout`.
    """
    for name, value in rates.items():
        rule = f"`{name}` must be in [0, 1)."
        require(
            is_number(value) and 0 <= value < 1, owner, rule, **{name: value}
        )
