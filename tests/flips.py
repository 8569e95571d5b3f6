"""Every argument of every layer, with another value than the usual one.

For a class: inputs of the call, and per argument a pair of settings that
differ in that argument only.
"""

import keras
import numpy as np

from moe_keras.layers import (
    AttentionFusion,
    ConvExpert,
    DenseExpert,
    ExpertChoiceGating,
    GatingLayer,
    HashGating,
    HierarchicalGating,
    LogitFusion,
    MixtureOfExperts,
    ModelExpert,
    MoEFeedForward,
    MoETransformerBlock,
    RecurrentExpert,
    SoftMoE,
    UniformGating,
    WeightedFusion,
)
from tests.tools import draw, numpy_of, random_gates


class MaxFusion(WeightedFusion):
    """Another fusion than the usual one."""

    def call(self, inputs):
        *outputs, gates = inputs
        return keras.ops.max(outputs[0] * gates[..., None], axis=-2)


def _flip(base, argument, value, **also):
    """Two functions that make the arguments, without and with the flip."""

    def make(value):
        made = {**base, **also}
        made = {k: v() if callable(v) else v for k, v in made.items()}
        return made if value is None else {**made, argument: value()}

    value = value if callable(value) else (lambda value=value: value)
    return lambda: make(None), lambda: make(value)


def _flips(base, values, also=None):
    also = also or {}
    return {
        argument: _flip(base, argument, value, **also.get(argument, {}))
        for argument, value in values.items()
    }


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
}

FLIPS = {
    GatingLayer: (
        draw(3, 4, 5),
        _flips(
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
        _flips(
            {"num_experts": 3},
            {"num_experts": 4, "weights": [1, 2, 3], "level": "sample"},
        ),
    ),
    HashGating: (
        np.arange(12, dtype="int32").reshape(4, 3),
        _flips({"num_experts": 3}, {"num_experts": 4, "column": 1, "salt": 1}),
    ),
    ExpertChoiceGating: (
        draw(3, 4, 5),
        _flips(
            {"num_experts": 4},
            {
                "num_experts": 5,
                "capacity_factor": 1.0,
                "level": "sample",
                "kernel_initializer": "ones",
            },
        ),
    ),
    HierarchicalGating: (
        draw(3, 4, 5),
        _flips(
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
    DenseExpert: (
        draw(4, 5),
        _flips(
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
        _flips(
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
        _flips(
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
    ModelExpert: (
        draw(4, 5),
        _flips(
            {"model": lambda: _model(3)},
            {"model": lambda: _model(3, "tanh"), "trainable": False},
        ),
    ),
    WeightedFusion: (OUTPUTS, _flips({}, {"drop_non_finite": True})),
    LogitFusion: (
        OUTPUTS,
        _flips({}, {"pool": "logarithmic", "drop_non_finite": True}),
    ),
    AttentionFusion: (
        OUTPUTS,
        _flips(
            {"units": 3},
            {
                "units": 4,
                "query": "learned",
                "kernel_initializer": "ones",
                "drop_non_finite": True,
            },
        ),
    ),
    MoEFeedForward: (
        draw(3, 4, 5),
        _flips(
            {"num_experts": 4, "hidden_units": 6},
            {"residual": True, "use_bias": False, **BLOCK},
            {"dispatch": {"dispatch": "dense"}},
        ),
    ),
    MoETransformerBlock: (
        draw(3, 4, 5),
        _flips(
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
            {"dispatch": {"dispatch": "dense"}},
        ),
    ),
    SoftMoE: (
        draw(3, 4, 5),
        _flips(
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
        _flips(
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
            {
                "dispatch": {"dispatch": "dense"},
                "capacity_factor": {"dispatch": "capacity"},
                "eval_capacity_factor": {"dispatch": "capacity"},
                "batch_priority": {
                    "dispatch": "capacity",
                    "eval_capacity_factor": 0.5,
                },
                "overflow": {
                    "dispatch": "capacity",
                    "eval_capacity_factor": 0.25,
                },
            },
        ),
    ),
}


def observe(layer_class, make_kwargs, inputs):
    """All that a user could see of a layer, as one list of arrays."""
    keras.utils.set_random_seed(3)
    layer = layer_class(**make_kwargs())
    layer.build(keras.tree.map_structure(lambda array: array.shape, inputs))
    seen = [numpy_of(weight) for weight in layer.weights]
    seen.append(np.asarray([len(layer.trainable_weights)]))
    for weight in layer.trainable_weights:
        values = np.random.default_rng(1).normal(size=weight.shape)
        weight.assign(values)
    for training in (False, True):
        try:
            seen.append(numpy_of(layer(inputs, training=training)))
        except Exception as error:
            # Where an argument asks for an error, that is what a user sees.
            if "`overflow` is 'error'" not in str(error):
                raise
            seen.append(np.zeros(0))
        seen += [numpy_of(loss) for loss in layer.losses]
    if hasattr(layer, "resolve_dispatch"):
        seen.append(np.asarray([layer.resolve_dispatch() == "sorted"]))
    return seen


def differ(one, other):
    return len(one) != len(other) or any(
        a.shape != b.shape
        or not np.allclose(a, b, rtol=0, atol=1e-4, equal_nan=True)
        for a, b in zip(
            [x.astype("float64") for x in one],
            [x.astype("float64") for x in other],
            strict=True,
        )
    )
