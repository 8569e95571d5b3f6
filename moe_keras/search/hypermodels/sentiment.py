"""The space of sentiment mixtures."""

from collections.abc import Mapping
from typing import Any

from moe_keras.search.hypermodels.moe_hypermodel import MoEHyperModel
from moe_keras.search.hypermodels.space import Space, deal, gate_arguments

_BY_RARITY = {
    "weighting": "inverse_frequency",
    "max_order": 2,
    "step_factor": 4.0,
}
# Two n-gram experts with the same arguments would begin as the same.
NGRAMS: tuple[dict[str, Any], ...] = (
    {},
    {"span": -100},
    _BY_RARITY,
    {"span": 100},
    {"max_order": 1},
    {**_BY_RARITY, "span": -100},
)


class SentimentMoEHyperModel(MoEHyperModel):
    """Mixtures of `build_sentiment_moe`.

    - `kinds`: of experts, dealt out in turn.
    - `experts`: E; n-gram experts differ in span, order and weighting.
    - `top_k`: K; 0 for all.
    - `gate`: reads features of the text, or gives equal weights.
    - `width`: of word vectors, and filters and units of their readers.
    - `read_length`: words that these read.
    - `balance_loss`: of a sparse gate; the importance loss of a gate for all.
    - `learning_rate`: its peak.
    """

    task = "sentiment"

    def own_space(self) -> Space:
        return {
            "kinds": (
                *("ngram", "conv", "recurrent", "attention", "ngram+conv"),
                *("ngram+attention", "conv+attention"),
                "ngram+conv+attention",
            ),
            "gate": ("features", "uniform"),
            "width": (16, 32, 48, 64),
            "read_length": (100, 200, 400),
        }

    def arguments(self, values: Mapping[str, Any]) -> dict[str, Any]:
        width = values["width"]
        kinds = deal(values["experts"], values["kinds"].split("+"))
        readers = {
            "conv": {"filters": width},
            "recurrent": {"units": width, "bidirectional": True},
            "attention": {"units": width, "feed_forward_units": 2 * width},
        }
        experts = {
            kind: [
                dict(NGRAMS[number % len(NGRAMS)])
                if kind == "ngram"
                else dict(readers[kind])
                for number in range(count)
            ]
            for kind, count in kinds.items()
        }
        found: dict[str, Any] = {"experts": experts}
        if set(kinds) - {"ngram"}:
            found |= {
                "embedding_dim": width,
                "read_length": values["read_length"],
            }
        return {**found, **gate_arguments(values)}
