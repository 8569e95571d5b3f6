"""Mixtures and blocks that are put under the contract."""

import keras
import numpy as np

from moe_keras.layers import (
    AttentionFusion,
    ConvExpert,
    DenseExpert,
    FeatureGating,
    GatingLayer,
    LogitFusion,
    MixtureOfExperts,
    MoEFeedForward,
    MoETransformerBlock,
    MultiGateMixture,
    NGramExpert,
    RecurrentExpert,
    SoftMoE,
    TextFeatures,
    WeightedFusion,
)
from tests.tools import draw

ROWS = draw(24, 5)
SEQUENCES = draw(8, 6, 5)
IMAGES = draw(8, 5, 6, 2)
TEXTS = np.random.default_rng(0).integers(0, 9, (24, 6)).astype("int32")
HOT = "glorot_normal"  # larger than the default, so that no two gates tie

CASES = {
    "feed_forward": (
        MoEFeedForward,
        lambda: {"num_experts": 4, "hidden_units": 6},
        (SEQUENCES,),
    ),
    "feed_forward_full": (
        MoEFeedForward,
        lambda: {
            "num_experts": 3,
            "hidden_units": 6,
            "activation": "silu",
            "gated": True,
            "shared_units": 4,
            "residual": True,
            "dropout": 0.2,
            "use_bias": False,
            "dispatch": "dense",
            "gate": GatingLayer(3, 1, level="position", kernel_initializer=HOT),
        },
        (SEQUENCES,),
    ),
    "transformer": (
        MoETransformerBlock,
        lambda: {
            "num_heads": 2,
            "key_dim": 3,
            "num_experts": 3,
            "hidden_units": 6,
            "top_k": None,
            "gated": True,
            "shared_units": 4,
            "causal": True,
            "dropout": 0.2,
        },
        (SEQUENCES,),
    ),
    "transformer_sparse": (
        MoETransformerBlock,
        lambda: {
            "num_heads": 2,
            "key_dim": 3,
            "num_experts": 4,
            "hidden_units": 6,
        },
        (SEQUENCES,),
    ),
    "feed_forward_capacity": (
        MoEFeedForward,
        lambda: {
            "num_experts": 4,
            "hidden_units": 6,
            "dispatch": "capacity",
            "capacity_factor": 4.0,
            "eval_capacity_factor": 2.0,
            "batch_priority": True,
            "overflow": "error",
            "kernel_initializer": keras.initializers.GlorotUniform(seed=2),
            # Rarely more than one, so that there is something to choose.
            "expert_dropout": 0.05,
            "fusion": AttentionFusion(3, drop_non_finite=True),
        },
        (SEQUENCES,),
    ),
    "transformer_capacity": (
        MoETransformerBlock,
        lambda: {
            "num_heads": 2,
            "key_dim": 3,
            "num_experts": 4,
            "hidden_units": 6,
            "dispatch": "capacity",
            "capacity_factor": 4.0,
            "kernel_initializer": HOT,
            "fusion": WeightedFusion(drop_non_finite=True),
        },
        (SEQUENCES,),
    ),
    "soft": (
        SoftMoE,
        lambda: {
            "experts": DenseExpert(4, 3, hidden_units=6, activation="gelu"),
            "slots_per_expert": 2,
        },
        (SEQUENCES,),
    ),
    "soft_maps": (
        SoftMoE,
        lambda: {"experts": DenseExpert(4, 2), "kernel_initializer": HOT},
        (IMAGES,),
    ),
    "mixture_dense": (
        MixtureOfExperts,
        lambda: {"experts": DenseExpert(4, 3), "gate": GatingLayer(3)},
        (ROWS,),
    ),
    "mixture_top_2": (
        MixtureOfExperts,
        lambda: {
            "experts": DenseExpert(4, 4, hidden_units=6),
            "gate": GatingLayer(4, top_k=2, noisy=True, seed=1),
        },
        (SEQUENCES,),
    ),
    "mixture_top_1_dense": (
        MixtureOfExperts,
        lambda: {
            "experts": [DenseExpert(4, 3)],
            "gate": GatingLayer(3, top_k=1, kernel_initializer=HOT),
            "fusion": WeightedFusion(),
            "shared": keras.layers.Dense(4),
            "dispatch": "dense",
        },
        (ROWS,),
    ),
    "mixture_sorted": (
        MixtureOfExperts,
        lambda: {
            "experts": DenseExpert(4, 3),
            "gate": GatingLayer(3, top_k=2),
            "dispatch": "sorted",
        },
        (ROWS,),
    ),
    "mixture_of_kinds": (
        MixtureOfExperts,
        lambda: {
            "experts": [
                ConvExpert(3, 1, pooling="max", output_units=4),
                RecurrentExpert(3, 2, output_units=4),
            ],
            "gate": GatingLayer(3, top_k=2, kernel_initializer=HOT),
        },
        (draw(24, 4, 4, 2),),
    ),
    "mixture_of_texts": (
        MixtureOfExperts,
        lambda: {
            "experts": [
                NGramExpert(2, 1, 64),
                NGramExpert(2, 2, 128, folded=True),
            ],
            "gate": FeatureGating(
                TextFeatures(64, 16, 1, dtype="float32"),
                GatingLayer(3, top_k=2, kernel_initializer=HOT),
            ),
            "fusion": LogitFusion(),
        },
        (TEXTS,),
    ),
    "multi_gate": (
        MultiGateMixture,
        lambda: {
            "experts": [DenseExpert(4, 2, 6), DenseExpert(4, 1)],
            "gates": {"late": GatingLayer(3), "early": GatingLayer(3)},
        },
        (ROWS,),
    ),
    "multi_gate_sparse": (
        MultiGateMixture,
        lambda: {
            "experts": DenseExpert(4, 3),
            "gates": {
                "late": GatingLayer(4, 2, kernel_initializer=HOT),
                "early": GatingLayer(3, 2, kernel_initializer=HOT),
            },
            "task_experts": {"late": DenseExpert(4, 1)},
            "shared_gate": GatingLayer(4, 2, kernel_initializer=HOT),
            "fusion": WeightedFusion(),
        },
        (SEQUENCES,),
    ),
}
