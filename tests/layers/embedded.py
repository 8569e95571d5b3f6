"""Banks behind a table of vectors, the ids they read, and their oracle."""

import numpy as np

from moe_keras.layers import (
    AttentionExpert,
    EmbeddedExperts,
    SequenceConvExpert,
)
from tests.layers import test_attention_expert, test_sequence_conv_expert
from tests.tools import numpy_of, randomize

# Padding at the end, a row of nothing else, and unknown words.
IDS = np.asarray(
    [
        [3, 1, 4, 1, 5, 9],
        [2, 6, 5, 0, 0, 0],
        [0, 0, 0, 0, 0, 0],
        [7, 12, 11, 400, -3, 0],
        [8, 0, 0, 0, 0, 0],
    ],
    "int32",
)
# The same as the layer reads them, cut to 5 words.
KNOWN = IDS[:, :5].copy()
KNOWN[3] = [7, 1, 11, 1, 1]


def inner_banks(attention=True):
    conv = SequenceConvExpert(3, 2, (2, 3), "tanh", output_units=2, name="conv")
    encoder = AttentionExpert(4, 2, 6, output_units=2, name="encoder")
    return [conv, encoder] if attention else [conv]


def built(*inputs, experts=None, **kwargs):
    experts = inner_banks() if experts is None else experts
    layer = EmbeddedExperts(experts, 12, 4, **{"max_length": 5, **kwargs})
    layer(*inputs)
    return randomize(layer)


def expected_of(layer, known=KNOWN):
    """The inner oracles on rows of the table, bank after bank."""
    table = numpy_of(layer.embedding.embeddings)
    vectors, mask = table[known], known != 0
    oracles = {
        SequenceConvExpert: test_sequence_conv_expert.expected_of,
        AttentionExpert: test_attention_expert.expected_of,
    }
    parts = [oracles[type(bank)](bank, vectors, mask) for bank in layer.experts]
    return np.concatenate(parts, axis=1)
