"""Tiny sentiment models, trained for a moment on made-up reviews."""

from functools import cache

import keras

from moe_keras.data import load_dataset
from moe_keras.zoo import build_sentiment_moe

EXPERTS = {
    "ngram": [{"min_texts": 2}, {"min_texts": 2, "span": -10}],
    "conv": [{"filters": 4}],
    "attention": [{"units": 8, "feed_forward_units": 8, "num_heads": 2}],
}
NAMES = ["ngram_0", "ngram_1", "conv_0", "attention_0"]


@cache
def reviews():
    return load_dataset("synthetic_reviews", size=200, test_size=60)


def sentiment_model(**arguments):
    """A model of every kind that is quick, after an epoch."""
    keras.utils.set_random_seed(0)
    data = reviews()
    options = {
        "experts": EXPERTS,
        "max_length": 40,
        "read_length": 30,
        "embedding_dim": 6,
        **arguments,
    }
    model = build_sentiment_moe(*data.train.arrays, **options)
    model.compile(
        keras.optimizers.Adam(0.01), "sparse_categorical_crossentropy"
    )
    model.fit(*data.train.arrays, verbose=0)
    return model
