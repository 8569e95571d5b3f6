"""Small classifiers with experts to choose from, and rows to choose by."""

import keras
import numpy as np

from moe_keras.layers import (
    CrossExpert,
    DenseExpert,
    GatingLayer,
    MixtureOfExperts,
    UniformGating,
)
from moe_keras.search import select_experts
from tests.tools import draw, randomize

ROWS = draw(30, 5)
LABELS = np.random.default_rng(1).integers(0, 3, 30)
WEIGHTS = np.random.default_rng(2).uniform(0.1, 2.0, 30)
DATA = (ROWS, LABELS)


def dense(num_experts=4, units=3, **options):
    return DenseExpert(units, num_experts, hidden_units=6, **options)


def mixed():
    """Five experts, of two kinds and costs."""
    return [dense(3, name="wide"), CrossExpert(3, 2, name="cross")]


def mixture_of(gate=None, experts=None, fusion=None, **options):
    options.setdefault("name", "moe")
    return MixtureOfExperts(
        experts or dense(), gate or GatingLayer(4), fusion, **options
    )


def model_of(mixture, head=None):
    """A classifier of three classes, around a mixture of vectors of 3."""
    inputs = keras.Input((5,))
    values = mixture(keras.layers.Dense(5)(inputs))
    outputs = keras.layers.Dense(3, "softmax")(values)
    if head is not None:
        outputs = head(inputs, values)
    return randomize(keras.Model(inputs, outputs), scale=0.6)


MODELS = {
    "soft": lambda: model_of(mixture_of()),
    "sparse": lambda: model_of(mixture_of(GatingLayer(4, 2))),
    "uniform": lambda: model_of(mixture_of(UniformGating(4, [1, 0, 2, 1]))),
}


def quietly(model, data=DATA, budget=1e9, **options):
    return select_experts(model, data, budget, **{"verbose": 0, **options})
