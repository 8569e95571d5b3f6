"""Cross-entropy with smoothed labels."""

import math

import keras
import numpy as np
import pytest

from moe_keras.training.smoothed_cross_entropy import SmoothedCrossEntropy

PROBABILITIES = np.array(
    [[0.7, 0.2, 0.1], [0.1, 0.3, 0.6], [0.25, 0.5, 0.25]], "float32"
)
LABELS = np.array([0, 1, 1])


def by_loop(smoothing):
    total = 0.0
    for label, row in zip(LABELS, PROBABILITIES, strict=True):
        for c, p in enumerate(row):
            target = (1 - smoothing) * (c == label) + smoothing / 3
            total -= target * math.log(p)
    return total / len(LABELS)


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.6])
@pytest.mark.parametrize("shape", [(3,), (3, 1)])
def test_by_loop(smoothing, shape):
    loss = SmoothedCrossEntropy(smoothing)
    found = float(loss(LABELS.reshape(shape), PROBABILITIES))
    assert found == pytest.approx(by_loop(smoothing), rel=1e-5)


def test_round_trip():
    loss = SmoothedCrossEntropy(0.3)
    again = keras.losses.deserialize(keras.losses.serialize(loss))
    assert isinstance(again, SmoothedCrossEntropy)
    assert again.get_config() == loss.get_config()


def test_out_of_range():
    with pytest.raises(ValueError, match="Received: label_smoothing=1"):
        SmoothedCrossEntropy(1)
