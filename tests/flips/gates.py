"""Arguments of the gates."""

import keras
import numpy as np

from moe_keras.layers import (
    ExpertChoiceGating,
    FeatureGating,
    GatingLayer,
    HashGating,
    HierarchicalGating,
    UniformGating,
)
from tests.flips.observe import flips
from tests.tools import draw

FLIPS = {
    GatingLayer: (
        draw(3, 4, 5),
        flips(
            {"num_experts": 4, "top_k": 2, "seed": 0},
            {
                "num_experts": 5,
                "top_k": 1,
                "noisy": True,
                "temperature": 2.0,
                "normalize": False,
                "level": "sample",
                "balance_loss": 0.5,
                "z_loss": 0.5,
                "importance_loss": 0.5,
                "mutual_information_loss": 0.5,
                "kernel_initializer": "ones",
                "bias_initializer": "ones",
                "seed": 1,
                "activation": "sigmoid",
                "scores": "cosine",
                "score_units": 3,
                "order": "top_k_softmax",
                "top_p": 0.3,
                "jitter": 0.5,
                "load_bias": 0.5,
                "expert_dropout": 0.5,
                "entropy_loss": 0.5,
                "load_loss": 0.5,
            },
            {
                "seed": {"noisy": True},
                "score_units": {"scores": "attention"},
                "order": {"normalize": False},
                "load_loss": {"noisy": True},
            },
        ),
    ),
    UniformGating: (
        draw(3, 4, 5),
        flips(
            {"num_experts": 3},
            {"num_experts": 4, "weights": [1, 2, 3], "level": "sample"},
        ),
    ),
    HashGating: (
        np.arange(12, dtype="int32").reshape(4, 3),
        flips({"num_experts": 3}, {"num_experts": 4, "column": 1, "salt": 1}),
    ),
    ExpertChoiceGating: (
        draw(3, 4, 5),
        flips(
            {"num_experts": 4},
            {
                "num_experts": 5,
                "capacity_factor": 1.0,
                "level": "sample",
                "kernel_initializer": "ones",
            },
        ),
    ),
    FeatureGating: (
        draw(3, 4, 5),
        flips(
            {
                "features": lambda: keras.layers.Dense(3),
                "gate": lambda: GatingLayer(4, 2),
            },
            {
                "features": lambda: keras.layers.Dense(4),
                "gate": lambda: GatingLayer(4, 2, level="sample"),
            },
        ),
    ),
    HierarchicalGating: (
        draw(3, 4, 5),
        flips(
            {"groups": 2, "experts_per_group": 2},
            {
                "groups": 3,
                "experts_per_group": 3,
                "top_groups": 1,
                "top_k": 1,
                "level": "sample",
                "balance_loss": 0.5,
                "z_loss": 0.5,
                "kernel_initializer": "ones",
            },
            {"balance_loss": {"top_k": 1}, "z_loss": {"top_k": 1}},
        ),
    ),
}
