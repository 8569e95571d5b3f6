"""Gradients of every gate and loss against finite differences in float64."""

import numpy as np
import pytest

from moe_keras.layers import (
    ExpertChoiceGating,
    GatingLayer,
    HashGating,
    HierarchicalGating,
    UniformGating,
)
from tests.differences import check_differences
from tests.tools import draw, randomize

ALONE = {"balance_loss": 0.0, "z_loss": 0.0}
LAYERS = {
    "softmax": lambda: GatingLayer(4),
    "softmax_2": lambda: GatingLayer(4, 2, **ALONE),
    "softmax_1": lambda: GatingLayer(4, 1, **ALONE),
    "noisy": lambda: GatingLayer(4, 2, noisy=True, seed=0, **ALONE),
    "balance": lambda: GatingLayer(4, 2, balance_loss=1.0, z_loss=0.0),
    "z": lambda: GatingLayer(4, 2, balance_loss=0.0, z_loss=1.0),
    "sigmoid": lambda: GatingLayer(4, activation="sigmoid"),
    "sigmoid_2": lambda: GatingLayer(4, 2, activation="sigmoid"),
    "late": lambda: GatingLayer(4, 2, order="top_k_softmax", normalize=False),
    "top_p": lambda: GatingLayer(4, top_p=0.7),
    "cosine": lambda: GatingLayer(4, 2, scores="cosine", score_units=2),
    "attention": lambda: GatingLayer(4, 2, scores="attention", score_units=2),
    "entropy": lambda: GatingLayer(4, entropy_loss=1.0),
    "information": lambda: GatingLayer(4, mutual_information_loss=1.0),
    "importance": lambda: GatingLayer(4, 2, importance_loss=1.0, **ALONE),
    "load": lambda: GatingLayer(
        4, 2, noisy=True, load_loss=1.0, seed=0, **ALONE
    ),
    "jitter": lambda: GatingLayer(4, 2, jitter=0.3, seed=0),
    "dropout": lambda: GatingLayer(4, 2, expert_dropout=0.5, seed=0),
    "load_bias": lambda: GatingLayer(4, 2, load_bias=0.1),
    "uniform": lambda: UniformGating(4, [1, 2, 3, 4]),
    "expert_choice": lambda: ExpertChoiceGating(4, 1.5),
    "hierarchical": lambda: HierarchicalGating(2, 2, 1, 1),
    "hierarchical_all": lambda: HierarchicalGating(2, 2),
}


@pytest.mark.parametrize("kind", LAYERS)
@pytest.mark.parametrize("masked", [False, True])
def test_gradient_is_the_finite_difference(kind, masked, float64):
    inputs, context = draw(5, 3, dtype="float64"), {}
    if masked:
        context["expert_mask"] = np.asarray([True, True, False, True])
        context["mask"] = np.asarray([True, True, False, True, True])
    layer = LAYERS[kind]()
    layer(inputs)
    check_differences(randomize(layer), inputs, **context)


@pytest.mark.parametrize("level", ["position", "sample"])
@pytest.mark.parametrize("top_k", [None, 1, 2])
def test_on_either_level(level, top_k, float64):
    inputs = draw(4, 3, 5, dtype="float64")
    layer = GatingLayer(4, top_k, level=level, balance_loss=0.3, z_loss=0.2)
    layer(inputs)
    check_differences(randomize(layer), inputs)


def test_the_hash_of_a_column_has_no_slope(float64):
    inputs = draw(5, 3, dtype="float64")
    inputs[:, 1] = np.arange(5)
    layer = HashGating(4, column=1)
    layer(inputs)
    # A step moves the column too: what is left of 0.999999 is 0.
    inputs[:, 1] += 0.5
    check_differences(layer, inputs)
