"""Sparse means sparse: how many rows each expert computes on TensorFlow."""

import keras
import numpy as np
import pytest

from moe_keras.layers import (
    DenseExpert,
    GatingLayer,
    MixtureOfExperts,
    WeightedFusion,
)
from tests.tools import BACKEND, draw, random_gates, randomize

pytestmark = pytest.mark.skipif(
    BACKEND != "tensorflow", reason="counts inside graphs of TensorFlow"
)


class CountingExpert(DenseExpert):
    """Adds up, inside the graph, the rows that each expert computes."""

    def build_bank(self, row_shape):
        import tensorflow as tf

        super().build_bank(row_shape)
        self.counts = tf.Variable(np.zeros(self.num_experts, "int32"))

    def split_bank(self):
        return list(enumerate(super().split_bank()))

    def run_expert(self, expert, rows, mask=None, training=None):
        import tensorflow as tf

        place, weights = expert
        one = tf.one_hot(place, self.num_experts, dtype="int32")
        self.counts.assign_add(one * tf.shape(rows)[0])
        return super().run_expert(weights, rows, mask, training)

    def take_counts(self):
        counts = self.counts.numpy()
        self.counts.assign(np.zeros_like(counts))
        return counts


def model_of(top_k):
    symbols = keras.Input((5,))
    bank = CountingExpert(3, 4)
    gate = GatingLayer(4, top_k=top_k, kernel_initializer="glorot_normal")
    model = keras.Model(symbols, MixtureOfExperts(bank, gate)(symbols))
    return model, bank, gate


@pytest.mark.parametrize("top_k", [1, 2])
def test_rule_10_inside_fit_and_predict(top_k):
    model, bank, gate = model_of(top_k)
    inputs = draw(48, 5)
    model.compile(keras.optimizers.SGD(0.0), "mse")
    bank.take_counts()
    model.fit(inputs, draw(48, 3), batch_size=20, epochs=2, verbose=0)
    # The weights stay as they are, so that every epoch routes the same.
    expected = np.sum(gate(inputs).numpy() > 0, axis=0)
    np.testing.assert_array_equal(bank.take_counts(), 2 * expected)
    model.predict(inputs, verbose=0)
    np.testing.assert_array_equal(bank.take_counts(), expected)
    assert np.sum(expected) == 48 * top_k


def test_rule_10_inside_a_traced_function_of_any_batch():
    import tensorflow as tf

    model, bank, gate = model_of(2)
    serve = tf.function(
        model, input_signature=[tf.TensorSpec((None, 5), tf.float32)]
    )
    for num_rows in (1, 9):
        inputs = draw(num_rows, 5)
        bank.take_counts()
        serve(inputs)
        expected = np.sum(gate(inputs).numpy() > 0, axis=0)
        np.testing.assert_array_equal(bank.take_counts(), expected)


def test_rule_10_with_gates_given_by_hand():
    symbols, weights = keras.Input((5,)), keras.Input((4,))
    bank = CountingExpert(3, 4)
    fused = WeightedFusion()([bank(symbols, weights), weights])
    model = keras.Model([symbols, weights], fused)
    inputs, gates = draw(12, 5), random_gates((12, 4))
    bank.take_counts()
    model.predict([inputs, gates], verbose=0)
    np.testing.assert_array_equal(bank.take_counts(), np.sum(gates > 0, axis=0))


def test_padding_is_not_computed():
    inputs, mask = draw(3, 4, 5), np.arange(12).reshape(3, 4) % 3 > 0
    bank = CountingExpert(3, 4)
    moe = MixtureOfExperts(bank, GatingLayer(4, top_k=2))
    moe(inputs)
    randomize(moe)
    bank.take_counts()
    moe(inputs, mask=mask)
    assert np.sum(bank.take_counts()) == 2 * np.sum(mask)


def test_all_experts_run_on_all_rows_without_top_k():
    bank = CountingExpert(3, 4)
    moe = MixtureOfExperts(bank, GatingLayer(4), dispatch="sorted")
    inputs = draw(6, 5)
    moe(inputs)
    bank.take_counts()
    moe(inputs)
    np.testing.assert_array_equal(bank.take_counts(), [6, 6, 6, 6])
