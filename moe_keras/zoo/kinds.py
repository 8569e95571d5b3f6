"""What the builders of mixtures let through, of experts and of gates."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import keras

from moe_keras.errors import is_count, require

# By kind, the number of experts, or the arguments of each.
Experts = Mapping[str, int | Sequence[Mapping[str, Any]]]


def check_kinds(
    experts: Experts,
    kinds: Collection[str],
    given: set[str],
    owner: str,
    optional: bool = False,
) -> None:
    """Refuse kinds and numbers of experts that cannot be.

    Args:
        experts: by kind, their number, or a list with the arguments of each.
        kinds: that there are.
        given: arguments that are not the caller's to say.
        owner: the builder, for the errors.
        optional: whether there may be none.
    """
    require(
        isinstance(experts, Mapping) and (optional or len(experts) > 0),
        owner,
        "`experts` must map kinds of experts to their numbers, or to a list "
        f"with the arguments of each, such as {{{next(iter(kinds))!r}: 4}}.",
        experts=experts,
    )
    for kind, wanted in experts.items():
        require(
            kind in kinds,
            owner,
            f"`experts` must name kinds among {tuple(kinds)}.",
            kind=kind,
        )
        listed = isinstance(wanted, list | tuple) and all(
            isinstance(one, Mapping) for one in wanted
        )
        require(
            is_count(wanted) or (listed and wanted),
            owner,
            "`experts` must say how many of a kind there are, or list the "
            "arguments of each.",
            **{kind: wanted},
        )
        for one in () if isinstance(wanted, int) else wanted:
            require(
                not given & set(one),
                owner,
                f"`experts` cannot say {sorted(given)} of an expert: they come "
                "from the data, the other arguments and its place.",
                **{kind: wanted},
            )


def check_gate(gate: Any, top_k: Any, over: str, owner: str) -> None:
    """Refuse gates that are none, and choices that one of the user's makes.

    Args:
        gate: a layer, `"uniform"`, or None for the builder's own.
        top_k: how many experts are chosen; for the builder's own gate.
        over: what the gate reads, for the errors.
        owner: the builder, for the errors.
    """
    require(
        gate in (None, "uniform") or isinstance(gate, keras.layers.Layer),
        owner,
        f'`gate` must be a layer over {over}, "uniform" or None.',
        gate=gate,
    )
    require(
        gate is None or top_k is None,
        owner,
        "`top_k` must be None with a `gate`, which says itself how many "
        "experts are chosen.",
        top_k=top_k,
        gate=gate,
    )
