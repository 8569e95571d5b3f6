"""Gradients of the kernels' own: as dense ones, and gone with their graph."""

import gc
import weakref

import numpy as np
import pytest

from moe_keras.insight import collect_gates
from moe_keras.layers import DenseExpert, GatingLayer, MixtureOfExperts
from tests.tools import assert_close, draw, only_tensorflow, randomize

pytestmark = only_tensorflow

SPARSE = ("sorted", "capacity", "gather")


def mixture_of(dispatch, rows):
    mixture = MixtureOfExperts(
        DenseExpert(3, 4, hidden_units=5),
        GatingLayer(4, top_k=2),
        dispatch=dispatch,
        capacity_factor=2.0,
    )
    mixture(rows)
    return randomize(mixture)


def functions_of(mixture):
    """Traced once: inference, a gradient inside, and one of the whole."""
    import tensorflow as tf

    variables = [v.value for v in mixture.trainable_variables]

    def loss(rows):
        return tf.reduce_sum(mixture(rows) ** 2)

    def step(rows):
        with tf.GradientTape() as tape:
            value = loss(rows)
        return tape.gradient(value, variables)

    traced = tf.function(loss)

    def whole(rows):
        with tf.GradientTape() as tape:
            value = traced(rows)
        return tape.gradient(value, variables)

    return {"inside": tf.function(step), "whole": whole, "eager": step}


@pytest.mark.parametrize("dispatch", SPARSE)
def test_gradients_are_those_of_dense_and_go_with_their_graph(dispatch):
    graph, before = _compared_with_dense(dispatch)
    gc.collect()
    assert graph() is None
    assert count_graphs() < before


def _compared_with_dense(dispatch):
    """The traced graph, and how many graphs there were beside it.

    In a function of its own: a frame may keep what its names once were.
    """
    rows = draw(2, 6)
    right = functions_of(mixture_of("dense", rows))["eager"](rows)
    functions = functions_of(mixture_of(dispatch, rows))
    for name in functions:
        for one, other in zip(functions[name](rows), right, strict=True):
            assert_close(np.asarray(one), np.asarray(other))
    traced = functions["inside"].get_concrete_function(rows)
    # Of the functions in it too, such as the branches of a condition.
    return weakref.ref(traced.graph), count_graphs()


def count_graphs():
    from tensorflow.python.framework.func_graph import FuncGraph

    return sum(isinstance(one, FuncGraph) for one in gc.get_objects())


def test_gates_may_be_collected_again_and_again():
    import keras

    rows = draw(8, 6)
    symbols = keras.Input((6,))
    model = keras.Model(symbols, mixture_of("sorted", rows)(symbols))
    counts = []
    for _ in range(2):
        collect_gates(model, rows)
        gc.collect()
        counts.append(count_graphs())
    assert counts[0] == counts[1]


def resident():
    """MiB of this process that are in memory."""
    import os

    with open("/proc/self/statm") as file:
        pages = int(file.read().split()[1])
    return pages * os.sysconf("SC_PAGESIZE") / 2**20


@pytest.mark.slow
@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("dispatch", ["sorted", "capacity"])
def test_200_traces_take_no_more_memory_than_those_of_a_dense_layer(
    dispatch, training
):
    import keras
    import tensorflow as tf

    rows = tf.constant(draw(12, 6))
    grown = []
    for layer in (keras.layers.Dense(3), mixture_of(dispatch, rows)):
        layer(rows)

        def step(rows, layer=layer):
            with tf.GradientTape() as tape:
                value = tf.reduce_sum(layer(rows, training=training) ** 2)
            if not training:
                return value
            variables = [v.value for v in layer.trainable_variables]
            return tape.gradient(value, variables)

        for trace in range(200):
            tf.function(step)(rows)
            if trace % 10 == 9:
                # Graphs refer to themselves: what is not kept, but was not
                # collected either, is no matter here.
                gc.collect()
            if trace == 9:
                graphs, before = count_graphs(), resident()
        gc.collect()
        assert count_graphs() <= graphs
        grown.append(resident() - before)
    assert grown[1] <= grown[0] + 10
