"""The experts of a sentiment model, by kind, from plain arguments."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np

from moe_keras.layers import (
    AttentionExpert,
    EmbeddedExperts,
    ExpertBank,
    NGramExpert,
    RecurrentExpert,
    SequenceConvExpert,
)
from moe_keras.ops.rarity import usual_min_count, usual_min_texts
from moe_keras.zoo.kinds import Experts

OWNER = "build_sentiment_moe"
DEFAULT_EXPERTS: Experts = MappingProxyType({"ngram": 1, "conv": 1})
# Of those that read word vectors, the class and what it is told besides.
READERS: dict[str, tuple[type[ExpertBank], dict[str, Any]]] = {
    "conv": (
        SequenceConvExpert,
        {"filters": 64, "pooling": ("max", "mean")},
    ),
    "recurrent": (RecurrentExpert, {"units": 48, "bidirectional": True}),
    "attention": (AttentionExpert, {"units": 64}),
}
KINDS = ("ngram", *READERS)
# What `adapt` of an n-gram expert is told, not the expert itself.
ADAPT = ("alpha", "min_texts")
# What an expert is told here.
GIVEN = {"name", "output_units"}

Ids = Sequence[tuple[np.ndarray, np.ndarray | None]]


def make_banks(
    experts: Experts,
    num_classes: int,
    dropout: float,
    embed: Callable[[list[ExpertBank]], EmbeddedExperts],
    ids: Ids | None,
) -> list[ExpertBank]:
    """Banks from ids of words to logits, in the order in which they are named.

    Args:
        experts: as `check_experts` lets them through.
        num_classes: int > 1. C.
        dropout: float in [0, 1), in front of the last layer of those that read
            word vectors.
        embed: puts one table of word vectors in front of banks.
        ids: batches of ids and labels for the n-gram experts; None for experts
            that know no n-gram.

    Returns:
        One bank for each n-gram expert, and one for all that read vectors.
    """
    banks: list[ExpertBank] = []
    readers: list[ExpertBank] = []
    place = None
    for kind, wanted in experts.items():
        for number, given in enumerate(_arguments(wanted)):
            name = f"{kind}_{number}"
            if kind == "ngram":
                banks.append(_ngram_expert(num_classes, ids, name, given))
                continue
            if place is None:
                place = len(banks)
            bank, defaults = READERS[kind]
            readers.append(
                bank(
                    output_units=num_classes,
                    **{"dropout": dropout, **defaults, **given},
                    name=name,
                )
            )
    if readers:
        banks.insert(place or 0, embed(readers))
    return banks


def with_thresholds(
    arguments: Mapping[str, Any], labels: np.ndarray, num_classes: int
) -> dict[str, Any]:
    """A builder's arguments, with what the number of texts decides written out.

    So that what a preset says of its builder holds for other texts too.

    Args:
        arguments: of `build_sentiment_moe`, by name.
        labels: int `(N,)` in 0..C-1, the classes of its texts.
        num_classes: int > 1. C.

    Returns:
        The arguments, `min_count` among them, and `min_texts` among those of
        each n-gram expert.
    """
    found = dict(arguments)
    if found.get("vocabulary") is None and found.get("min_count") is None:
        found["min_count"] = usual_min_count(len(labels))
    experts = dict(found.get("experts", DEFAULT_EXPERTS))
    if "ngram" in experts:
        sizes = np.bincount(labels, minlength=num_classes).tolist()
        experts["ngram"] = [
            {**one, "min_texts": one.get("min_texts") or usual}
            for one in _arguments(experts["ngram"])
            for usual in [usual_min_texts(sizes, one.get("weighting"))]
        ]
        found["experts"] = experts
    return found


def _arguments(
    wanted: int | Sequence[Mapping[str, Any]],
) -> Iterable[Mapping[str, Any]]:
    return [{}] * wanted if isinstance(wanted, int) else wanted


def _ngram_expert(
    num_classes: int, ids: Ids | None, name: str, given: Mapping[str, Any]
) -> NGramExpert:
    """An expert that knows its n-grams, without a place to spare for more."""
    told = {key: value for key, value in given.items() if key in ADAPT}
    options = {key: value for key, value in given.items() if key not in ADAPT}
    wide = NGramExpert(num_classes, **options, name=name)
    if ids is None:
        return wide
    wide.build((None, None))
    known = wide.adapt(ids, **told)
    config = {**wide.get_config(), "max_ngrams": known + 1}
    expert: NGramExpert = NGramExpert.from_config(config)
    expert.build((None, None))
    for weight, value in zip(expert.weights, wide.get_weights(), strict=True):
        # The axis of the n-grams is shorter; all others are as they were.
        weight.assign(value[tuple(map(slice, weight.shape))])
    return expert
