"""Gates that are put under the contract."""

import keras
import numpy as np

from moe_keras.layers import (
    ExpertChoiceGating,
    FeatureGating,
    GatingLayer,
    HashGating,
    HierarchicalGating,
    TextFeatures,
    UniformGating,
)
from tests.tools import draw

ROWS = draw(24, 5)
SEQUENCES = draw(8, 6, 5)
IMAGES = draw(8, 5, 6, 2)
IDS = np.arange(48, dtype="int32").reshape(8, 6)
HOT = "glorot_normal"  # larger than the default, so that no two gates tie

CASES = {
    "gating_all": (GatingLayer, lambda: {"num_experts": 4}, (ROWS,)),
    "gating_top_1": (
        GatingLayer,
        lambda: {"num_experts": 4, "top_k": 1, "kernel_initializer": HOT},
        (ROWS,),
    ),
    "gating_noisy_top_2": (
        GatingLayer,
        lambda: {"num_experts": 4, "top_k": 2, "noisy": True, "seed": 3},
        (SEQUENCES,),
    ),
    "gating_unnormalised": (
        GatingLayer,
        lambda: {
            "num_experts": 4,
            "top_k": 3,
            "normalize": False,
            "temperature": 2.0,
            "balance_loss": 0.0,
            "z_loss": 0.0,
            "kernel_initializer": {
                "class_name": "RandomNormal",
                "config": {"seed": 1},
            },
        },
        (SEQUENCES,),
    ),
    "gating_by_sample": (
        GatingLayer,
        lambda: {"num_experts": 3, "top_k": 2, "level": "sample"},
        (SEQUENCES,),
    ),
    "gating_by_position": (
        GatingLayer,
        lambda: {"num_experts": 3, "top_k": 1, "level": "position"},
        (IMAGES,),
    ),
    "gating_sigmoid_load_bias": (
        GatingLayer,
        lambda: {
            "num_experts": 4,
            "top_k": 2,
            "activation": "sigmoid",
            "load_bias": 1e-3,
            "entropy_loss": 0.1,
        },
        (SEQUENCES,),
    ),
    "gating_cosine_top_p": (
        GatingLayer,
        lambda: {
            "num_experts": 4,
            "top_p": 0.7,
            "scores": "cosine",
            "score_units": 3,
        },
        (ROWS,),
    ),
    "gating_attention": (
        GatingLayer,
        lambda: {
            "num_experts": 4,
            "top_k": 2,
            "scores": "attention",
            "score_units": 3,
            "order": "top_k_softmax",
            "normalize": False,
        },
        (ROWS,),
    ),
    "gating_all_at_random": (
        GatingLayer,
        lambda: {
            "num_experts": 4,
            "top_k": 2,
            "noisy": True,
            "jitter": 0.1,
            # Rarely more than one, so that there is something to choose.
            "expert_dropout": 0.05,
            "load_loss": 0.1,
            "seed": 1,
        },
        (ROWS,),
    ),
    "gating_uniform": (UniformGating, lambda: {"num_experts": 3}, (IMAGES,)),
    "gating_weighted": (
        UniformGating,
        lambda: {"num_experts": 3, "weights": [1, 0, 2.5]},
        (SEQUENCES,),
    ),
    "gating_hash": (HashGating, lambda: {"num_experts": 3}, (IDS,)),
    "gating_hash_of_a_column": (
        HashGating,
        lambda: {"num_experts": 3, "column": 1, "salt": 4},
        (IDS,),
    ),
    "gating_expert_choice": (
        ExpertChoiceGating,
        lambda: {"num_experts": 4, "kernel_initializer": HOT},
        (ROWS,),
    ),
    "gating_by_features": (
        FeatureGating,
        lambda: {
            "features": keras.layers.Dense(3, activation="tanh"),
            "gate": GatingLayer(4, level="sample", kernel_initializer=HOT),
        },
        (SEQUENCES,),
    ),
    "gating_by_text": (
        FeatureGating,
        lambda: {
            # In float32 under every policy, so that no choice is another one.
            "features": TextFeatures(64, 4, dtype="float32"),
            "gate": GatingLayer(4, top_k=2, kernel_initializer=HOT),
        },
        (IDS % 7,),
    ),
    "gating_hierarchical": (
        HierarchicalGating,
        lambda: {
            "groups": 2,
            "experts_per_group": 3,
            "top_groups": 1,
            "top_k": 2,
            "kernel_initializer": HOT,
        },
        (SEQUENCES,),
    ),
}
