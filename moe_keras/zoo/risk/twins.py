"""Dense twins of risk models, as arguments of their builder.

So a twin is trained and calibrated in the same way as the mixture, out of fold.
"""

from collections.abc import Mapping
from typing import Any

import keras

from moe_keras.errors import require
from moe_keras.zoo.kinds import Experts
from moe_keras.zoo.risk.builder import DEFAULT_EXPERTS
from moe_keras.zoo.risk.experts import KINDS
from moe_keras.zoo.twins import dense_twin

# Of the mixture only.
_NOT_OF_A_TWIN = ("forests", "top_k", "experts", "gate")


def twin_arguments(
    model: keras.Model,
    arguments: Mapping[str, Any],
    match: str,
    bank: int | str,
) -> dict[str, Any]:
    """The arguments that build a dense twin of a risk model.

    Args:
        model: that the arguments build.
        arguments: of `build_risk_moe`.
        match: see `dense_twin`.
        bank: of networks, whose kind the twin has: its name, such as
            `"low_rank_0"`, or `"low_rank"` where its kind has but a number; or
            its place among them.

    Returns:
        Arguments for one expert of that kind, its widths those of the twin,
        without trees and without a gate.

    Raises:
        ValueError: when there is no such bank.
    """
    experts = arguments.get("experts", DEFAULT_EXPERTS)
    if not isinstance(bank, str):
        names = _network_names(experts)
        require(
            0 <= bank < len(names),
            "twin_arguments",
            f"`bank` must be a place among the networks {names}.",
            bank=bank,
        )
        bank = names[bank]
    kind, _, place = bank.rpartition("_")
    if kind not in experts:
        kind, place = bank, "0"
    wanted = experts.get(kind)
    own = wanted if isinstance(wanted, list | tuple) else [{}]
    require(
        kind in KINDS and wanted and place.isdigit() and int(place) < len(own),
        "twin_arguments",
        f"`bank` must be a bank of networks; experts are {dict(experts)}.",
        bank=bank,
    )
    twin = dense_twin(model, match, bank)
    found = next(
        part
        for layer in twin.get_layer("moe").layers
        if hasattr(layer, "find") and (part := layer.find(bank)) is not None
    )
    widths = {
        key: list(value) if isinstance(value, tuple) else value
        for key, value in found.widths().items()
    }
    kept = {k: v for k, v in arguments.items() if k not in _NOT_OF_A_TWIN}
    expert = {**own[int(place)], **widths, "num_experts": 1}
    return {**kept, "experts": {kind: [expert]}, "gate": "uniform"}


def _network_names(experts: Experts) -> list[str]:
    """The names of all banks but the linear ones, in the model's order."""
    return [
        name
        for kind, wanted in experts.items()
        if kind != "linear"
        for name in (
            [kind]
            if isinstance(wanted, int)
            else [f"{kind}_{place}" for place in range(len(wanted))]
        )
    ]
