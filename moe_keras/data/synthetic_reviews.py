"""Made-up film reviews with a known P(positive): words, and "not" before them.

logit P(positive) = sum over words of weight(word) * (-1 if "not" stands right
before it). So a bag of single words falls short of the best, and a model that
sees which word "not" belongs to does not.
"""

from types import MappingProxyType
from typing import Any

import numpy as np

from moe_keras.data.dataset import Dataset, Feature, assemble
from moe_keras.data.split import Split
from moe_keras.data.synthetic import Stream, check_sizes, sigmoid

# Log-odds of a positive review; words that are not here have 0.
WEIGHTS = MappingProxyType(
    {
        **{"brilliant": 2.0, "gripping": 1.6, "moving": 1.4, "funny": 1.2},
        **{"clever": 1.0, "charming": 0.9, "warm": 0.7, "good": 0.6},
        **{"awful": -2.0, "boring": -1.6, "dull": -1.4, "silly": -1.2},
        **{"clumsy": -1.0, "flat": -0.9, "cold": -0.7, "long": -0.6},
    }
)
_SUBJECTS = ("plot", "cast", "music", "ending", "first half", "dialogue")
_VERBS = ("was", "is", "seemed", "felt")
_ASIDES = (
    "I saw it on a train.",
    "My sister came along.",
    "It was not the first film of the evening.",
    "There were subtitles.",
)
_SENTENCES = 5
_NEGATED = 0.25
_ASIDE = 0.25


def load_synthetic_reviews(
    size: int = 5_000, test_size: int = 2_000, seed: int = 0, **options: Any
) -> Dataset:
    """Made-up reviews of one to five sentences whose P(positive) is known.

    Args:
        size: int > 0, rows for training and validation. Row i is the same for
            every size.
        test_size: int > 0, rows for the test.
        seed: int.
        **options: `validation_share` and `positive`, see `load_dataset`.

    Returns:
        `Dataset` of texts; classes negative (0) and positive (1);
        `Split.probability` is P(positive) of each text, of which its label was
        drawn.
    """
    check_sizes("load_synthetic_reviews", size=size, test_size=test_size)
    train, test = (
        _draw(Stream(f"synthetic_reviews/{split}", seed, rows))
        for split, rows in (("train", size), ("test", test_size))
    )
    return assemble(
        name="synthetic_reviews",
        task="text",
        train=train,
        test=test,
        classes=("negative", "positive"),
        schema=(Feature("text", "string"),),
        licence="CC0 1.0",
        citation="made by moe_keras",
        source=f"moe_keras: seed {seed}",
        description="Made-up reviews whose probability of praise is known.",
        **options,
    )


def _draw(stream: Stream) -> Split:
    lengths = 1 + np.floor(_SENTENCES * stream.uniform("length")).astype(int)
    texts = np.full(stream.size, "", dtype=object)
    logits = np.zeros(stream.size)
    for place in range(_SENTENCES):
        sentences, weights = _sentences(stream, place)
        there = place < lengths
        texts[there] += (" " if place else "") + sentences[there]
        logits[there] += weights[there]
    probability = sigmoid(logits)
    labels = (stream.uniform("label") < probability).astype("int64")
    return Split(texts, labels, probability=probability)


def _sentences(stream: Stream, place: int) -> tuple[np.ndarray, np.ndarray]:
    """One sentence for every row, and what it adds to the logit."""

    def pick(column: str, options: Any) -> np.ndarray:
        share = 1 / len(options)
        return stream.choice(f"{column} {place}", dict.fromkeys(options, share))

    words = pick("word", WEIGHTS)
    negated = stream.uniform(f"negated {place}") < _NEGATED
    sentences = "The " + pick("subject", _SUBJECTS) + " " + pick("verb", _VERBS)
    sentences += np.where(negated, " not ", " ").astype(object) + words + "."
    weights = np.array([WEIGHTS[word] for word in words])
    weights = np.where(negated, -weights, weights)
    aside = stream.uniform(f"aside {place}") < _ASIDE
    sentences[aside] = pick("which aside", _ASIDES)[aside]
    return sentences, np.where(aside, 0.0, weights)
