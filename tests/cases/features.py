"""Layers in front of a model that are put under the contract."""

import numpy as np

from moe_keras.layers import TabularEncoding, TextFeatures

TEXTS = np.random.default_rng(0).integers(0, 9, (24, 6)).astype("int32")

# Two numbers and a category of 4 levels between them.
TABLE = np.random.default_rng(0).normal(size=(24, 3)).astype("float32")
TABLE[:, 1] = np.arange(24) % 5
TABLE[[2, 5, 7], [0, 1, 2]] = np.nan

CASES = {
    "tabular": (TabularEncoding, lambda: {"levels": [None, 4, None]}, (TABLE,)),
    "tabular_steps": (
        TabularEncoding,
        lambda: {
            "levels": [None, 4, None],
            "bins": 3,
            "numbers": "steps",
            "columns": [2, 1],
        },
        (TABLE,),
    ),
    "text_features": (TextFeatures, dict, (TEXTS,)),
    "text_features_few": (
        TextFeatures,
        lambda: {"buckets": 7, "embedding_dim": 3, "max_order": 3},
        (TEXTS,),
    ),
}
