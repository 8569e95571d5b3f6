"""AugmentedExperts: the inner bank in inference, own draws in training."""

import keras
import numpy as np
import pytest

from moe_keras.layers import (
    AugmentedExperts,
    ConvExpert,
    DenseExpert,
    ModelExpert,
)
from moe_keras.zoo import build_image_moe, dense_twin
from tests.tools import BACKEND, assert_close, draw, numpy_of, random_gates

IMAGES = draw(6, 8, 8, 2)


def pair(**kwargs):
    """A bank of two experts with equal weights, and the bank around it."""
    inner = ConvExpert((4,), 2, pooling="flatten")
    bank = AugmentedExperts(inner, seed=3, **kwargs)
    bank(IMAGES)
    for weight in inner.weights:
        value = numpy_of(weight)
        # Experts are the first axis of a kernel, the first half of a vector.
        weight.assign(np.repeat(value[:1], 2, axis=0))
    return bank, inner


def test_in_inference_it_is_the_inner_bank():
    bank, inner = pair(shift=0.5, turn=0.5, flip=True)
    assert_close(bank(IMAGES), numpy_of(inner(IMAGES)))
    gates = random_gates((6, 2))
    assert_close(bank(IMAGES, gates), numpy_of(inner(IMAGES, gates)))


def test_in_training_every_expert_sees_a_copy_of_its_own():
    bank, inner = pair(shift=0.5)
    outputs = numpy_of(bank(IMAGES, training=True))
    plain = numpy_of(inner(IMAGES))
    assert_close(plain[:, 0], plain[:, 1])
    for row in range(len(IMAGES)):
        assert np.abs(outputs[row, 0] - outputs[row, 1]).max() > 1e-3
        assert np.abs(outputs[row, 0] - plain[row, 0]).max() > 1e-3


@pytest.mark.parametrize("dispatch", ["auto", "dense"])
def test_rows_that_are_not_chosen_are_cleared_in_training(dispatch):
    bank, _ = pair(shift=0.5)
    gates = random_gates((6, 2))
    gates[:, 1] = 0
    gates[0, 0] = 0
    gates[1:, 0] = 1
    outputs = numpy_of(bank(IMAGES, gates, dispatch=dispatch, training=True))
    assert not outputs[:, 1].any()
    assert not outputs[0].any()
    assert (np.abs(outputs[1:, 0]).sum(axis=-1) > 0).all()


def test_a_flip_is_the_image_or_its_mirror():
    inner = ConvExpert((2,), 1, pooling="flatten", kernel_size=1)
    bank = AugmentedExperts(inner, shift=0.0, flip=True, seed=0)
    bank(IMAGES)
    outputs = numpy_of(bank(IMAGES, training=True))
    as_is, mirrored = (
        numpy_of(inner(images)) for images in (IMAGES, IMAGES[:, :, ::-1])
    )
    kinds = set()
    for row in range(len(IMAGES)):
        near = [
            np.abs(outputs[row] - other[row]).max() < 1e-5
            for other in (as_is, mirrored)
        ]
        assert sum(near) == 1
        kinds.add(near.index(True))
    assert kinds == {0, 1}


def test_an_image_model_learns_with_it_and_its_twin_has_it_too():
    model = build_image_moe(
        (8, 8, 1), 3, experts={"conv": 2}, expert_augmentation=0.2
    )
    (moe,) = [layer for layer in model.layers if layer.name == "moe"]
    assert [type(bank) for bank in moe.experts] == [AugmentedExperts]
    plain = build_image_moe((8, 8, 1), 3, experts={"conv": 2})
    assert model.count_params() == plain.count_params()
    model.compile("adam", "sparse_categorical_crossentropy")
    history = model.fit(
        draw(12, 8, 8, 1), np.arange(12) % 3, epochs=2, verbose=0
    ).history["loss"]
    assert np.isfinite(history).all()
    twin = dense_twin(model)
    inner = [
        layer
        for layer in twin._flatten_layers()
        if isinstance(layer, AugmentedExperts)
    ]
    assert inner[0].shift == 0.2
    assert inner[0].num_experts == 1


@pytest.mark.jax
@pytest.mark.skipif(BACKEND != "jax", reason="Keras' layers rule jit out")
def test_steps_compiled_by_jax_draw_anew():
    import jax

    seen = []

    @keras.saving.register_keras_serializable("tests")
    class Tell(keras.layers.Layer):
        def call(self, inputs):
            jax.debug.callback(lambda x: seen.append(np.asarray(x)), inputs)
            return inputs

    inner = ModelExpert(
        keras.Sequential([keras.Input((8, 8, 2)), Tell()]), 1, name="inner"
    )
    inputs = keras.Input((8, 8, 2))
    bank = AugmentedExperts(inner, shift=0.4, turn=0.4, flip=True, seed=1)
    outputs = keras.layers.Dense(1)(keras.layers.Flatten()(bank(inputs)))
    model = keras.Model(inputs, outputs)
    model.compile("sgd", "mse", jit_compile=True)
    assert model.jit_compile
    images, labels = IMAGES, np.zeros((len(IMAGES), 1))
    seen.clear()
    for _ in range(2):
        model.train_on_batch(images, labels)
    jax.effects_barrier()
    first, second = seen[-2:]
    assert np.abs(first - images).max() > 1e-3
    assert np.abs(first - second).max() > 1e-3


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"experts": 3}, "`experts` must be a bank, such as ConvExpert(32, "
         "num_experts=4); a model"),
        ({"shift": 1.5}, "`shift` must be in [0, 1]. Received: shift=1.5"),
        ({"turn": -0.1}, "`turn` must be in [0, 1]. Received: turn=-0.1"),
    ],
)  # fmt: skip
def test_errors_name_the_argument(kwargs, message):
    given = {"experts": DenseExpert(2), **kwargs}
    with pytest.raises(ValueError, match=r"^AugmentedExperts: ") as error:
        AugmentedExperts(**given)
    assert message in str(error.value)


def test_inputs_must_be_images():
    bank = AugmentedExperts(DenseExpert(2))
    with pytest.raises(ValueError, match=r"`inputs` must be \(B, H, W, C\)"):
        bank(keras.ops.ones((2, 5)))
