"""The image builder: it learns, it mixes probabilities, it refuses nonsense."""

import keras
import numpy as np
import pytest

from moe_keras.data import load_digits
from moe_keras.layers import (
    ConvExpert,
    GatingLayer,
    MixtureOfExperts,
    RecurrentExpert,
    record_gates,
)
from moe_keras.zoo import build_image_moe


def mixture_of(model):
    (mixture,) = (
        layer for layer in model.layers if isinstance(layer, MixtureOfExperts)
    )
    return mixture


def test_the_default_is_an_uncompiled_model_of_cnn_and_rnn_experts():
    model = build_image_moe()
    assert not model.compiled
    assert model.input_shape == (None, 28, 28, 1)
    assert model.output_shape == (None, 10)
    kinds = [type(bank) for bank in mixture_of(model).experts]
    assert kinds == [ConvExpert, RecurrentExpert]


def test_it_overfits_32_digits():
    digits = load_digits().train
    images, labels = digits.inputs[:32], digits.labels[:32]
    model = build_image_moe((8, 8, 1), 10, dropout=0.0)
    model.compile(
        keras.optimizers.Adam(3e-3),
        "sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    model.fit(images, labels, epochs=100, verbose=0)
    assert model.evaluate(images, labels, verbose=0)[1] == 1.0


@pytest.mark.parametrize("fusion", ["probabilities", "features"])
def test_the_output_is_a_distribution(fusion):
    model = build_image_moe((12, 9, 3), 4, fusion=fusion)
    images = np.random.default_rng(0).integers(0, 256, (5, 12, 9, 3))
    output = model.predict(images.astype("uint8"), verbose=0)
    assert output.shape == (5, 4)
    assert (output >= 0).all()
    np.testing.assert_allclose(output.sum(axis=1), 1, atol=1e-5)


def test_the_output_is_the_mixture_of_the_experts_distributions():
    model = build_image_moe((8, 8, 1), 3)
    images = np.random.default_rng(0).normal(size=(4, 8, 8, 1))
    mixture = mixture_of(model)
    stem = keras.Model(model.inputs[0], mixture.input)
    maps = stem(images.astype("float32"))
    with record_gates() as record:
        output = keras.ops.convert_to_numpy(model(images.astype("float32")))
    (gates,) = map(keras.ops.convert_to_numpy, record.values())
    experts = np.concatenate(
        [keras.ops.convert_to_numpy(bank(maps)) for bank in mixture.experts], 1
    )
    for row in range(4):
        expected = sum(
            gates[row, e] * experts[row, e] for e in range(gates.shape[1])
        )
        np.testing.assert_allclose(output[row], expected, atol=1e-6)


def test_the_range_of_the_pixels_does_not_matter():
    model = build_image_moe((8, 8, 1), 10)
    images = np.random.default_rng(0).uniform(size=(4, 8, 8, 1))
    plain = model.predict(images, verbose=0)
    scaled = model.predict(255 * images + 3, verbose=0)
    np.testing.assert_allclose(plain, scaled, atol=1e-4)


def test_augmentation_acts_in_training_only():
    images = np.random.default_rng(0).uniform(size=(8, 8, 8, 1))
    still = build_image_moe((8, 8, 1), 10, dropout=0.0)
    moved = build_image_moe((8, 8, 1), 10, dropout=0.0, augmentation=0.2)
    moved.set_weights(
        still.get_weights()
        if len(still.get_weights()) == len(moved.get_weights())
        else [
            *still.get_weights(),
            *moved.get_weights()[len(still.get_weights()) :],
        ]
    )
    inference = moved(images, training=False)
    np.testing.assert_allclose(still(images), inference, atol=1e-6)
    assert np.abs(moved(images, training=True) - inference).max() > 1e-4


def test_the_arguments_reach_the_experts():
    model = build_image_moe(
        (16, 16, 1),
        5,
        experts={"conv": 3, "recurrent": 2},
        top_k=4,
        fusion="features",
        expert_filters=(6, 7),
        recurrent_units=9,
        feature_units=11,
        dropout=0.1,
        dispatch="dense",
        name="other",
    )
    mixture = mixture_of(model)
    conv, recurrent = mixture.experts
    assert (conv.num_experts, recurrent.num_experts) == (3, 2)
    assert conv.filters == (6, 7)
    assert recurrent.units == 9
    assert conv.output_units == recurrent.output_units == 11
    assert conv.dropout == recurrent.dropout == 0.1
    assert mixture.gate.top_k == 4
    assert mixture.dispatch == "dense"
    assert model.name == "other"


def test_a_gate_can_be_given():
    gate = GatingLayer(2, temperature=5.0)
    model = build_image_moe((8, 8, 1), 10, gate=gate)
    assert mixture_of(model).gate is gate


def test_uniform_gates_average_the_experts():
    model = build_image_moe((8, 8, 1), 3, experts={"conv": 2}, gate="uniform")
    mixture = mixture_of(model)
    images = np.random.default_rng(0).normal(size=(4, 8, 8, 1))
    stem = keras.Model(model.inputs[0], mixture.input)
    (bank,) = mixture.experts
    expected = keras.ops.convert_to_numpy(bank(stem(images))).mean(axis=1)
    np.testing.assert_allclose(model(images), expected, atol=1e-6)


def test_no_expert_of_the_default_is_left_out():
    digits = load_digits().train
    model = build_image_moe((8, 8, 1), 10)
    model.compile(
        keras.optimizers.Adam(2e-3), "sparse_categorical_crossentropy"
    )
    model.fit(digits.inputs, digits.labels, batch_size=64, epochs=3, verbose=0)
    with record_gates() as record:
        model(digits.inputs[:512])
    (gates,) = map(keras.ops.convert_to_numpy, record.values())
    assert (gates.mean(axis=0) > 1 / (4 * gates.shape[1])).all()


def test_mixed_precision_ends_in_float32():
    keras.config.set_dtype_policy("mixed_bfloat16")
    model = build_image_moe((8, 8, 1), 10)
    output = model(np.zeros((2, 8, 8, 1), "float32"))
    assert keras.backend.standardize_dtype(output.dtype) == "float32"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"input_shape": (28, 28)}, r"`input_shape` must be \(H, W, C\)"),
        (
            {"input_shape": (7, 28, 1)},
            "at least 8 and C in .* Received: input_shape=",
        ),
        ({"num_classes": 1}, "Received: num_classes=1"),
        ({"experts": {}}, "`experts` must map kinds"),
        ({"experts": {"tree": 1}}, "`experts` must name kinds among"),
        ({"fusion": "sum"}, "Received: fusion='sum'"),
        ({"top_k": 1}, '`top_k=1` needs fusion="features"'),
        ({"augmentation": 0.5}, r"`augmentation` must be in \[0, 0.5\)"),
        ({"top_k": 3}, "Received: top_k=3, num_experts=2"),
        ({"gate": "soft"}, "a layer over maps.* Received: gate='soft'"),
        (
            {"gate": "uniform", "top_k": 2},
            "must be None with a `gate`.* Received: top_k=2, gate='uniform'",
        ),
        (
            {"gate": GatingLayer(2), "top_k": 2},
            "must be None with a `gate`.* Received: top_k=2, gate=<Gat",
        ),
    ],
)
def test_bad_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        build_image_moe(**arguments)
