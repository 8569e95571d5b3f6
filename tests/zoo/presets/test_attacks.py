"""What a description of a model tries to run: each ends before it has run.

A package that is installed beside ours has registered a class and functions
with Keras, and writes down whenever one of them is made or called.
"""

import json

import keras
import pytest
from keras.src.backend.common import global_state

from moe_keras.zoo import load_preset
from moe_keras.zoo.presets.architecture import (
    pack_architecture,
    unpack_architecture,
)
from tests.zoo.presets.tiny import forge, tiny_model

RULE = r"may hold layers of Keras and of moe_keras only.*'m\.json'"
OURS = "moe_keras>WeightedFusion"
ran = []


@keras.saving.register_keras_serializable(package="evil")
class Canary(keras.layers.Layer):
    def __init__(self, command="", **kwargs):
        super().__init__(**kwargs)
        ran.append(command or "made")

    def call(self, inputs):
        return inputs


@keras.saving.register_keras_serializable(package="evil")
class Part:
    """Poses as an initializer, a regularizer or a constraint."""

    def __init__(self, command=""):
        ran.append(command or "made")

    def __call__(self, *args, **kwargs):
        return 0.0

    def get_config(self):
        return {}

    @classmethod
    def from_config(cls, config):
        return cls(**config)


@keras.saving.register_keras_serializable(package="evil")
def run(*args, **kwargs):
    ran.append("run")
    return args[0] if args else Canary()


@pytest.fixture(scope="module")
def plain():
    return pack_architecture(tiny_model(), "test")


@pytest.fixture(autouse=True)
def forget():
    ran.clear()


def unpack(config):
    return unpack_architecture(json.dumps(config).encode(), "m.json", "test")


def layer_of(config, name="last_relu"):
    (found,) = (
        one for one in config["config"]["layers"] if one["name"] == name
    )
    return found


def keras_object(class_name, module="keras.layers", /, **config):
    return {
        "module": module,
        "class_name": class_name,
        "config": config,
        "registered_name": None,
    }


def legacy(class_name, /, **config):
    """Without a module, with a name that passes for one of ours."""
    return {"class_name": class_name, "config": config, "registered_name": OURS}


def in_the_place_of_a_layer(new):
    def change(config):
        old = layer_of(config)
        kept = {key: old[key] for key in ("name", "inbound_nodes")}
        old.clear()
        old.update({**new, **kept})
        if isinstance(new["config"], dict):
            old["config"] = {"name": kept["name"], **new["config"]}

    return change


def with_setting(name, value, layer="logits"):
    def change(config):
        layer_of(config, layer)["config"][name] = value

    return change


def as_sequential(layers):
    """A sequential model in the place of the layer."""
    return in_the_place_of_a_layer(
        keras_object(
            "Sequential", "keras", layers=layers, build_input_shape=[None, 4]
        )
    )


def with_arguments(**changes):
    """Other arguments of the layer's call."""

    def change(config):
        layer_of(config)["inbound_nodes"][0].update(changes)

    return change


def with_legacy_node(config):
    node = layer_of(config)["inbound_nodes"]
    (tensor,) = node[0]["args"]
    history = tensor["config"]["keras_history"]
    node[0] = [[*history, {"mask": "evil>run"}]]


ACTIVATION = {"name": "last_relu", "activation": "evil>run"}
FUNCTION = {
    "module": "builtins",
    "class_name": "function",
    "config": "evil>run",
    "registered_name": "evil>run",
}
LAMBDA = {
    "class_name": "__lambda__",
    "config": {"value": ["4wEAAAA=", None, None]},
}
DENSE = keras_object("Dense", units=4)
INPUT = keras_object("InputLayer", batch_shape=[None, 4])
# Each is one road of Keras' to a class or function of the file's choice.
ATTACKS = {
    # The old rules look at `class_name`, and at texts, for functions.
    "a class by the old rules": in_the_place_of_a_layer(
        legacy("evil>Canary", command="rm")
    ),
    "a function with arguments by the old rules": in_the_place_of_a_layer(
        legacy("evil>run", command="rm")
    ),
    "a function's name by the old rules": in_the_place_of_a_layer(
        legacy("Activation", activation="evil>run")
    ),
    "the old rules, no name": in_the_place_of_a_layer(
        {"class_name": "Activation", "config": dict(ACTIVATION)}
    ),
    "the old rules in a sequential model": as_sequential(
        [INPUT, legacy("evil>Canary", command="rm")]
    ),
    "the old rules, two models deep": as_sequential(
        [
            INPUT,
            keras_object(
                "Sequential",
                "keras",
                name="inner",
                layers=[INPUT, legacy("evil>Canary")],
            ),
        ]
    ),
    "the old rules below a wrapper": in_the_place_of_a_layer(
        keras_object("TimeDistributed", layer=legacy("evil>Canary"))
    ),
    "the old rules for a value": in_the_place_of_a_layer(
        {"class_name": "__numpy__", "config": {"value": [1], "dtype": "int8"}}
    ),
    "passive, below the old rules": in_the_place_of_a_layer(
        legacy(
            "Activation",
            activation={
                "class_name": "evil>run",
                "config": {},
                "registered_name": OURS,
                "__passive_serialization__": True,
            },
        )
    ),
    "a layer that is a text": as_sequential([INPUT, "evil>Canary"]),
    "a layer that is a text with a module in it": as_sequential(
        [INPUT, "module evil>run"]
    ),
    "a layer without a class": as_sequential([INPUT, {"config": {}}]),
    # The rules of today.
    "a class only": in_the_place_of_a_layer(
        {"class_name": "evil>Canary", "config": {}}
    ),
    "no registered name, so the class's": in_the_place_of_a_layer(
        {"module": "keras.layers", "class_name": "evil>Canary", "config": {}}
    ),
    "a module that is none": in_the_place_of_a_layer(
        {**legacy("evil>Canary"), "module": None}
    ),
    "a module of theirs": in_the_place_of_a_layer(
        {
            "module": __name__,
            "class_name": "Canary",
            "config": {},
            "registered_name": "evil>Canary",
        }
    ),
    "a registered name that lies": in_the_place_of_a_layer(
        {**keras_object("ReLU"), "registered_name": "evil>Canary"}
    ),
    "our name for another class": in_the_place_of_a_layer(
        {**keras_object("ReLU"), "registered_name": OURS}
    ),
    "our name for a lambda": with_setting(
        "activation", {**LAMBDA, **{"module": "x", "registered_name": OURS}}
    ),
    "our name for a type": with_setting(
        "activation",
        {
            "class_name": "__typespec__",
            "spec_name": "Canary",
            "module": "x",
            "config": [],
            "registered_name": OURS,
        },
    ),
    "a lambda": with_setting("activation", LAMBDA),
    "a lambda, as an argument": with_arguments(kwargs={"mask": LAMBDA}),
    "a tensor": with_setting(
        "kernel_initializer",
        {"class_name": "__tensor__", "config": {"value": 0, "dtype": "int8"}},
    ),
    "bytes": with_arguments(
        kwargs={
            "mask": {"class_name": "__bytes__", "config": {"value": "/etc"}}
        }
    ),
    "__class__": in_the_place_of_a_layer(keras_object("__class__")),
    "a value with a module": in_the_place_of_a_layer(
        keras_object("__numpy__", value=[1], dtype="int8")
    ),
    # Texts that Keras looks up among what is registered.
    "an activation": with_setting("activation", "evil>run"),
    "an activation, as a function": with_setting("activation", FUNCTION),
    "an activation, by the end of its name": with_setting(
        "activation", {**FUNCTION, "config": "run", "registered_name": "run"}
    ),
    "an activation that is an object": with_setting(
        "activation", legacy("evil>Part")
    ),
    "a tool for an activation": with_setting(
        "activation",
        {
            "module": "keras.activations",
            "class_name": "function",
            "config": "deserialize",
            "registered_name": None,
        },
    ),
    "an initializer": with_setting("kernel_initializer", "evil>Part"),
    "an initializer of a part": with_setting(
        "kernel_initializer",
        {**keras_object("Zeros", "keras.initializers"), "class_name": "Part"}
        | {"registered_name": "evil>Part"},
    ),
    "a regularizer": with_setting("kernel_regularizer", "evil>Part"),
    "a constraint": with_setting("kernel_constraint", "evil>Part"),
    "a setting deep inside": in_the_place_of_a_layer(
        keras_object(
            "TimeDistributed",
            layer=keras_object("Dense", units=4, bias_initializer="evil>Part"),
        )
    ),
    "a scale": in_the_place_of_a_layer(
        keras_object("Rescaling", scale="evil>run")
    ),
    "a scale in lists": in_the_place_of_a_layer(
        keras_object("Rescaling", scale=[["evil>run"]])
    ),
    "an argument of a call": with_arguments(kwargs={"mask": "evil>run"}),
    "arguments in lists and mappings": with_arguments(
        kwargs={"mask": [{"any": ["evil>run"]}]}
    ),
    "an old argument of a call": with_legacy_node,
    "what is built": lambda config: config.update(
        build_config={"input_shape": legacy("evil>Canary")}
    ),
    "what is compiled": lambda config: config.update(
        compile_config={"optimizer": "adam", "loss": "evil>run"}
    ),
    "an optimizer": lambda config: config.update(
        compile_config={"optimizer": legacy("evil>Part")}
    ),
    "a shared one": in_the_place_of_a_layer(
        {**legacy("evil>Canary"), "shared_object_id": 1}
    ),
    "a policy": with_setting("dtype", legacy("evil>Part")),
    "a quantizer": with_setting(
        "quantization_config",
        keras_object("Int8QuantizationConfig", "keras.quantizers"),
    ),
}


@pytest.mark.parametrize("change", ATTACKS.values(), ids=ATTACKS)
@pytest.mark.parametrize("unsafe", [False, True], ids=["safe", "unsafe"])
def test_nothing_of_the_files_choice_is_made_or_run(change, unsafe, plain):
    config = json.loads(plain)
    change(config)
    # The process may have switched safe mode off, for a file of its own.
    global_state.set_global_attribute(
        "safe_mode_saving", False if unsafe else None
    )
    try:
        with pytest.raises(ValueError, match=RULE):
            unpack(config)
    finally:
        global_state.set_global_attribute("safe_mode_saving", None)
    assert not ran


def test_a_name_that_a_scope_has_taken_is_refused(plain):
    # Keras would take theirs for its own.
    config = json.loads(plain)
    with_setting("activation", "relu")(config)
    rule = r"registered.*text='relu', registered='tests\.zoo"
    with keras.saving.custom_object_scope({"relu": run}):
        with pytest.raises(ValueError, match=rule):
            unpack(config)
    assert not ran
    assert unpack(config).get_layer("logits").activation is (
        keras.activations.relu
    )


@pytest.mark.parametrize("levels", [250, 3000])
def test_what_is_too_deep_is_refused(levels, plain):
    config = json.loads(plain)
    text = '{"a":' * levels + "1" + "}" * levels
    layer_of(config)["inbound_nodes"][0]["kwargs"] = {"mask": "HERE"}
    content = json.dumps(config).replace('"HERE"', text).encode()
    with pytest.raises(ValueError, match=r"must be a JSON file|cannot build"):
        unpack_architecture(content, "m.json", "test")


def test_a_preset_of_an_attacker_is_not_loaded(zoo):
    folder = zoo[0] / "image" / "toy_moe"
    config = json.loads((folder / "model.json").read_bytes())
    change = in_the_place_of_a_layer(legacy("evil>Canary", command="rm"))
    change(config)
    forge(folder, "model.json", json.dumps(config).encode())
    with pytest.raises(ValueError, match=r"moe_keras only.*model\.json"):
        load_preset(folder)
    assert not ran
