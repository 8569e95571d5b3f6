"""The file of the architecture: known classes only, and never code."""

import json

import keras
import pytest

from moe_keras.zoo import build_image_moe
from moe_keras.zoo.presets.architecture import (
    pack_architecture,
    same_architecture,
    unpack_architecture,
)
from tests.zoo.presets.tiny import tiny_model

ran = []


@keras.saving.register_keras_serializable(package="somebody")
class Registered(keras.layers.Layer):
    """A layer of a user's own: its constructor could do anything."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        ran.append("Registered")

    def call(self, inputs):
        return inputs


class Unregistered(Registered):
    pass


@keras.saving.register_keras_serializable(package="somebody", name="fn")
def registered_function(x):
    return x


def unpack(config):
    return unpack_architecture(json.dumps(config).encode(), "m.json", "test")


def packed(model=None):
    return json.loads(pack_architecture(model or tiny_model(), "test"))


def with_layer(layer):
    """The tiny model, one of whose layers is replaced by this configuration."""
    config = packed()
    (old,) = (
        one for one in config["config"]["layers"] if one["name"] == "last_relu"
    )
    old |= layer
    if isinstance(layer["config"], dict):
        old["config"] = {**layer["config"], "name": old["name"]}
    if "module" not in layer:
        del old["module"], old["registered_name"]
    return config


def keras_layer(name, **config):
    return {
        "module": "keras.layers",
        "class_name": name,
        "config": config,
        "registered_name": None,
    }


@pytest.mark.parametrize(
    "options",
    [
        {"variant": "hetero", "top_k": 2, "experts": {"conv": 3}},
        {"variant": "conv", "augmentation": 0.1, "flip": True},
        {"variant": "vit", "width": 8, "depth": 2, "dtype": "bfloat16"},
        {"variant": "vit", "routing": "soft", "width": 8, "depth": 2},
    ],
)
def test_the_zoos_models_come_back(options):
    keras.config.set_dtype_policy(options.pop("dtype", "float32"))
    model = build_image_moe((8, 8, 1), 3, **options)
    keras.config.set_dtype_policy("float32")
    content = pack_architecture(model, "test")
    again = unpack_architecture(content, "m.json", "test")
    assert pack_architecture(again, "test") == content
    assert again.name == model.name
    for one, other in zip(model.weights, again.weights, strict=True):
        assert (one.name, one.shape, one.dtype) == (
            other.name,
            other.shape,
            other.dtype,
        )


def test_how_it_was_compiled_is_left_out():
    model = tiny_model()
    plain = pack_architecture(model, "test")
    model.compile("adam", "mse")
    assert pack_architecture(model, "test") == plain
    compiled = json.loads(plain) | {"compile_config": {"optimizer": "adam"}}
    assert not unpack(compiled).compiled


def test_another_width_is_another_architecture():
    one = pack_architecture(tiny_model(), "test")
    assert same_architecture(one, one)
    other = pack_architecture(tiny_model(widths=[5]), "test")
    assert not same_architecture(one, other)


LAMBDA = keras_layer("Lambda", function="()")
LAMBDA["config"]["function"] = {
    "class_name": "__lambda__",
    "config": {"value": ["4wEAAAA=", None, None]},
}
SOMEBODYS = {
    "module": "builtins",
    "class_name": "Registered",
    "config": {},
    "registered_name": "somebody>Registered",
}
EVIL = {
    "lambda": LAMBDA,
    "lambda by its place": LAMBDA
    | {"module": "keras.src.layers.core.lambda_layer"},
    "saved model": keras_layer("TFSMLayer", filepath="/somewhere"),
    "torch pickle": keras_layer("TorchModuleWrapper", module="gASV"),
    "registered by another": SOMEBODYS,
    "registered, posing as Keras'": keras_layer("ReLU")
    | {"registered_name": "somebody>Registered"},
    "registered, posing as ours": SOMEBODYS
    | {"registered_name": "moe_keras>NoSuchLayer"},
    "unregistered": {
        "module": __name__,
        "class_name": "Unregistered",
        "config": {},
        "registered_name": "Unregistered",
    },
    "a module of another package": {
        "module": "keras_hub.models",
        "class_name": "Backbone",
        "config": {},
        "registered_name": None,
    },
    "without a module": {"class_name": "Lambda", "config": {}},
    "a function that is no class": keras_layer("deserialize"),
    "a function of the system": keras_layer(
        "Activation",
        activation={
            "module": "os",
            "class_name": "function",
            "config": "system",
            "registered_name": "system",
        },
    ),
    "a tool of Keras": keras_layer(
        "Activation",
        activation={
            "module": "keras.utils",
            "class_name": "function",
            "config": "get_file",
            "registered_name": None,
        },
    ),
    "a registered function": keras_layer(
        "Activation",
        activation={
            "module": "builtins",
            "class_name": "function",
            "config": "somebody>fn",
            "registered_name": "somebody>fn",
        },
    ),
    "a name that is none": {"class_name": ["Lambda"], "config": {}},
}


@pytest.mark.parametrize("layer", EVIL.values(), ids=EVIL)
def test_what_could_run_is_refused_before_keras_sees_it(layer, monkeypatch):
    def fail(*args, **kwargs):
        raise AssertionError("Keras was asked")

    config = with_layer(json.loads(json.dumps(layer)))
    monkeypatch.setattr(keras.saving, "deserialize_keras_object", fail)
    ran.clear()
    rule = r"may hold layers of Keras and of moe_keras only.*'m\.json'"
    with pytest.raises(ValueError, match=rule):
        unpack(config)
    assert not ran


def test_the_harmless_one_of_that_kind_is_taken():
    model = unpack(with_layer(keras_layer("ELU", alpha=0.5)))
    assert model.get_layer("last_relu").alpha == 0.5


def test_a_file_of_words_is_not_read(tmp_path):
    words = tmp_path / "words.txt"
    words.write_text("secret\n")
    layer = keras_layer("StringLookup", vocabulary=str(words))
    with pytest.raises(ValueError, match=r"must be a list, not a file"):
        unpack(with_layer(layer))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\xff", "must be a JSON file"),
        (b"{", "must be a JSON file"),
        (b"[" * 100_000, "must be a JSON file"),
        (b"[]", "must be that of a model.*found='list'"),
        (b'"Lambda"', "must be that of a model.*found='str'"),
        (json.dumps(keras_layer("ReLU")).encode(), "found='ReLU'"),
        (
            json.dumps(keras_layer("Dense", units=-1)).encode(),
            "Keras cannot build",
        ),
    ],
)
def test_what_is_no_model_is_refused(content, message):
    with pytest.raises(ValueError, match=message):
        unpack_architecture(content, "m.json", "test")


def test_a_model_that_could_not_be_loaded_is_not_saved():
    inputs = keras.Input((4,))
    model = keras.Model(inputs, Registered(name="own")(inputs))
    with pytest.raises(ValueError, match="somebody>Registered"):
        pack_architecture(model, "test")


@pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="strings are TensorFlow's"
)
def test_a_learned_vocabulary_is_refused_and_a_given_one_is_kept():
    layer = keras.layers.StringLookup(name="words")
    layer.adapt([["a", "b"]])
    inputs = keras.Input((1,), dtype="string")
    with pytest.raises(ValueError, match=r"given to its constructor.*words"):
        pack_architecture(keras.Model(inputs, layer(inputs)), "test")
    layer = keras.layers.StringLookup(vocabulary=["b", "c"], name="words")
    model = unpack(packed(keras.Model(inputs, layer(inputs))))
    assert model.get_layer("words").get_vocabulary() == ["[UNK]", "b", "c"]
