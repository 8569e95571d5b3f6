"""Dense twins: as large as they say, one expert, trainable."""

import keras
import numpy as np
import pytest

from moe_keras.layers import (
    AttentionExpert,
    ConvExpert,
    DenseExpert,
    EmbeddedExperts,
    GatingLayer,
    HashGating,
    MixtureOfExperts,
    ModelExpert,
    RecurrentExpert,
    SequenceConvExpert,
)
from moe_keras.ops.cost import count_multiply_adds
from moe_keras.zoo import build_image_moe, dense_twin
from tests.tools import only_tensorflow
from tests.zoo.reviews import CONV, apply, build


def feed_forward(num_experts=8, top_k=2, hidden_units=32, length=5):
    tokens = keras.Input((length, 16))
    x = keras.layers.Dense(12)(tokens)
    y = MixtureOfExperts(
        DenseExpert(12, num_experts, hidden_units=hidden_units),
        GatingLayer(num_experts, top_k=top_k),
        name="moe",
    )(x)
    return keras.Model(tokens, keras.layers.Dense(3)(y))


@pytest.mark.parametrize(
    "model_of",
    [
        lambda: build_image_moe((8, 8, 1), 10),
        lambda: build_image_moe(
            (28, 28, 1), 10, experts={"conv": 4}, top_k=2, fusion="features"
        ),
        lambda: build_image_moe((16, 16, 3), 5, experts={"recurrent": 3}),
        feed_forward,
    ],
)
def test_twins_match_within_a_hundredth(model_of):
    model = model_of()
    active = count_multiply_adds(model).active
    twin = dense_twin(model)
    assert count_multiply_adds(twin).active == pytest.approx(active, rel=0.01)
    twin = dense_twin(model, match="parameters")
    assert twin.count_params() == pytest.approx(model.count_params(), rel=0.01)


def test_a_twin_is_dense_and_keeps_the_interface():
    model = feed_forward()
    twin = dense_twin(model)
    layers = twin._flatten_layers()
    assert not any(isinstance(layer, MixtureOfExperts) for layer in layers)
    assert twin.input_shape == model.input_shape
    assert twin.output_shape == model.output_shape
    cost = count_multiply_adds(twin)
    assert cost.active == cost.total


def test_positions_may_be_unknown_for_parameters():
    twin = dense_twin(feed_forward(length=None), match="parameters")
    assert twin(np.ones((2, 7, 16), "float32")).shape == (2, 7, 3)


def test_a_single_layer_gets_a_hidden_one():
    model = feed_forward(hidden_units=None)
    active = count_multiply_adds(model).active
    twin = dense_twin(model)
    assert count_multiply_adds(twin).active == pytest.approx(active, rel=0.02)


@pytest.mark.parametrize("match", ["active", "parameters"])
def test_experts_that_return_maps_keep_their_last_width(match):
    x = keras.Input((8, 8, 6))
    bank = ConvExpert((12, 6), 4, linear_last=True)
    mixture = MixtureOfExperts(bank, GatingLayer(4, top_k=2))
    model = keras.Model(x, x + mixture(x))
    twin = dense_twin(model, match=match)
    assert twin.output_shape == (None, 8, 8, 6)
    if match == "active":
        wanted = count_multiply_adds(model).active
        assert count_multiply_adds(twin).active == pytest.approx(wanted, 0.03)
    else:
        assert twin.count_params() == pytest.approx(model.count_params(), 0.03)


def reader_of_texts():
    banks = [
        SequenceConvExpert(32, 4, output_units=3, name="conv"),
        RecurrentExpert(16, 2, output_units=3, name="gru"),
        AttentionExpert(
            16, 2, 32, 1, 2, {"num_experts": 4}, 20, output_units=3, name="att"
        ),
    ]
    inner = EmbeddedExperts(banks, 50, 12, max_length=20, name="words")
    moe = MixtureOfExperts(inner, HashGating(8, column=0), name="moe")
    ids = keras.Input((30,), dtype="int32")
    return keras.Model(ids, keras.layers.Dense(3)(moe(ids)))


@pytest.mark.parametrize("bank", [0, "words", "conv", "gru", "att"])
@pytest.mark.parametrize("match", ["active", "parameters"])
def test_a_twin_of_one_inner_expert_keeps_the_table(match, bank):
    model = reader_of_texts()
    twin = dense_twin(model, match, bank)
    cost = count_multiply_adds(twin)
    assert cost.active == cost.total
    if match == "active":
        wanted = count_multiply_adds(model).active
        assert cost.active == pytest.approx(wanted, rel=0.05)
    else:
        assert twin.count_params() == pytest.approx(model.count_params(), 0.05)
    (found,) = [
        layer
        for layer in twin._flatten_layers()
        if isinstance(layer, EmbeddedExperts)
    ]
    assert found.num_experts == 1
    assert found.embedding.embeddings.shape == (50, 12)
    kind = {"gru": RecurrentExpert, "att": AttentionExpert}
    assert type(found.experts[0]) is kind.get(bank, SequenceConvExpert)
    assert twin(np.ones((2, 30), "int32")).shape == (2, 3)


def test_a_name_that_no_bank_has():
    with pytest.raises(
        ValueError, match=r"Received: bank='x', banks=\['words'\]"
    ):
        dense_twin(reader_of_texts(), bank="x")


def test_the_bank_can_be_chosen():
    model = build_image_moe((8, 8, 1), 10)
    names = [
        layer.name for layer in dense_twin(model, bank=1)._flatten_layers()
    ]
    assert "recurrent_experts" in names
    assert "conv_experts" not in names


def test_measured_load_changes_the_target():
    model = build_image_moe(
        (8, 8, 1), 10, experts={"conv": 2, "recurrent": 2}, top_k=2
    )
    all_conv = {"moe": [1.0, 1.0, 0.0, 0.0]}
    expected = count_multiply_adds(model, expert_load=all_conv).active
    twin = dense_twin(model, expert_load=all_conv)
    assert count_multiply_adds(twin).active == pytest.approx(expected, rel=0.01)
    assert expected != pytest.approx(
        count_multiply_adds(model).active, rel=0.01
    )


def test_the_weights_are_new_and_the_model_is_left_alone():
    model = feed_forward()
    before = model.get_weights()
    twin = dense_twin(model)
    assert np.abs(twin.layers[1].kernel - model.layers[1].kernel).max() > 0.01
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_bad_arguments_are_named():
    with pytest.raises(ValueError, match="Received: match='flops'"):
        dense_twin(feed_forward(), match="flops")
    x = keras.Input((4,))
    plain = keras.Model(x, keras.layers.Dense(2)(x), name="plain")
    with pytest.raises(ValueError, match="must hold a MixtureOfExperts or"):
        dense_twin(plain)
    given = MixtureOfExperts([ModelExpert(plain)], GatingLayer(1))
    with pytest.raises(ValueError, match="no widths to scale"):
        dense_twin(keras.Model(x, given(x)))


@only_tensorflow
@pytest.mark.parametrize("match", ["active", "parameters"])
@pytest.mark.parametrize("top_k", [None, 2])
def test_twins_of_a_model_that_reads_texts(match, top_k):
    model = build(
        experts={"ngram": 1, "conv": [{"filters": 8}, CONV], "recurrent": 1},
        top_k=top_k,
    )
    model.get_layer("temperature").scale.assign(3.0)
    twin = dense_twin(model, match, bank="conv_0")
    cost = count_multiply_adds(twin)
    assert cost.active == cost.total
    if match == "active":
        wanted = count_multiply_adds(model).active
        assert cost.active == pytest.approx(wanted, rel=0.05)
    else:
        assert twin.count_params() == pytest.approx(model.count_params(), 0.05)
    layers = twin._flatten_layers()
    assert not any(isinstance(layer, MixtureOfExperts) for layer in layers)
    (reader,) = [one for one in layers if isinstance(one, EmbeddedExperts)]
    (bank,) = reader.experts
    assert (type(bank), bank.name) == (SequenceConvExpert, "conv_0")
    assert bank.kernel_sizes == (3, 4, 5)
    # Texts of every length, also beyond the one that was counted.
    texts = ["", "good", "the plot was good " * 30]
    found = apply(twin, texts)
    assert np.isfinite(found).all()
    assert found.sum(axis=1) == pytest.approx(np.ones(3), abs=1e-5)
    # A temperature is fitted for each model by itself.
    assert float(twin.get_layer("temperature").scale) == 1.0
