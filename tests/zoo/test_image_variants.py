"""The variants of the image builder: they learn, route and refuse nonsense."""

import keras
import numpy as np
import pytest

from moe_keras.data import load_digits
from moe_keras.layers import (
    DenseExpert,
    MixtureOfExperts,
    MoEFeedForward,
    SoftMoE,
    record_gates,
)
from moe_keras.ops.cost import count_multiply_adds
from moe_keras.zoo import build_image_moe, dense_twin

SMALL = {
    "conv": {"widths": (8, 12), "blocks": (1, 1), "stem_stride": 1},
    "separable": {
        "variant": "conv",
        "block": "separable",
        "level": "position",
        "widths": (12, 16),
        "blocks": (1, 1),
        "sparse_stages": 1,
        "stem_stride": 1,
    },
    "mixed": {
        "variant": "conv",
        "block": "mixed",
        "level": "position",
        "widths": (8, 12),
        "blocks": (1, 1),
        "sparse_stages": 1,
        "stem_stride": 1,
    },
    "vit": {"patch_size": 2, "width": 16, "depth": 2, "hidden_units": 32},
    "soft": {
        "variant": "vit",
        "routing": "soft",
        "patch_size": 2,
        "width": 16,
        "depth": 2,
        "hidden_units": 32,
        "experts": 4,
    },
    "backbone": {"experts": 2, "top_k": 1, "hidden_units": 16},
}

# Of each way to build one that is trained in the quick tests.
QUICK = ("conv", "vit", "backbone")


def backbone(shape=(8, 8, 1), maps=True):
    images = keras.Input(shape)
    x = keras.layers.Conv2D(6, 3, activation="relu")(images)
    x = keras.layers.BatchNormalization(momentum=0.8)(x)
    if not maps:
        x = keras.layers.Flatten()(x)
    return keras.Model(images, x, name="given")


def build(name, shape=(8, 8, 1), classes=10, **options):
    arguments = {"variant": name, **SMALL[name], **options}
    if arguments["variant"] == "backbone":
        arguments.setdefault("backbone", backbone(shape))
    return build_image_moe(shape, classes, **arguments)


def layers_of(model, kind):
    return [layer for layer in model.layers if isinstance(layer, kind)]


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[pytest.mark.slow] * (name not in QUICK))
        for name in SMALL
    ],
)
def test_it_learns_digits_and_survives_a_file(name, tmp_path):
    digits = load_digits().train
    images, labels = digits.inputs[:96], digits.labels[:96]
    keras.utils.set_random_seed(0)
    given = backbone()
    extra = {"trainable": True} if name == "backbone" else {}
    extra |= {"backbone": given} if name == "backbone" else {}
    model = build(name, **extra)
    model.compile(
        keras.optimizers.Adam(5e-3),
        "sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    model.fit(images, labels, batch_size=24, epochs=25, verbose=0)
    assert model.evaluate(images, labels, verbose=0)[1] > 0.5
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(
        model.predict(images, verbose=0),
        loaded.predict(images, verbose=0),
        atol=1e-6,
    )


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("shape", [(9, 12, 3), (17, 8, 1)])
def test_any_size_and_whole_numbers_give_distributions(name, shape):
    model = build(name, shape, 4)
    images = np.random.default_rng(0).integers(0, 256, (3, *shape))
    output = model.predict(images.astype("uint8"), verbose=0)
    assert output.shape == (3, 4)
    np.testing.assert_allclose(output.sum(axis=1), 1, atol=1e-5)


def test_conv_experts_stand_in_the_last_stages():
    model = build_image_moe(
        variant="conv",
        experts=3,
        widths=(8, 8, 12),
        blocks=(1, 2, 1),
        sparse_stages=2,
        expansion=0.5,
        kernel_size=5,
    )
    names = [layer.name for layer in layers_of(model, MixtureOfExperts)]
    assert names == ["moe_1_0", "moe_1_1", "moe_2_0"]
    (bank,) = model.get_layer("moe_2_0").experts
    assert (bank.num_experts, bank.filters) == (3, (6, 12))
    assert (bank.kernel_size, bank.linear_last) == (5, True)


def test_a_block_adds_its_experts_to_what_comes_in():
    model = build("conv", experts=3, top_k=2)
    mixture = model.get_layer("moe_1_0")
    add = model.get_layer("moe_1_0_add")
    inner = keras.Model(
        model.inputs[0], [add.input[0], mixture.input, add.output]
    )
    images = np.random.default_rng(0).normal(size=(4, 8, 8, 1))
    with record_gates() as record:
        before, branch, after = inner(images)
    gates = keras.ops.convert_to_numpy(record["moe_1_0_gate"])
    (bank,) = mixture.experts
    outputs = keras.ops.convert_to_numpy(bank(branch))
    expected = keras.ops.convert_to_numpy(before) + np.einsum(
        "be,behwc->bhwc", gates, outputs
    )
    np.testing.assert_allclose(after, expected, atol=1e-4)


def test_positions_have_gates_of_their_own():
    model = build("separable", experts=4)
    (mixture,) = layers_of(model, MixtureOfExperts)
    assert isinstance(mixture.experts[0], DenseExpert)
    with record_gates() as record:
        model(np.random.default_rng(0).normal(size=(2, 8, 8, 1)))
    (gates,) = record.values()
    assert tuple(gates.shape) == (2, 4, 4, 4)


def test_mixed_stages_have_dense_blocks_in_front_of_the_experts():
    model = build("mixed", expansion=2.0)
    names = [layer.name for layer in model.layers]
    assert names.index("block_1_0_add") < names.index("moe_1_0")
    assert "moe_0_0" not in names
    (bank,) = model.get_layer("moe_1_0").experts
    assert (bank.units, bank.hidden_units) == (12, 24)
    assert model.get_layer("block_1_0_in_conv").filters == 12
    assert model.get_layer("block_1_0_in_conv").kernel_size == (3, 3)


@pytest.mark.parametrize(
    ("every", "sparse"), [(1, [0, 1, 2]), (2, [0, 2]), (3, [2])]
)
def test_the_last_block_has_experts_and_every_nth_before(every, sparse):
    model = build("vit", depth=3, sparse_every=every)
    names = [layer.name for layer in layers_of(model, MoEFeedForward)]
    assert names == [f"top_k_{block}" for block in sparse]


def test_soft_slots_are_about_as_many_as_tokens():
    model = build("soft", experts=3)
    (layer,) = layers_of(model, SoftMoE)
    assert layer.slots_per_expert == 5  # 16 tokens over 3 experts


def test_a_frozen_backbone_keeps_weights_and_statistics():
    given = backbone()
    model = build("backbone", backbone=given)
    before = [np.array(weight) for weight in given.get_weights()]
    digits = load_digits().train
    model.compile("adam", "sparse_categorical_crossentropy")
    model.fit(digits.inputs[:64], digits.labels[:64], verbose=0)
    for old, new in zip(before, given.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_a_trainable_backbone_is_trained():
    given = backbone(maps=False)
    model = build("backbone", backbone=given, trainable=True)
    before = [np.array(weight) for weight in given.get_weights()]
    digits = load_digits().train
    model.compile("adam", "sparse_categorical_crossentropy")
    model.fit(digits.inputs[:64], digits.labels[:64], verbose=0)
    for old, new in zip(before, given.get_weights(), strict=True):
        assert np.abs(old - new).max() > 0


def test_grey_images_are_repeated_for_a_backbone_of_three_channels():
    given = backbone((8, 8, 3))
    model = build("backbone", backbone=given)
    images = np.random.default_rng(0).integers(0, 256, (2, 8, 8, 1))
    inner = keras.Model(model.inputs[0], model.get_layer("features").output)
    expected = given(np.repeat(images, 3, axis=-1)).numpy().mean(axis=(1, 2))
    np.testing.assert_allclose(inner(images), expected, rtol=1e-5)


@pytest.mark.parametrize(
    "name", ["conv", "separable", "mixed", "vit", "backbone"]
)
def test_the_active_twin_costs_the_same(name):
    model = build(name, (16, 16, 1))
    twin = dense_twin(model)
    wanted = count_multiply_adds(model).active
    assert count_multiply_adds(twin).active == pytest.approx(wanted, rel=0.02)
    assert twin.output_shape == model.output_shape


def test_mirrored_images_are_seen_in_training_only():
    model = build_image_moe((8, 8, 1), 3, flip=True, dropout=0.0)
    images = np.random.default_rng(0).normal(size=(8, 8, 8, 1))
    still = model(images, training=False)
    mirrored = model(images[:, :, ::-1], training=False)
    trained = np.asarray(model(images, training=True))
    distance = np.minimum(
        np.abs(trained - still).max(axis=1),
        np.abs(trained - mirrored).max(axis=1),
    )
    np.testing.assert_allclose(distance, 0, atol=1e-5)
    assert np.abs(trained - still).max() > 1e-4


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"variant": "gan"}, "Received: variant='gan'"),
        ({"input_shape": (8, 8, 2)}, r"C in \(1, 3\)"),
        ({"variant": "conv", "patch_size": 2}, "has the options experts, top"),
        ({"variant": "conv", "widths": (8,)}, "one integer above 0 for each"),
        ({"variant": "conv", "sparse_stages": 4}, "Received: sparse_stages=4"),
        ({"variant": "conv", "block": "dense"}, "Received: block='dense'"),
        (
            {"variant": "conv", "level": "position"},
            "where experts are of 1 x 1",
        ),
        ({"variant": "conv", "expansion": 0}, "`expansion` must be above 0"),
        ({"variant": "vit", "heads": 3}, "Received: width=64, heads=3"),
        ({"variant": "vit", "routing": "hard"}, "Received: routing='hard'"),
        ({"variant": "vit", "depth": 0}, "Received: depth=0"),
        ({"variant": "backbone"}, "needs `backbone`"),
        ({"variant": "backbone", "backbone": 3}, "Received: backbone=3"),
        (
            {"variant": "backbone", "backbone": backbone((9, 9, 1))},
            "must take the images that the model gets",
        ),
    ],
)
def test_bad_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        build_image_moe(**arguments)


def with_top(kind):
    features = backbone(maps=False)
    if kind == "features":
        return features
    dense, top = keras.layers.Dense(4), keras.layers.Softmax()
    if kind == "dense":
        dense, top = keras.layers.Dense(4, "softmax"), None
    if kind == "activation":
        top = keras.layers.Activation("softmax")
    if kind == "sequential":
        return keras.Sequential([keras.Input((8, 8, 1)), features, dense, top])
    x = dense(features.output)
    model = keras.Model(features.input, x if top is None else top(x))
    if kind == "nested":
        images = keras.Input((8, 8, 1))
        return keras.Model(images, model(images), name="outer")
    return model


@pytest.mark.parametrize(
    "kind", ["dense", "softmax", "activation", "sequential", "nested"]
)
def test_a_backbone_that_is_a_classifier_is_told_to_lose_its_top(kind):
    message = (
        r"^build_image_moe: `backbone` must return features, not the "
        r"probabilities .*include_top=False.*layers\[-2\].*backbone=.*, 4\)$"
    )
    with pytest.raises(ValueError, match=message):
        build("backbone", backbone=with_top(kind))


def test_a_backbone_without_its_top_is_taken():
    given = with_top("softmax")
    cut = keras.Model(given.input, given.layers[-2].output)
    for taken in (cut, with_top("features")):
        assert build("backbone", backbone=taken).output_shape == (None, 10)
