"""From features to classes, the same for every variant."""

from typing import Any

import keras


def classify(features: Any, num_classes: int, dropout: float = 0.0) -> Any:
    """Class probabilities `(B, num_classes)`, float32 under every policy.

    Args:
        features: float `(B, U)`.
        num_classes: int > 1.
        dropout: float in [0, 1), of the features, in training.
    """
    if dropout:
        features = keras.layers.Dropout(dropout, name="head_dropout")(features)
    logits = keras.layers.Dense(num_classes, name="logits")(features)
    return keras.layers.Softmax(dtype="float32", name="probabilities")(logits)
