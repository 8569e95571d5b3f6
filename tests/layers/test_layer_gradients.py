"""Gradients of banks and blocks against finite differences in float64."""

import numpy as np
import pytest

from moe_keras.layers import (
    AttentionExpert,
    ConvExpert,
    DenseExpert,
    MoEFeedForward,
    MoETransformerBlock,
    RecurrentExpert,
    SequenceConvExpert,
    SoftMoE,
)
from tests.differences import check_differences
from tests.tools import BACKEND, draw, randomize

SEQUENCES, IMAGES = (3, 4, 5), (3, 4, 4, 2)
# At the end: a causal block has nothing to attend to at padding in front.
MASK = np.arange(4) < np.asarray([[4], [3], [2]])
# Keras' attention computes partly in float32 on JAX, which compiles Keras'
# recurrent networks anew in every call; the mixture has a test of its own.
NOT_ON_JAX = ("transformer", "attention", "gru", "lstm", "feed_forward")

# Name -> (layer, shape of the inputs, whether it takes a mask).
LAYERS = {
    "dense": (
        lambda: DenseExpert(3, 2, 4, gated=True, activation="silu"),
        SEQUENCES,
        False,
    ),
    "conv": (
        lambda: ConvExpert(
            (3, 2), 2, pooling="avg", output_units=3, activation="tanh"
        ),
        IMAGES,
        False,
    ),
    "gru": (lambda: RecurrentExpert(3, 2, output_units=2), SEQUENCES, True),
    "lstm": (lambda: RecurrentExpert(3, 2, "lstm", True), SEQUENCES, True),
    "feed_forward": (
        lambda: MoEFeedForward(
            4, 6, activation="tanh", shared_units=3, residual=True
        ),
        SEQUENCES,
        True,
    ),
    "transformer": (
        lambda: MoETransformerBlock(2, 3, 4, 6, activation="tanh", causal=True),
        SEQUENCES,
        True,
    ),
    "sequence_conv": (
        lambda: SequenceConvExpert(
            3, 2, (2, 3, 5), activation="tanh", output_units=2
        ),
        SEQUENCES,
        True,
    ),
    "attention": (
        lambda: AttentionExpert(
            4, 2, 6, 1, 1, {"num_experts": 3}, 3, output_units=2
        ),
        SEQUENCES,
        True,
    ),
    "soft": (
        lambda: SoftMoE(DenseExpert(3, 2, activation="tanh"), 2),
        SEQUENCES,
        True,
    ),
}


@pytest.mark.parametrize("kind", LAYERS)
def test_gradient_is_the_finite_difference(kind, float64):
    if BACKEND == "jax" and kind in NOT_ON_JAX:
        pytest.skip("Keras' own layers in float32, or minutes on JAX")
    make, shape, masked = LAYERS[kind]
    inputs, layer = draw(*shape, dtype="float64"), make()
    layer(inputs)
    randomize(layer)
    check_differences(layer, inputs, **({"mask": MASK} if masked else {}))
