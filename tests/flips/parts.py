"""Arguments of the banks of experts, of the fusions and of features."""

import keras
import numpy as np

from moe_keras.forests import pack_forest
from moe_keras.layers import (
    AttentionExpert,
    AttentionFusion,
    AugmentedExperts,
    ConvExpert,
    DenseExpert,
    EmbeddedExperts,
    ForestExpert,
    IsotonicScaling,
    LogitFusion,
    ModelExpert,
    NGramExpert,
    PriorCorrection,
    RecurrentExpert,
    SequenceConvExpert,
    TemperatureScaling,
    TextFeatures,
    WeightedFusion,
)
from tests.flips.observe import flips
from tests.forests.oracle import draw_forest, draw_rows
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
    AugmentedExperts: (
        draw(3, 5, 5, 2),
        flips(
            {
                "experts": lambda: ConvExpert((3,), 2, pooling="flatten"),
                "seed": 1,
            },
            {
                "experts": lambda: ConvExpert((2,), 2, pooling="flatten"),
                "shift": 0.6,
                "turn": 0.9,
                "flip": True,
                "seed": 2,
            },
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
                "step_factor": 3.0,
                "folded": True,
            },
        ),
    ),
    TextFeatures: (
        TEXTS,
        flips(
            {"buckets": 64, "num_classes": 2, "ratio_buckets": 64},
            {
                "buckets": 63,
                "embedding_dim": 3,
                "max_order": 1,
                "num_classes": 3,
                "ratio_buckets": 63,
            },
        ),
    ),
    ModelExpert: (
        draw(4, 5),
        flips(
            {"model": lambda: _model(3)},
            {
                "model": lambda: _model(3, "tanh"),
                "trainable": False,
                "lora_rank": 2,
            },
        ),
    ),
    SequenceConvExpert: (
        draw(3, 5, 2),
        flips(
            {"filters": 3, "num_experts": 2},
            {
                "filters": 4,
                "num_experts": 3,
                "kernel_sizes": (2, 3),
                "activation": "tanh",
                "pooling": ("max", "mean"),
                "output_units": 4,
                "output_activation": "tanh",
                "dropout": 0.5,
                "kernel_initializer": "ones",
                "kernel_regularizer": "l2",
            },
        ),
    ),
    AttentionExpert: (
        draw(3, 5, 2),
        flips(
            {"units": 4, "feed_forward_units": 6},
            {
                "units": 5,
                "num_heads": 2,
                "feed_forward_units": 7,
                "num_layers": 2,
                "num_experts": 2,
                "moe": {"num_experts": 3, "top_k": 1},
                "max_length": 4,
                "pooling": "max",
                "activation": "tanh",
                "output_units": 3,
                "output_activation": "tanh",
                "dropout": 0.5,
            },
        ),
    ),
    EmbeddedExperts: (
        np.arange(12, dtype="int32").reshape(3, 4),
        flips(
            {
                "experts": lambda: SequenceConvExpert(3),
                "vocabulary_size": 12,
                "embedding_dim": 4,
            },
            {
                "experts": lambda: SequenceConvExpert(3, 2),
                "vocabulary_size": 11,
                "embedding_dim": 5,
                "max_length": 3,
                "embeddings_initializer": "ones",
                "dropout": 0.5,
            },
        ),
    ),
    ForestExpert: (
        draw_rows(20),
        flips(
            {"forest": lambda: pack_forest(draw_forest())},
            {
                "forest": lambda: pack_forest(draw_forest(seed=1)),
                "columns": lambda: [1, 2, 0, 3],
                "trainable_leaves": True,
            },
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
    IsotonicScaling: (draw(4, 2), flips({}, {"max_knots": 5})),
    PriorCorrection: (
        draw(4, 2),
        flips(
            {"train_prior": [0.5, 0.5]},
            {"train_prior": [0.4, 0.6], "prior": [0.9, 0.1]},
            {"train_prior": {"prior": [0.9, 0.1]}},
        ),
    ),
    TemperatureScaling: (draw(4, 5), flips({}, {"temperature": 2.0})),
}
