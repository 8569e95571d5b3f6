"""Layers in front of a model that are put under the contract."""

import numpy as np

from moe_keras.layers import TextFeatures

TEXTS = np.random.default_rng(0).integers(0, 9, (24, 6)).astype("int32")

CASES = {
    "text_features": (TextFeatures, dict, (TEXTS,)),
    "text_features_sure": (
        TextFeatures,
        lambda: {"buckets": 9, "num_classes": 3, "ratio_buckets": 20},
        (TEXTS,),
    ),
    "text_features_few": (
        TextFeatures,
        lambda: {"buckets": 7, "embedding_dim": 3, "max_order": 3},
        (TEXTS,),
    ),
}
