"""Sentiment models of a few weights, and the made-up reviews they read."""

from functools import cache

import numpy as np

from moe_keras.data import load_dataset
from moe_keras.zoo import build_sentiment_moe
from tests.tools import numpy_of

ROWS = 300
TEMPERATURE = 1.7
SMALL = {
    "min_count": 2,
    "max_tokens": 60,
    "max_length": 30,
    "embedding_dim": 6,
    "embedded_tokens": 20,
    "read_length": 12,
}
CONV = {"filters": 3, "kernel_sizes": 2, "pooling": "max"}
RECURRENT = {"units": 3}
ATTENTION = {"units": 4, "num_heads": 2, "feed_forward_units": 5}
ALL_KINDS = {
    "ngram": [{"max_order": 2}, {"span": -8, "min_texts": 3}],
    "conv": [CONV, {**CONV, "num_experts": 2}],
    "recurrent": [RECURRENT],
    "attention": [ATTENTION],
}


@cache
def reviews():
    """Texts `(300,)` and labels."""
    split = load_dataset("synthetic_reviews", size=ROWS, test_size=10).train
    return split.inputs, split.labels


def build(**changes):
    """A small model; weights that nothing but training moves are drawn."""
    texts, labels = reviews()
    given = {"texts": texts, "labels": labels, **SMALL, **changes}
    return build_sentiment_moe(**given)


def ids_of(model, texts):
    clean, words = model.layers[1:3]
    return words(clean(np.asarray(texts, dtype=object)))


def apply(model, texts, **options):
    """The model's output for texts, as an array."""
    return numpy_of(model(np.asarray(texts, dtype=object), **options))
