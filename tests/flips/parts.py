"""Arguments of the banks of experts, of the fusions and of features."""

import keras
import numpy as np

from moe_keras.layers import (
    AttentionFusion,
    ConvExpert,
    DenseExpert,
    LogitFusion,
    ModelExpert,
    NGramExpert,
    RecurrentExpert,
    TextFeatures,
    WeightedFusion,
)
from tests.flips.observe import flips
from tests.tools import draw, random_gates


def _model(units, activation="relu"):
    return keras.Sequential(
        [
            keras.Input((5,)),
            keras.layers.Dense(units, activation=activation),
            keras.layers.BatchNormalization(),
        ]
    )


# Outputs of 3 experts and their gates; one expert has failed on one row.
OUTPUTS = [draw(4, 3, 5), random_gates((4, 3), share=0)]
OUTPUTS[0][2, 1, 0] = np.inf

TEXTS = np.random.default_rng(0).integers(0, 9, (8, 6)).astype("int32")

FLIPS = {
    DenseExpert: (
        draw(4, 5),
        flips(
            {"units": 3, "num_experts": 2},
            {
                "units": 4,
                "num_experts": 3,
                "hidden_units": 6,
                "gated": True,
                "activation": "tanh",
                "output_activation": "tanh",
                "dropout": 0.5,
                "use_bias": False,
                "kernel_initializer": "ones",
                "kernel_regularizer": "l2",
            },
            {"gated": {"hidden_units": 6}},
        ),
    ),
    ConvExpert: (
        draw(3, 5, 5, 2),
        flips(
            {"filters": (3,), "num_experts": 2},
            {
                "filters": (3, 3),
                "num_experts": 3,
                "kernel_size": 2,
                "pool_size": 2,
                "pooling": "max",
                "output_units": 4,
                "activation": "tanh",
                "linear_last": True,
                "output_activation": "tanh",
                "dropout": 0.5,
                "kernel_initializer": "ones",
                "kernel_regularizer": "l2",
            },
            {"pooling": {"pooling": "avg"}, "output_units": {"pooling": "avg"}},
        ),
    ),
    RecurrentExpert: (
        draw(3, 5, 2),
        flips(
            {"units": 3, "num_experts": 2},
            {
                "units": 4,
                "num_experts": 3,
                "cell": "lstm",
                "bidirectional": True,
                "output_units": 3,
                "output_activation": "relu",
                "dropout": 0.5,
            },
        ),
    ),
    NGramExpert: (
        TEXTS,
        flips(
            {"output_units": 2, "max_ngrams": 64},
            {
                "output_units": 3,
                "num_experts": 2,
                "max_ngrams": 63,
                "max_order": 2,
                "span": -3,
                "weighting": "inverse_frequency",
                "base_weight": 2.0,
                "folded": True,
            },
        ),
    ),
    TextFeatures: (
        TEXTS,
        flips(
            {"buckets": 64},
            {"buckets": 63, "embedding_dim": 3, "max_order": 1},
        ),
    ),
    ModelExpert: (
        draw(4, 5),
        flips(
            {"model": lambda: _model(3)},
            {"model": lambda: _model(3, "tanh"), "trainable": False},
        ),
    ),
    WeightedFusion: (OUTPUTS, flips({}, {"drop_non_finite": True})),
    LogitFusion: (
        OUTPUTS,
        flips({}, {"pool": "logarithmic", "drop_non_finite": True}),
    ),
    AttentionFusion: (
        OUTPUTS,
        flips(
            {"units": 3},
            {
                "units": 4,
                "query": "learned",
                "kernel_initializer": "ones",
                "drop_non_finite": True,
            },
        ),
    ),
}
