"""Arguments of the mixture and of the blocks."""

import keras

from moe_keras.layers import (
    DenseExpert,
    GatingLayer,
    MixtureOfExperts,
    MoEFeedForward,
    MoETransformerBlock,
    MultiGateMixture,
    SoftMoE,
    WeightedFusion,
)
from tests.flips.observe import flips
from tests.tools import draw


class MaxFusion(WeightedFusion):
    """Another fusion than the usual one."""

    def call(self, inputs):
        *outputs, gates = inputs
        joined = keras.ops.concatenate(outputs, axis=-2)
        return keras.ops.max(joined * gates[..., None], axis=-2)


def two_gates(late, early, top_k=None):
    """Gates of two tasks, over so many experts."""
    return {
        "late": GatingLayer(late, top_k),
        "early": GatingLayer(early, top_k),
    }


# Of a feed-forward block of experts, and of what holds one.
BLOCK = {
    "num_experts": 5,
    "hidden_units": 7,
    "top_k": 3,
    "activation": "tanh",
    "gated": True,
    "shared_units": 3,
    "dropout": 0.5,
    "dispatch": "sorted",
    "gate": lambda: GatingLayer(4, 1, name="gate"),
    "capacity_factor": 0.25,
    "eval_capacity_factor": 0.25,
    "batch_priority": True,
    "overflow": "error",
    "kernel_initializer": "ones",
    "expert_dropout": 0.5,
    "fusion": MaxFusion,
}
# What some of them need, to make a difference.
NEEDED = {
    "dispatch": {"dispatch": "dense"},
    "capacity_factor": {"dispatch": "capacity"},
    "eval_capacity_factor": {"dispatch": "capacity"},
    "batch_priority": {"dispatch": "capacity", "eval_capacity_factor": 0.5},
    "overflow": {"dispatch": "capacity", "eval_capacity_factor": 0.25},
}

FLIPS = {
    MoEFeedForward: (
        draw(3, 4, 5),
        flips(
            {"num_experts": 4, "hidden_units": 6},
            {"residual": True, "use_bias": False, **BLOCK},
            NEEDED,
        ),
    ),
    MoETransformerBlock: (
        draw(3, 4, 5),
        flips(
            {
                "num_heads": 2,
                "key_dim": 3,
                "num_experts": 4,
                "hidden_units": 6,
            },
            {
                "num_heads": 3,
                "key_dim": 4,
                "causal": True,
                "epsilon": 1.0,
                **BLOCK,
            },
            NEEDED,
        ),
    ),
    SoftMoE: (
        draw(3, 4, 5),
        flips(
            {"experts": lambda: DenseExpert(3, 4)},
            {
                "experts": lambda: DenseExpert(3, 4, activation="tanh"),
                "slots_per_expert": 2,
                "kernel_initializer": "ones",
            },
        ),
    ),
    MixtureOfExperts: (
        draw(6, 5),
        flips(
            {
                "experts": lambda: DenseExpert(3, 4),
                "gate": lambda: GatingLayer(4, 2),
            },
            {
                "experts": lambda: DenseExpert(3, 4, hidden_units=5),
                "gate": lambda: GatingLayer(4, 3),
                "fusion": MaxFusion,
                "shared": lambda: keras.layers.Dense(3),
                "dispatch": "sorted",
                "capacity_factor": 0.25,
                "eval_capacity_factor": 0.25,
                "batch_priority": True,
                "overflow": "error",
            },
            NEEDED,
        ),
    ),
    MultiGateMixture: (
        draw(6, 5),
        flips(
            {
                "experts": lambda: DenseExpert(3, 2),
                "gates": lambda: two_gates(3, 2),
                "task_experts": lambda: {"late": DenseExpert(3, 1)},
            },
            {
                "experts": lambda: DenseExpert(3, 2, hidden_units=5),
                "gates": lambda: two_gates(3, 2, 1),
                "task_experts": lambda: {"late": DenseExpert(3, 1, 5)},
                "shared_gate": lambda: GatingLayer(3),
                "fusion": MaxFusion,
            },
        ),
    ),
}
