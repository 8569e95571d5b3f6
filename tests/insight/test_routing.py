"""Routing tables and pictures."""

import keras
import numpy as np
import pytest

from moe_keras.insight import (
    collect_gates,
    expert_by_class,
    expert_names,
    plot_history,
    plot_routing,
)
from moe_keras.layers import DenseExpert, GatingLayer, MixtureOfExperts


def test_gates_are_those_of_the_layer_in_every_batch():
    x = keras.Input((6,))
    gate = GatingLayer(3, name="router")
    moe = MixtureOfExperts(DenseExpert(2, 3), gate)
    model = keras.Model(x, moe(x))
    inputs = np.random.default_rng(0).normal(size=(10, 6)).astype("float32")
    gates = collect_gates(model, inputs, batch_size=4)
    assert list(gates) == ["router"]
    np.testing.assert_allclose(gates["router"], gate(inputs), atol=1e-6)


@pytest.mark.skipif(
    keras.backend.backend() == "torch", reason="PyTorch runs eagerly"
)
def test_a_model_is_traced_not_run_batch_by_batch():
    calls = []

    class Counting(keras.layers.Dense):
        def call(self, inputs):
            calls.append(inputs.shape)
            return super().call(inputs)

    x = keras.Input((6,))
    model = keras.Model(x, GatingLayer(3)(Counting(6)(x)))
    calls.clear()
    collect_gates(model, np.ones((64, 6), "float32"), batch_size=2)
    assert len(calls) == 1


def test_a_model_without_rows_has_no_gates():
    x = keras.Input((6,))
    model = keras.Model(x, GatingLayer(3)(x))
    assert collect_gates(model, np.ones((0, 6), "float32")) == {}


def test_a_gate_that_runs_twice_is_recorded_twice():
    x = keras.Input((6,))
    gate = GatingLayer(3, name="router")
    model = keras.Model(x, [gate(x), gate(-x)])
    gates = collect_gates(model, np.ones((2, 6), "float32"))
    assert list(gates) == ["router", "router_1"]
    assert np.abs(gates["router"] - gates["router_1"]).max() > 0


def test_a_model_without_gates_has_none():
    x = keras.Input((6,))
    model = keras.Model(x, keras.layers.Dense(1)(x))
    assert collect_gates(model, np.ones((2, 6), "float32")) == {}


def test_expert_by_class_by_hand():
    gates = [[1.0, 0.0], [0.5, 0.5], [0.2, 0.8]]
    table = expert_by_class(gates, [0, 0, 2], num_classes=3)
    np.testing.assert_allclose(table[0], [0.75, 0.25])
    assert np.isnan(table[1]).all()
    np.testing.assert_allclose(table[2], [0.2, 0.8])


def test_expert_by_class_refuses_shapes_that_do_not_fit():
    with pytest.raises(ValueError, match=r"labels_shape=\(1,\)"):
        expert_by_class([[1.0], [1.0]], [0], 1)


def test_the_history_has_one_line_per_model_and_panel():
    figure = plot_history(
        {"a": {"loss": [2, 1], "accuracy": [0.1, 0.5]}, "b": {"loss": [3, 2]}}
    )
    loss, accuracy = figure.axes
    assert [list(line.get_ydata()) for line in loss.lines] == [[2, 1], [3, 2]]
    assert list(accuracy.lines[0].get_ydata()) == [0.1, 0.5]
    assert [t.get_text() for t in accuracy.get_legend().get_texts()] == [
        "a",
        "b",
    ]


def test_the_routing_picture_shows_the_table():
    figure = plot_routing([[0.9, 0.1], [0.3, 0.7]], ["x", "y"], ["cat", "dog"])
    axes = figure.axes[0]
    np.testing.assert_allclose(
        axes.images[0].get_array(), [[0.9, 0.3], [0.1, 0.7]]
    )
    assert [t.get_text() for t in axes.texts] == [
        "0.90",
        "0.30",
        "0.10",
        "0.70",
    ]
    assert [t.get_text() for t in axes.get_yticklabels()] == ["x", "y"]


def test_experts_are_named_by_number_or_by_bank():
    x = keras.Input((6,))
    one = MixtureOfExperts(DenseExpert(6, 2), GatingLayer(2, name="first"))
    banks = [DenseExpert(6, 2, name="small"), DenseExpert(6, name="large")]
    weights = keras.layers.Dense(3, "softmax", name="of_the_user")
    two = MixtureOfExperts(banks, weights, name="second")
    model = keras.Model(x, two(one(x)))
    expected = {
        "first": ["0", "1"],
        "second": ["small 0", "small 1", "large"],
    }
    assert expert_names(model) == expected
    inputs = np.ones((2, 6), "float32")
    assert list(collect_gates(model, inputs)) == list(expected)
