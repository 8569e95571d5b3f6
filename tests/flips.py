"""Every argument of every layer, with another value than the usual one.

For a class: inputs of the call, and per argument a pair of settings that
differ in that argument only.
"""

import keras
import numpy as np

from moe_keras.layers import (
    ConvExpert,
    DenseExpert,
    GatingLayer,
    MixtureOfExperts,
    ModelExpert,
    RecurrentExpert,
    WeightedFusion,
)
from tests.tools import draw, numpy_of


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
            },
            {"seed": {"noisy": True}},
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
                "activation": "tanh",
                "output_activation": "tanh",
                "dropout": 0.5,
                "use_bias": False,
                "kernel_initializer": "ones",
                "kernel_regularizer": "l2",
            },
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
    WeightedFusion: (draw(4, 5), {}),
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
            },
            {"dispatch": {"dispatch": "dense"}},
        ),
    ),
}


def observe(layer_class, make_kwargs, inputs):
    """All that a user could see of a layer, as one list of arrays."""
    keras.utils.set_random_seed(3)
    layer = layer_class(**make_kwargs())
    layer.build(inputs.shape)
    seen = [numpy_of(weight) for weight in layer.weights]
    seen.append(np.asarray([len(layer.trainable_weights)]))
    for weight in layer.trainable_weights:
        values = np.random.default_rng(1).normal(size=weight.shape)
        weight.assign(values)
    for training in (False, True):
        seen.append(numpy_of(layer(inputs, training=training)))
        seen += [numpy_of(loss) for loss in layer.losses]
    if isinstance(layer, MixtureOfExperts):
        seen.append(np.asarray([layer.resolve_dispatch() == "sorted"]))
    return seen


def differ(one, other):
    return len(one) != len(other) or any(
        a.shape != b.shape or np.any(np.abs(a - b) > 1e-4)
        for a, b in zip(
            [x.astype("float64") for x in one],
            [x.astype("float64") for x in other],
            strict=True,
        )
    )
