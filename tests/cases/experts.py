"""Banks of experts that are put under the contract."""

import keras
import numpy as np

from moe_keras.forests import pack_forest
from moe_keras.layers import (
    AttentionExpert,
    AugmentedExperts,
    ConvExpert,
    DenseExpert,
    EmbeddedExperts,
    ForestExpert,
    ModelExpert,
    NGramExpert,
    RecurrentExpert,
    SequenceConvExpert,
)
from tests.forests.oracle import draw_forest, draw_rows
from tests.tools import draw, random_gates

ROWS = draw(24, 5)
SEQUENCES = draw(8, 6, 5)
IMAGES = draw(8, 5, 6, 2)
IDS = np.random.default_rng(3).integers(0, 14, (8, 6)).astype("int32")
GATES = random_gates((24, 3))
TEXTS = np.random.default_rng(0).integers(0, 9, (24, 6)).astype("int32")
FEW_GATES = random_gates((8, 2))
POSITION_GATES = random_gates((8, 6, 3))


def small_model():
    return keras.Sequential(
        [keras.Input((5,)), keras.layers.Dense(4, activation="tanh")]
    )


def model_of_ids():
    """From ids to a vector, with layers that know LoRA inside of others."""
    ids = keras.Input((6,), dtype="int32")
    x = keras.layers.Embedding(14, 4)(ids)
    x = x + keras.layers.MultiHeadAttention(2, 2)(x, x)
    x = keras.layers.GlobalAveragePooling1D()(x)
    x = keras.layers.BatchNormalization()(keras.layers.Dropout(0.2)(x))
    return keras.Model(ids, keras.layers.Dense(3, activation="tanh")(x))


CASES = {
    "dense": (DenseExpert, lambda: {"units": 4}, (ROWS,)),
    "dense_bank": (
        DenseExpert,
        lambda: {
            "units": 4,
            "num_experts": 3,
            "hidden_units": 7,
            "activation": "tanh",
            "output_activation": "softmax",
            "kernel_initializer": keras.initializers.GlorotUniform(seed=2),
            "kernel_regularizer": keras.regularizers.L2(1e-3),
        },
        (SEQUENCES,),
    ),
    "augmented": (
        AugmentedExperts,
        lambda: {
            "experts": ConvExpert((3,), 2, pooling="avg"),
            "shift": 0.2,
            "turn": 0.1,
            "flip": True,
            "seed": 1,
        },
        (IMAGES, FEW_GATES),
    ),
    "dense_gated": (
        DenseExpert,
        lambda: {
            "units": 4,
            "num_experts": 3,
            "dropout": 0.2,
            "use_bias": False,
        },
        (ROWS, GATES),
    ),
    "dense_positions": (
        DenseExpert,
        lambda: {"units": 4, "num_experts": 3, "hidden_units": 6},
        (SEQUENCES, POSITION_GATES),
    ),
    "dense_glu": (
        DenseExpert,
        lambda: {
            "units": 4,
            "num_experts": 3,
            "hidden_units": 6,
            "gated": True,
            "activation": "silu",
            "kernel_initializer": keras.initializers.GlorotUniform(seed=2),
        },
        (ROWS, GATES),
    ),
    "conv_maps": (
        ConvExpert,
        lambda: {"filters": 3, "num_experts": 2, "pool_size": 2},
        (IMAGES,),
    ),
    "conv_projected": (
        ConvExpert,
        lambda: {
            "filters": [3, 4],
            "num_experts": 2,
            "kernel_size": 2,
            "pooling": "avg",
            "output_units": 3,
            "output_activation": "softmax",
            "dropout": 0.2,
            "activation": "tanh",
            "linear_last": True,
            "kernel_regularizer": "l2",
            "kernel_initializer": "glorot_uniform",
        },
        (IMAGES, FEW_GATES),
    ),
    "conv_flat": (
        ConvExpert,
        lambda: {"filters": 3, "pooling": "flatten", "pool_size": 2},
        (IMAGES,),
    ),
    "recurrent": (
        RecurrentExpert,
        lambda: {"units": 3, "num_experts": 2},
        (SEQUENCES,),
    ),
    "recurrent_projected": (
        RecurrentExpert,
        lambda: {
            "units": 3,
            "num_experts": 2,
            "cell": "lstm",
            "bidirectional": True,
            "output_units": 4,
            "output_activation": "softmax",
            "dropout": 0.2,
        },
        (IMAGES, FEW_GATES),
    ),
    "ngram": (
        NGramExpert,
        lambda: {"output_units": 2, "max_ngrams": 512},
        (TEXTS,),
    ),
    "ngram_bank": (
        NGramExpert,
        lambda: {
            "output_units": 3,
            "num_experts": 3,
            "max_ngrams": 64,
            "max_order": 2,
            "span": -4,
            "weighting": "inverse_frequency",
            "base_weight": 1.0,
        },
        (TEXTS, GATES),
    ),
    "ngram_folded": (
        NGramExpert,
        lambda: {
            "output_units": 2,
            "num_experts": 3,
            "max_ngrams": 128,
            "span": 5,
            "folded": True,
        },
        (TEXTS, GATES),
    ),
    "forest": (
        ForestExpert,
        lambda: {"forest": pack_forest(draw_forest())},
        (draw_rows(24),),
    ),
    "forest_trained": (
        ForestExpert,
        lambda: {
            "forest": pack_forest(draw_forest(3, averaged=True)),
            "columns": [2, 0, 1, 4],
            "trainable_leaves": True,
        },
        (np.insert(draw_rows(24), 3, 0, axis=1), random_gates((24, 1))),
    ),
    "forest_symmetric": (
        ForestExpert,
        lambda: {
            "forest": pack_forest(draw_forest(3, symmetric=True)),
            "trainable_leaves": True,
        },
        (draw_rows(24),),
    ),
    "model": (ModelExpert, lambda: {"model": small_model()}, (ROWS,)),
    "model_frozen": (
        ModelExpert,
        lambda: {"model": small_model(), "trainable": False},
        (ROWS, random_gates((24, 1))),
    ),
    "model_lora": (
        ModelExpert,
        lambda: {"model": model_of_ids(), "lora_rank": 2},
        (IDS,),
    ),
    "sequence_conv": (
        SequenceConvExpert,
        lambda: {"filters": 3, "num_experts": 2, "activation": "tanh"},
        (SEQUENCES,),
    ),
    "sequence_conv_projected": (
        SequenceConvExpert,
        lambda: {
            "filters": 3,
            "num_experts": 2,
            "kernel_sizes": [2, 8],
            "activation": "softplus",
            "pooling": ["max", "mean"],
            "output_units": 4,
            "output_activation": "tanh",
            "dropout": 0.2,
            "kernel_initializer": keras.initializers.GlorotUniform(seed=2),
            "kernel_regularizer": "l2",
        },
        (SEQUENCES, FEW_GATES),
    ),
    "attention": (
        AttentionExpert,
        lambda: {"units": 5, "num_heads": 2, "num_experts": 2},
        (SEQUENCES,),
    ),
    "attention_sparse": (
        AttentionExpert,
        lambda: {
            "units": 4,
            "num_heads": 1,
            "feed_forward_units": 6,
            "num_layers": 2,
            "num_experts": 2,
            "moe": {"num_experts": 3, "top_k": 2},
            "max_length": 5,
            "pooling": "max",
            "activation": "tanh",
            "output_units": 3,
            "output_activation": "tanh",
            "dropout": 0.2,
        },
        (SEQUENCES, FEW_GATES),
    ),
    "embedded": (
        EmbeddedExperts,
        lambda: {
            "experts": SequenceConvExpert(3, 2, activation="tanh"),
            "vocabulary_size": 12,
            "embedding_dim": 4,
        },
        (IDS,),
    ),
    "embedded_kinds": (
        EmbeddedExperts,
        lambda: {
            "experts": [
                RecurrentExpert(3, output_units=2),
                AttentionExpert(4, 2, 6, output_units=2),
            ],
            "vocabulary_size": 12,
            "embedding_dim": 4,
            "max_length": 5,
            "embeddings_initializer": keras.initializers.RandomNormal(seed=1),
            "dropout": 0.2,
        },
        (IDS, FEW_GATES),
    ),
}
