"""`build_image_moe(weights=...)`: the preset's body, and what may differ."""

import numpy as np
import pytest

from moe_keras.zoo import build_image_moe, from_preset, save_preset
from moe_keras.zoo.presets import packaged
from moe_keras.zoo.presets.weight_names import name_weights
from tests.tools import draw, numpy_of
from tests.zoo.presets.tiny import ARGUMENTS, BUILDER, METADATA, save_tiny

IMAGES = draw(4, 8, 8, 1)


@pytest.fixture
def zoo(tmp_path, monkeypatch):
    save_tiny(tmp_path / "image" / "toy_moe")
    monkeypatch.setattr(packaged, "zoo_root", lambda: tmp_path)
    return tmp_path


def predict(model):
    return numpy_of(model(IMAGES, training=False))


def values_of(model):
    return {name: numpy_of(w) for name, w in name_weights(model).items()}


@pytest.mark.parametrize("weights", ["toy", "toy_moe", "image/toy_moe"])
def test_the_model_is_the_presets(zoo, weights):
    model = build_image_moe(weights=weights)
    expected = predict(from_preset("image/toy_moe"))
    found = predict(model)
    np.testing.assert_array_equal(found, expected)
    assert model.name == "image_moe"
    assert not model.compiled


def test_arguments_that_agree_may_be_given(zoo):
    options = {k: v for k, v in ARGUMENTS.items() if k != "widths"}
    model = build_image_moe(
        weights=str(zoo / "image" / "toy_moe"),
        widths=(4,),
        expansion=1.0,  # the default
        name="mine",
        **options,
    )
    expected = predict(from_preset("image/toy_moe"))
    np.testing.assert_array_equal(predict(model), expected)
    assert model.name == "mine"


def test_what_acts_in_training_only_is_free(zoo):
    model = build_image_moe(
        weights="toy",
        augmentation=0.1,
        flip=True,
        dropout=0.5,
        balance_loss=0.0,
        dispatch="dense",
    )
    assert model.get_layer("head_dropout").rate == 0.5
    assert model.get_layer("turn")
    assert model.get_layer("moe_0_0").dispatch == "dense"
    expected = predict(from_preset("image/toy_moe"))
    found = predict(model)
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "given", "preset"),
    [
        ({"variant": "vit"}, "'variant': 'vit'", "'variant': 'conv'"),
        ({"input_shape": (9, 8, 1)}, "(9, 8, 1)", "'input_shape': [8, 8, 1]"),
        ({"top_k": 1}, "{'top_k': 1}", "{'top_k': 2}"),
        ({"kernel_size": 5}, "{'kernel_size': 5}", "{'kernel_size': 3}"),
        (
            {"experts": 4, "widths": [4, 4]},
            "{'experts': 4, 'widths': [4, 4]}",
            "{'experts': 3, 'widths': [4]}",
        ),
    ],
)
def test_arguments_that_contradict_it_are_named(zoo, arguments, given, preset):
    with pytest.raises(ValueError, match="must agree with the preset") as error:
        build_image_moe(weights="toy", **arguments)
    assert given in str(error.value).split("preset=")[0]
    assert preset in str(error.value).split("preset=")[1]


def test_an_option_of_another_variant_is_refused_as_ever(zoo):
    with pytest.raises(ValueError, match=r"has the options.*patch_size"):
        build_image_moe(weights="toy", patch_size=2)


def test_the_order_of_the_experts_counts(zoo):
    arguments = {"input_shape": [8, 8, 1], "num_classes": 3}
    arguments["experts"] = {"conv": 1, "recurrent": 1}
    model = build_image_moe(**arguments)
    builder = {"name": "image", "arguments": arguments}
    folder = zoo / "image" / "two_kinds"
    save_preset(model, folder, {**METADATA, "builder": builder})
    build_image_moe(weights="two_kinds")
    with pytest.raises(ValueError, match="must agree with the preset"):
        build_image_moe(
            weights="two_kinds", experts={"recurrent": 1, "conv": 1}
        )


# 4 is also the width of the features.
@pytest.mark.parametrize("num_classes", [2, 4, 7])
def test_another_number_of_classes_gets_a_new_head(zoo, num_classes):
    preset = values_of(from_preset("image/toy_moe"))
    model = build_image_moe(weights="toy", num_classes=num_classes)
    assert model.output_shape == (None, num_classes)
    values = values_of(model)
    assert set(values) == set(preset)
    for name, value in values.items():
        if name.startswith("logits/"):
            assert value.shape[-1] == num_classes
        else:
            np.testing.assert_array_equal(value, preset[name])
    # The preset's bias was zero, as a new one is; its kernel was not.
    kernel = values["logits/kernel"]
    assert 0 < np.std(kernel) < 2 < np.std(preset["logits/kernel"])


def test_experts_that_end_in_classes_get_new_ends(zoo):
    arguments = {"input_shape": [8, 8, 1], "num_classes": 3}
    model = build_image_moe(**arguments)
    builder = {"name": "image", "arguments": arguments}
    folder = zoo / "image" / "fused"
    save_preset(model, folder, {**METADATA, "builder": builder})
    preset = values_of(from_preset(folder))
    values = values_of(build_image_moe(weights="fused", num_classes=5))
    new = {name for name in values if values[name].shape != preset[name].shape}
    assert new == {
        f"moe/{kind}_experts/output_{part}"
        for kind in ("conv", "recurrent")
        for part in ("kernel", "bias")
    }
    for name in set(values) - new:
        np.testing.assert_array_equal(values[name], preset[name])


def test_a_name_that_is_not_in_the_zoo_is_refused(zoo):
    with pytest.raises(
        ValueError, match=r"build_image_moe: .*has toy_moe;.*weights='cifar10'"
    ):
        build_image_moe(weights="cifar10")


@pytest.mark.parametrize("builder", [None, {**BUILDER, "name": "risk"}])
def test_a_preset_of_another_builder_is_refused(zoo, builder):
    folder = zoo / "image" / "other"
    save_tiny(folder, builder=builder)
    with pytest.raises(ValueError, match="that this function can build"):
        build_image_moe(weights="other")
    from_preset("image/other")


def test_a_preset_that_tells_a_lie_about_its_builder_is_refused(zoo):
    builder = {"name": "image", "arguments": {**ARGUMENTS, "widths": [5]}}
    save_tiny(zoo / "image" / "liar", builder=builder)
    with pytest.raises(ValueError, match="must have the shape of its weight"):
        build_image_moe(weights="liar")
