"""Gradients of ForestExpert: leaves are trained, and tests are not."""

import keras
import numpy as np
import pytest
from sklearn.ensemble import RandomForestClassifier

from moe_keras.layers import ForestExpert
from tests.forests import oracle
from tests.forests.fitted import draw_table
from tests.gradients import gradients_of, random_projection
from tests.layers.drawn_forests import CONFIGS, built, expert_of
from tests.tools import numpy_of


@pytest.mark.parametrize("config", CONFIGS)
@pytest.mark.usefixtures("float64")
def test_gradients_of_leaves_are_differences(config):
    forest, rows = oracle.draw_forest(**CONFIGS[config]), oracle.draw_rows(9)
    expert = expert_of(forest, trainable_leaves=True)
    expert(rows)
    (leaves,) = expert.trainable_weights
    # Above the floor, below which there is no gradient.
    start = np.abs(numpy_of(leaves).astype("float64")) + 0.01
    leaves.assign(start)
    _, (gradient,), _ = gradients_of(expert, (rows,), random_projection)
    assert np.all(np.isfinite(gradient))
    assert np.any(gradient != 0)
    for place in range(0, start.size, 3):
        losses = []
        for step in (1e-5, -1e-5):
            moved = start.copy()
            moved.flat[place] += step
            leaves.assign(moved)
            losses.append(float(numpy_of(random_projection(expert(rows)))))
        slope = (losses[0] - losses[1]) / 2e-5
        assert gradient.flat[place] == pytest.approx(slope, abs=1e-6, rel=1e-5)


def test_leaves_are_trained_and_tests_are_not():
    table, labels = draw_table(2, 300)
    model = RandomForestClassifier(5, max_depth=2, random_state=0)
    model.fit(table, labels)
    expert = ForestExpert.from_model(model, trainable_leaves=True)
    rows = keras.Input((6,))
    outputs = keras.layers.Reshape((2,))(expert(rows))
    network = keras.Model(rows, outputs)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    network.compile(keras.optimizers.Adam(0.01), loss)
    before = [numpy_of(weight).copy() for weight in expert.weights]
    start = network.evaluate(table, labels, verbose=0)
    network.fit(table, labels, epochs=5, verbose=0)
    assert network.evaluate(table, labels, verbose=0) < start - 0.01
    moved = {
        weight.name
        for weight, old in zip(expert.weights, before, strict=True)
        if np.any(numpy_of(weight) != old)
    }
    assert moved == {"leaves"}
    assert ForestExpert.from_model(model)(table) is not None
    assert not ForestExpert.from_model(model).trainable_weights


def test_missing_values_do_not_reach_other_gradients():
    forest = oracle.draw_forest()
    rows = oracle.draw_rows(12)
    inputs = keras.ops.convert_to_tensor(rows)
    expert = expert_of(forest, trainable_leaves=True)
    _, gradients, of_rows = gradients_of(
        built(expert), (inputs,), random_projection
    )
    assert np.all(np.isfinite(gradients[0]))
    assert of_rows is None or not np.any(of_rows)
