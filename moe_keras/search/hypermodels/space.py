"""The parts of a space that all tasks share, and how a space is narrowed.

Spaces are flat: every name has a value in every configuration, and what does
not matter for one of them (the width of experts that it does not have) is left
out of its arguments. Two configurations with the same arguments are one.

Numbers travel between the processes of a search in 32 bits; powers of two are
the same there and back.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from moe_keras.errors import is_count, require

Value = str | int | float
Space = dict[str, tuple[Value, ...]]

COUNTS = (2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64)
# 0 stands for all experts.
TOP_K = (1, 2, 4, 0)
BALANCE_LOSSES = (0.0, 2.0**-10, 2.0**-7, 2.0**-3)
LEARNING_RATES = tuple(2.0**power for power in range(-11, -6))


def shared_space(max_experts: int, owner: str) -> Space:
    """What every task searches over; the first value is the cheapest.

    Args:
        max_experts: int > 1.
        owner: whom to name in errors.
    """
    require(
        is_count(max_experts) and max_experts > 1,
        owner,
        "`max_experts` must be an integer above 1.",
        max_experts=max_experts,
    )
    counts = {count for count in COUNTS if count < max_experts}
    return {
        "experts": (*sorted(counts), max_experts),
        "top_k": TOP_K,
        "balance_loss": BALANCE_LOSSES,
        "learning_rate": LEARNING_RATES,
    }


def narrowed(
    space: Space, only: Mapping[str, Sequence[Value]] | None, owner: str
) -> Space:
    """A space with fewer values of some names, in the order given.

    Args:
        space: by name, the values.
        only: by name, those to keep.
        owner: whom to name in errors.

    Raises:
        ValueError: for a name or a value that the space does not have.
    """
    kept = dict(space)
    for name, values in (only or {}).items():
        require(
            name in space,
            owner,
            f"`only` must have names among {tuple(space)}.",
            only=name,
        )
        listed = not isinstance(values, str) and len(values) > 0
        require(
            listed and set(values) <= set(space[name]),
            owner,
            f"`only` must list values of {name!r} among {space[name]}.",
            **{name: values},
        )
        # The space's own, so that 1 does not stand where 1.0 was.
        kept[name] = tuple(
            space[name][space[name].index(value)] for value in values
        )
    return kept


def chosen(top_k: Any, experts: int) -> int | None:
    """How many experts a gate chooses; None for all."""
    return None if top_k == 0 or top_k >= experts else int(top_k)


def deal(experts: int, kinds: Sequence[str]) -> dict[str, int]:
    """Experts dealt out to kinds in turn; kinds that get none are left out."""
    return {
        kind: count
        for place, kind in enumerate(kinds)
        if (count := len(range(place, experts, len(kinds))))
    }


def gate_arguments(values: Mapping[str, Any]) -> dict[str, Any]:
    """What builders of sentiment and risk are told of their gate."""
    if values["gate"] == "uniform":
        return {"gate": "uniform", "top_k": None}
    top_k = chosen(values["top_k"], values["experts"])
    sparse = top_k is not None
    return {
        "gate": None,
        "top_k": top_k,
        "balance_loss": values["balance_loss"] if sparse else 0.0,
        "importance_loss": 0.0 if sparse else values["balance_loss"],
    }
