"""Names of weights: the same in every process, and one for each weight."""

import keras
import pytest

from moe_keras.layers import DenseExpert, GatingLayer, MixtureOfExperts
from moe_keras.zoo import build_image_moe
from moe_keras.zoo.presets.weight_names import name_weights
from tests.zoo.presets.tiny import tiny_model


def test_a_name_is_the_way_to_the_weight():
    names = name_weights(tiny_model())
    assert "moe_0_0/moe_0_0_experts/kernel_1" in names
    assert "stem_norm/moving_variance" in names
    assert tuple(names["logits/kernel"].shape) == (4, 3)


def test_every_weight_has_one_name_and_seeds_have_none():
    model = build_image_moe((8, 8, 1), 3, augmentation=0.1)
    names = name_weights(model)
    assert {id(w) for w in names.values()} == {id(w) for w in model.weights}
    assert len(names) == len(model.weights)
    assert not any("seed" in name for name in names)


@pytest.mark.parametrize(
    "options",
    [
        {"variant": "hetero"},
        {"variant": "vit", "routing": "soft", "width": 8, "depth": 2},
        {"variant": "vit", "width": 8, "depth": 2},
    ],
)
def test_what_was_built_before_does_not_matter(options):
    first = build_image_moe((8, 8, 1), 3, **options)
    keras.layers.Dense(2)
    DenseExpert(2, 2)
    second = build_image_moe((8, 8, 1), 3, **options)
    config = keras.saving.serialize_keras_object(second)
    third = keras.saving.deserialize_keras_object(config)
    names = [list(name_weights(model)) for model in (first, second, third)]
    assert names[0] == names[1] == names[2]


def test_layers_of_one_name_inside_a_third_are_told_apart():
    inputs = keras.Input((4,))
    banks = [DenseExpert(3, 2, name="same") for _ in range(2)]
    gate = GatingLayer(4, top_k=2, name="gate")
    moe = MixtureOfExperts(banks, gate, name="moe")
    names = name_weights(keras.Model(inputs, moe(inputs)))
    assert {"moe/same/kernel", "moe/same_1/kernel"} <= set(names)
    kernels = [id(names[f"moe/{bank}/kernel"]) for bank in ("same", "same_1")]
    assert len(set(kernels)) == 2


def test_a_layer_used_twice_is_there_once():
    inputs = keras.Input((4,))
    layer = keras.layers.Dense(4, name="twice")
    model = keras.Model(inputs, layer(layer(inputs)))
    assert list(name_weights(model)) == ["twice/kernel", "twice/bias"]
