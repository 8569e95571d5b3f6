"""Multiply-adds, against numbers worked out by hand."""

import keras
import pytest
from keras import layers

from moe_keras.layers import (
    ConvExpert,
    DenseExpert,
    ExpertChoiceGating,
    GatingLayer,
    MixtureOfExperts,
    ModelExpert,
    RecurrentExpert,
    UniformGating,
    WeightedFusion,
)
from moe_keras.ops.cost import Cost, count_layer, count_multiply_adds

# (layer, shape of one example, multiply-adds)
LAYERS = {
    "dense": (lambda: layers.Dense(3), (5,), 5 * 3),
    "dense_positions": (lambda: layers.Dense(3), (4, 5), 4 * 5 * 3),
    "conv_valid": (lambda: layers.Conv2D(4, 3), (8, 6, 2), 6 * 4 * 9 * 2 * 4),
    "conv_same": (
        lambda: layers.Conv2D(4, 3, padding="same"),
        (8, 6, 2),
        8 * 6 * 9 * 2 * 4,
    ),
    "conv_strides": (
        lambda: layers.Conv2D(4, 3, strides=2, padding="same"),
        (8, 5, 2),
        4 * 3 * 9 * 2 * 4,
    ),
    "conv_1d": (lambda: layers.Conv1D(4, 3), (7, 2), 5 * 3 * 2 * 4),
    "depthwise": (
        lambda: layers.DepthwiseConv2D(3, depth_multiplier=2),
        (5, 5, 3),
        3 * 3 * 9 * 3 * 2,
    ),
    "separable": (
        lambda: layers.SeparableConv2D(4, 3, strides=2, padding="same"),
        (6, 6, 3),
        3 * 3 * (9 * 3 + 3 * 4),
    ),
    "transpose": (
        lambda: layers.Conv2DTranspose(4, 3, strides=2),
        (5, 4, 2),
        5 * 4 * 9 * 2 * 4,
    ),
    "gru": (lambda: layers.GRU(4), (7, 3), 7 * 3 * (3 * 4 + 4 * 4)),
    "lstm": (lambda: layers.LSTM(4), (7, 3), 7 * 4 * (3 * 4 + 4 * 4)),
    "simple_rnn": (lambda: layers.SimpleRNN(4), (7, 3), 7 * (3 * 4 + 4 * 4)),
    "bidirectional": (
        lambda: layers.Bidirectional(layers.GRU(4)),
        (7, 3),
        2 * 7 * 3 * (3 * 4 + 4 * 4),
    ),
    "einsum_dense": (
        lambda: layers.EinsumDense("abc,cde->abde", output_shape=(None, 2, 3)),
        (4, 5),
        4 * 5 * 2 * 3,
    ),
    "normalisation": (lambda: layers.LayerNormalization(), (4, 5), 0),
    "dropout": (lambda: layers.Dropout(0.5), (4, 5), 0),
    "pooling": (lambda: layers.GlobalAveragePooling2D(), (4, 5, 2), 0),
}


def model_of(build, *shape):
    inputs = keras.Input(shape)
    return keras.Model(inputs, build(inputs))


@pytest.mark.parametrize("case", LAYERS)
def test_layer(case):
    make, shape, expected = LAYERS[case]
    cost = count_multiply_adds(model_of(make(), *shape))
    assert (cost.total, cost.active) == (expected, expected)


def test_attention_counts_projections_scores_and_sums():
    attention = layers.MultiHeadAttention(2, key_dim=3, value_dim=4)
    model = model_of(lambda x: attention(x, x), 5, 6)
    projections = 5 * 6 * 2 * 3 * 2 + 5 * 6 * 2 * 4 + 5 * 2 * 4 * 6
    scores_and_sums = 5 * 5 * 2 * (3 + 4)
    assert count_multiply_adds(model).total == projections + scores_and_sums


def test_cross_attention_has_two_lengths():
    queries, memory = keras.Input((5, 6)), keras.Input((7, 6))
    attention = layers.MultiHeadAttention(1, key_dim=3)
    model = keras.Model([queries, memory], attention(queries, memory))
    projections = 5 * 6 * 3 + 2 * 7 * 6 * 3 + 5 * 3 * 6
    assert count_multiply_adds(model).total == projections + 5 * 7 * 2 * 3


def test_sequential_and_nested_models_add_up():
    inner = keras.Sequential(
        [keras.Input((4,)), layers.Dense(3), layers.Dense(2)], name="inner"
    )
    outer = keras.Sequential(
        [keras.Input((5,)), layers.Dense(4, name="a"), inner]
    )
    cost = count_multiply_adds(outer)
    assert cost.total == 20 + 12 + 6
    assert sorted(c.total for c in cost.layers.values()) == [6, 12, 20]
    assert cost.layers["a"] == Cost(20, 20)
    assert sum(name.startswith("inner/") for name in cost.layers) == 2


def test_a_layer_that_runs_twice_costs_twice():
    shared = layers.Dense(5)
    cost = count_multiply_adds(model_of(lambda x: shared(shared(x)), 5))
    assert cost.total == 50


def test_unknown_sizes_need_an_input_shape():
    model = model_of(layers.GRU(4), None, 3)
    message = "count_multiply_adds: a size must be known; give `input_shape`."
    with pytest.raises(ValueError, match=message):
        count_multiply_adds(model)
    assert count_multiply_adds(model, (7, 3)).total == 7 * 3 * (12 + 16)


def test_a_layer_without_a_rule_is_refused():
    class Strange(layers.Layer):
        def build(self, input_shape):
            self.scale = self.add_weight((input_shape[-1],))

        def call(self, inputs):
            return inputs * self.scale

    with pytest.raises(ValueError, match="no rule for this kind of layer"):
        count_multiply_adds(model_of(Strange(), 5))


def test_a_model_without_a_graph_is_refused():
    class Subclassed(keras.Model):
        def call(self, inputs):
            return inputs

    with pytest.raises(ValueError, match="`model` must be functional"):
        count_multiply_adds(Subclassed())


def test_mixture_of_all_experts():
    moe = MixtureOfExperts(DenseExpert(4, 3, hidden_units=6), GatingLayer(3))
    cost = count_multiply_adds(model_of(moe, 5))
    expected = 5 * 3 + 3 * 6 * (5 + 4) + 3 * 4
    assert (cost.total, cost.active) == (expected, expected)


def test_sparse_mixture_counts_k_experts_as_active():
    moe = MixtureOfExperts(
        DenseExpert(4, 8), GatingLayer(8, top_k=2), shared=layers.Dense(4)
    )
    cost = count_multiply_adds(model_of(moe, 7, 5))
    always = 7 * (5 * 8 + 5 * 4)
    assert cost.total == always + 7 * 8 * (5 * 4 + 4)
    assert cost.active == pytest.approx(always + 7 * 2 * (5 * 4 + 4))


def test_gate_over_samples_runs_once_per_sample():
    moe = MixtureOfExperts(
        [RecurrentExpert(3, 2, output_units=4)], GatingLayer(2, top_k=1)
    )
    cost = count_multiply_adds(model_of(moe, 7, 5))
    one = 7 * 3 * 3 * (5 + 3) + 3 * 4
    assert cost.total == 5 * 2 + 2 * (one + 4)
    assert cost.active == pytest.approx(5 * 2 + one + 4)


def test_load_matters_where_experts_differ():
    small = keras.Sequential([keras.Input((5,)), layers.Dense(4)])
    moe = MixtureOfExperts(
        [DenseExpert(4, 1, hidden_units=50), ModelExpert(small)],
        GatingLayer(2, top_k=1),
        name="moe",
    )
    model = model_of(moe, 5)
    always = 5 * 2 + 4  # the gate, and the weighted sum of one row
    big, little = 50 * 9, 20
    even = count_multiply_adds(model)
    assert even.total == 10 + 2 * 4 + big + little
    assert even.active == pytest.approx(always + (big + little) / 2)
    cost = count_multiply_adds(model, expert_load={"moe": [0.1, 0.9]})
    assert cost.active == pytest.approx(always + 0.1 * big + 0.9 * little)


def small_and_large(gate):
    """Two experts of different cost behind one gate."""
    banks = [
        DenseExpert(2, 1, name="small"),
        DenseExpert(2, 1, hidden_units=6, name="large"),
    ]
    return MixtureOfExperts(banks, gate, name="moe")


def test_expert_choice_runs_as_many_as_its_capacity():
    moe = MixtureOfExperts(DenseExpert(4, 8), ExpertChoiceGating(8, 1.5))
    cost = count_multiply_adds(model_of(moe, 7, 5))
    gate, one = 7 * 5 * 8, 7 * (5 * 4 + 4)
    assert cost.total == gate + 8 * one
    assert cost.active == pytest.approx(gate + 1.5 * one)


def test_top_p_is_the_most_that_a_row_can_have():
    for kwargs, most in (({}, 8), ({"top_k": 3}, 3)):
        gate = GatingLayer(8, top_p=0.5, **kwargs)
        moe = MixtureOfExperts(DenseExpert(4, 8), gate, name="moe")
        model = model_of(moe, 5)
        cost = count_multiply_adds(model)
        assert cost.active == pytest.approx(5 * 8 + most * (5 * 4 + 4))
        # Measured, it is less.
        load = {"moe": [0.2] * 8}
        cost = count_multiply_adds(model, expert_load=load)
        assert cost.active == pytest.approx(5 * 8 + 1.6 * (5 * 4 + 4))


def test_fixed_weights_say_who_runs():
    small, large = 1 * 2 + 2, 6 * (1 + 2) + 2
    for weights, expected in (([1, 0], small), ([0, 3], large)):
        moe = small_and_large(UniformGating(2, weights))
        cost = count_multiply_adds(model_of(moe, 1))
        assert cost.total == small + large
        assert cost.active == pytest.approx(expected)


def test_a_gate_that_does_not_say_what_it_chooses_runs_all():
    class Own(layers.Dense):
        num_experts = 2

    cost = count_multiply_adds(model_of(small_and_large(Own(2)), 1))
    assert cost.active == cost.total


def test_hand_composed_bank_follows_its_gate():
    inputs = keras.Input((5,))
    gates = GatingLayer(4, top_k=1, name="gate")(inputs)
    outputs = DenseExpert(3, 4)(inputs, gates)
    fused = WeightedFusion()([outputs, gates])
    cost = count_multiply_adds(keras.Model(inputs, fused))
    assert cost.total == 5 * 4 + 4 * 15 + 4 * 3
    assert cost.active == pytest.approx(5 * 4 + 15 + 3)


def test_conv_expert_counts_block_by_block():
    bank = ConvExpert(
        (3, 4), 2, kernel_size=3, pool_size=2, pooling="avg", output_units=6
    )
    cost = count_multiply_adds(model_of(bank, 5, 6, 2))
    one = 5 * 6 * 9 * 2 * 3 + 3 * 3 * 9 * 3 * 4 + 4 * 6
    assert cost.total == 2 * one


def test_recurrent_expert_reads_an_image_by_rows():
    bank = RecurrentExpert(3, 2, cell="lstm", bidirectional=True)
    cost = count_multiply_adds(model_of(bank, 5, 4, 2))
    assert cost.total == 2 * 2 * 5 * 4 * 3 * (8 + 3)


def test_count_layer_of_one_layer():
    dense = layers.Dense(3)
    dense.build((None, 5))
    assert count_layer(dense, [(None, 5)]) == Cost(15, 15)


def test_cost_prints_as_a_table_with_a_sum():
    cost = count_multiply_adds(model_of(layers.Dense(300, name="wide"), 50))
    first, last = str(cost).splitlines()
    assert first.split() == ["wide", "15,000", "active", "15,000", "total"]
    assert last.split() == ["sum", "15,000", "active", "15,000", "total"]
