"""The experts of a risk model, by kind, from plain arguments."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from moe_keras.errors import require
from moe_keras.layers import (
    CrossExpert,
    DenseExpert,
    EncodedExperts,
    ExpertBank,
    ForestExpert,
    LinearExpert,
    LowRankExpert,
    TabularEncoding,
)
from moe_keras.schema.risk_schema import RowMonotone
from moe_keras.zoo.kinds import Experts

OWNER = "build_risk_moe"
# The class, and what it is told besides. All but the linear one read pieces.
KINDS: dict[str, tuple[type[ExpertBank], dict[str, Any]]] = {
    "linear": (LinearExpert, {}),
    "dense": (DenseExpert, {"hidden_units": 64, "output_activation": None}),
    "cross": (CrossExpert, {"rank": 16}),
    "low_rank": (LowRankExpert, {"hidden_units": (128, 128)}),
}
# What an expert is told here.
GIVEN = {"name", "output_units", "units", "signs"}


@dataclass(frozen=True)
class Columns:
    """The columns of a row, as experts have to know them.

    Attributes:
        names: of the D columns.
        levels: None for a number, int for a category.
        monotone: which sign each has, and which depend on columns with one.
    """

    names: Sequence[str]
    levels: Sequence[int | None]
    monotone: RowMonotone

    @property
    def free(self) -> list[int]:
        """Those that depend on no monotone column."""
        return [
            place
            for place, sources in enumerate(self.monotone.sources)
            if not sources
        ]

    @property
    def signed(self) -> list[int]:
        """The free ones, and those that are monotone themselves."""
        return [
            place
            for place, sources in enumerate(self.monotone.sources)
            if not sources or self.monotone.signs[place]
        ]


def make_encoded(
    experts: Experts,
    columns: Columns,
    rows: np.ndarray,
    num_classes: int,
    bins: int,
    steps: int,
    prefix: str = "",
) -> list[ExpertBank]:
    """Banks behind encodings of the row, which know the rows' quantiles.

    Args:
        experts: as `check_kinds` lets them through.
        columns: of the row.
        rows: float `(N, D)`.
        num_classes: int > 0. What an expert returns: C logits, or features.
        bins: int > 1. Pieces of a number at most.
        steps: int > 1. Bins of a number in scorecards.
        prefix: of the banks' names.

    Returns:
        One bank for all linear experts, on steps of what they may read with the
        right signs; one for all others, on pieces of the free columns.
    """
    linear = list(_banks(experts, num_classes, linear=True))
    others = list(_banks(experts, num_classes, linear=False))
    banks: list[ExpertBank] = []
    if linear:
        encoding = adapted(columns, columns.signed, rows, steps, "steps")
        if num_classes == 2 and any(columns.monotone.signs):
            signs = encoding.signs(columns.monotone.signs)
            linear = [
                LinearExpert(**{**_told(bank), "signs": signs.tolist()})
                for bank in linear
            ]
        banks.append(
            EncodedExperts(linear, encoding, name=f"{prefix}scorecards")
        )
    if others:
        require(
            columns.free,
            OWNER,
            "`experts` other than linear ones need a column that does not "
            "depend on a monotone one.",
            experts=list(experts),
        )
        encoding = adapted(columns, columns.free, rows, bins, "pieces")
        banks.append(EncodedExperts(others, encoding, name=f"{prefix}networks"))
    return banks


def _banks(
    experts: Experts, num_classes: int, linear: bool
) -> Iterable[ExpertBank]:
    for kind, wanted in experts.items():
        if (kind == "linear") is not linear:
            continue
        bank, defaults = KINDS[kind]
        width = {"units" if kind == "dense" else "output_units": num_classes}
        if isinstance(wanted, int):
            # Of one bank, whose experts run in one product.
            options = {**defaults, **width, "num_experts": wanted}
            yield bank(**options, name=kind)
            continue
        for number, given in enumerate(wanted):
            yield bank(
                **{**defaults, **given, **width}, name=f"{kind}_{number}"
            )


def _told(bank: ExpertBank) -> dict[str, Any]:
    config = bank.get_config()
    del config["dtype"]
    return config


def adapted(
    columns: Columns,
    read: Sequence[int],
    rows: np.ndarray,
    bins: int,
    numbers: str,
) -> TabularEncoding:
    """An encoding of some columns that knows their quantiles."""
    encoding = TabularEncoding(
        columns.levels,
        bins,
        numbers,
        None if len(read) == len(columns.levels) else list(read),
        name=numbers,
    )
    encoding.adapt(rows)
    return encoding


def make_forests(
    forests: Sequence[Any], columns: Columns, num_classes: int
) -> list[ForestExpert]:
    """Fitted trees as experts, monotone where the schema says so.

    Raises:
        ValueError: for trees of other classes or of more columns than the row
            has, and for those that are not monotone where the schema asks.
    """
    banks = []
    for number, forest in enumerate(forests):
        name = f"forest_{number}"
        bank = (
            forest
            if isinstance(forest, ForestExpert)
            else ForestExpert.from_model(forest, name=name)
        )
        require(
            bank.output_units == num_classes,
            OWNER,
            f"`forests` must be fitted to {num_classes} classes.",
            forest=number,
            classes=bank.output_units,
        )
        if not bank.built:
            bank.build((None, len(columns.levels)))
        _check_monotone(bank, number, columns)
        banks.append(bank)
    return banks


def _check_monotone(bank: ForestExpert, number: int, columns: Columns) -> None:
    monotone = columns.monotone
    for place in bank.columns_read():
        sign, sources = monotone.signs[place], monotone.sources[place]
        require(
            not sources or (sign and bank.is_monotone(place, sign)),
            OWNER,
            "`forests` must be monotone in the columns that the schema says, "
            "and not read columns derived from them.",
            forest=number,
            column=columns.names[place],
            monotone=sign,
        )


def sizes_of(banks: Sequence[ExpertBank]) -> list[int]:
    """How many experts each bank has, of those behind an encoding too."""
    return [
        part.num_experts
        for bank in banks
        for part in (
            bank.banks.banks if isinstance(bank, EncodedExperts) else [bank]
        )
    ]
