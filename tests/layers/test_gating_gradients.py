"""Gradients of every gate and loss against finite differences in float64."""

import keras
import numpy as np
import pytest

from moe_keras.layers import (
    ExpertChoiceGating,
    GatingLayer,
    HierarchicalGating,
)
from tests.gradients import gradients_of, random_projection
from tests.tools import draw, numpy_of, only_tensorflow, randomize

ALONE = {"balance_loss": 0.0, "z_loss": 0.0}
LAYERS = {
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
    "expert_choice": lambda: ExpertChoiceGating(4, 1.5),
    "hierarchical": lambda: HierarchicalGating(2, 2, 1, 1),
    "hierarchical_all": lambda: HierarchicalGating(2, 2),
}


@only_tensorflow
@pytest.mark.parametrize("kind", LAYERS)
@pytest.mark.parametrize("masked", [False, True])
def test_gradient_is_the_finite_difference(kind, masked):
    keras.config.set_dtype_policy("float64")
    inputs, context = draw(5, 3, dtype="float64"), {}
    if masked:
        context["expert_mask"] = np.asarray([True, True, False, True])
        context["mask"] = np.asarray([True, True, False, True, True])
    layer = LAYERS[kind]()
    layer(inputs)
    randomize(layer)
    states = [
        (state, numpy_of(state)) for state in layer.non_trainable_variables
    ]

    def restore():
        for state, value in states:
            state.assign(value)

    def loss():
        restore()
        outputs = layer(inputs, training=True, **context)
        losses = [random_projection(outputs), *layer.losses]
        return sum(float(numpy_of(part)) for part in losses)

    restore()
    _, gradients, _ = gradients_of(
        layer, (inputs,), random_projection, **context
    )
    step, rng = 1e-6, np.random.default_rng(3)
    for variable, gradient in zip(
        layer.trainable_variables, gradients, strict=True
    ):
        values = numpy_of(variable)
        # Along a few directions that no entry is missing from.
        for _ in range(2):
            direction = rng.normal(size=values.shape)
            ends = []
            for sign in (1, -1):
                variable.assign(values + sign * step * direction)
                ends.append(loss())
            slope = (ends[0] - ends[1]) / (2 * step)
            along = np.sum(gradient * direction)
            assert along == pytest.approx(slope, abs=5e-6, rel=1e-5)
        variable.assign(values)
