"""Several targets in one risk model: MMoE or PLE, and a tower for each."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import keras

from moe_keras.errors import is_count, require
from moe_keras.layers import DenseExpert, ExpertBank, MultiGateMixture
from moe_keras.layers.task_banks import SHARED
from moe_keras.zoo.kinds import Experts, check_kinds
from moe_keras.zoo.risk.experts import (
    GIVEN,
    KINDS,
    OWNER,
    make_encoded,
    sizes_of,
)
from moe_keras.zoo.risk.gates import GateMaker
from moe_keras.zoo.risk.heads import Priors, add_head

SHARINGS = ("mmoe", "ple")
Targets = Sequence[str] | Mapping[str, int]


@dataclass(frozen=True)
class Sharing:
    """What the targets of a model share.

    Attributes:
        kind: `"mmoe"`: all experts; `"ple"`: some, with others of each target.
        units: int > 0. U, the features that an expert returns.
        own: of `"ple"`, the experts of each target, by kind.
        levels: int > 0, of `"ple"`. From the second on, experts are networks
            with one hidden layer on the features of the level before.
        tower_units: int > 0, of the hidden layer between a target's features
            and its logits; None for none.
    """

    kind: str = "mmoe"
    units: int = 32
    own: Experts = field(default_factory=lambda: {"dense": 1})
    levels: int = 1
    tower_units: int | None = 16


def read_sharing(given: Any) -> Sharing:
    """A `Sharing` of a kind's name, or of a dict with its attributes.

    Raises:
        ValueError: for unknown names and for values that cannot be.
    """
    values = {"kind": given} if isinstance(given, str) else given
    known = {one.name for one in fields(Sharing)}
    require(
        isinstance(values, Mapping)
        and set(values) <= known
        and values.get("kind", "mmoe") in SHARINGS,
        OWNER,
        f"`sharing` must be one of {SHARINGS}, or a dict with this as `kind` "
        f"and with some of {sorted(known - {'kind'})}.",
        sharing=given,
    )
    found = Sharing(**values)
    counts = [found.units, found.levels]
    counts += [] if found.tower_units is None else [found.tower_units]
    require(
        all(map(is_count, counts)),
        OWNER,
        "`sharing` must have integers above 0 as `units`, `levels` and "
        "`tower_units`, which may be None.",
        sharing=given,
    )
    require(
        found.kind == "ple" or not {"own", "levels"} & set(values),
        OWNER,
        "`own` and `levels` are for `sharing` of kind 'ple'.",
        sharing=given,
    )
    check_kinds(found.own, KINDS, GIVEN, OWNER)
    return found


def read_targets(targets: Any) -> dict[str, int]:
    """The targets by name, with the number of their classes.

    Raises:
        ValueError: for none, for names that cannot be, and for too few classes.
    """
    listed = isinstance(targets, list | tuple) and all(
        isinstance(one, str) for one in targets
    )
    found = dict.fromkeys(targets, 2) if listed else targets
    require(
        isinstance(found, Mapping)
        and found
        and len(found) == len(targets)
        and all(
            isinstance(name, str) and name and "/" not in name for name in found
        )
        and SHARED not in found
        and all(
            is_count(classes) and classes > 1 for classes in found.values()
        ),
        OWNER,
        "`targets` must be a list of names, or a dict of names and numbers of "
        f"classes above 1; {SHARED!r} is no name.",
        targets=targets,
    )
    return dict(found)


def add_tasks(
    row: Any,
    targets: Mapping[str, int],
    sharing: Sharing,
    experts: Experts,
    gates: GateMaker,
    bins: tuple[int, int],
    priors: tuple[Priors, Priors],
) -> dict[str, Any]:
    """From the row to probabilities by target.

    Args:
        row: float `(B, D)`, symbolic.
        targets: by name, the number of classes.
        sharing: what they share.
        experts: the shared ones, by kind.
        gates: makes the gates.
        bins: of networks and of linear experts.
        priors: of the training and of the rows to be served, by target.

    Returns:
        dict of target -> float `(B, C)`.
    """
    features = row
    for level in range(1, sharing.levels + 1):
        features = _level(level, targets, sharing, experts, gates, bins)(
            features
        )
    outputs = {}
    for target, classes in targets.items():
        x = features[target]
        if sharing.tower_units is not None:
            x = keras.layers.Dense(
                sharing.tower_units, "relu", name=f"tower_{target}"
            )(x)
        x = keras.layers.Dense(classes, name=f"logits_{target}")(x)
        shares = (one.get(target) for one in priors)
        outputs[target] = add_head(x, target, *shares)
    return outputs


def _level(
    level: int,
    targets: Mapping[str, int],
    sharing: Sharing,
    experts: Experts,
    gates: GateMaker,
    bins: tuple[int, int],
) -> MultiGateMixture:
    """One layer: MMoE, or a level of PLE, the first being 1."""

    def banks(wanted: Experts, prefix: str) -> list[ExpertBank]:
        made = make_encoded(
            wanted, gates.columns, gates.rows, sharing.units, *bins, prefix
        )
        if level == 1:
            return made
        count = sum(bank.num_experts for bank in made)
        return [
            DenseExpert(
                sharing.units,
                count,
                2 * sharing.units,
                name=f"{prefix}networks",
            )
        ]

    shared = banks(experts, "")
    own = {}
    if sharing.kind == "ple":
        own = {target: banks(sharing.own, f"{target}_") for target in targets}
    sizes = {
        owner: sizes_of(found)
        for owner, found in {**own, SHARED: shared}.items()
    }
    tail = "" if level == 1 else f"_{level}"

    def gate(reader: str, *read: str) -> Any:
        name = f"gating_{reader}{tail}"
        seen = [size for owner in read for size in sizes.get(owner, [])]
        if level > 1:
            return gates.of_features(seen, name)
        return gates.of_rows(seen, name, f"router_{reader}")

    return MultiGateMixture(
        shared,
        {target: gate(target, target, SHARED) for target in targets},
        own or None,
        gate(SHARED, *sizes) if level < sharing.levels else None,
        name=f"moe{tail}",
    )
