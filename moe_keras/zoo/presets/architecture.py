"""A model's architecture as JSON, and back: known classes only, no code."""

import json
from typing import Any

import keras

from moe_keras.errors import require
from moe_keras.zoo.presets.allowed import check_names, mappings_in


def pack_architecture(model: keras.Model, owner: str) -> bytes:
    """The architecture of a model as the content of a JSON file.

    How it was compiled is left out.

    Args:
        model: `keras.Model`, built, functional or sequential.
        owner: whom to name in errors.

    Raises:
        ValueError: for layers that `unpack_architecture` would refuse, and for
            those whose vocabulary was learned: it is not in their
            configuration.
    """
    for layer in model._flatten_layers():
        require(
            not hasattr(layer, "save_assets")
            or layer.get_config().get("vocabulary") is not None,
            owner,
            "a layer's vocabulary must be given to its constructor.",
            layer=layer.name,
        )
    config = keras.saving.serialize_keras_object(model)
    _forget_training(config)
    text = json.dumps(config, indent=1)
    check_names(json.loads(text), owner, model=model.name)
    return (text + "\n").encode()


def unpack_architecture(content: bytes, file: str, owner: str) -> keras.Model:
    """The model that a JSON file describes, with new weights, not compiled.

    Args:
        content: of the file.
        file: whom to name in errors.
        owner: the same.

    Raises:
        ValueError: for a file that is no JSON file, names other classes or
            functions, or describes no model.
    """
    try:
        config = json.loads(content)
        check_names(config, owner, file=file)
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        require(
            False,
            owner,
            "the architecture must be a JSON file.",
            file=file,
            reason=str(error),
        )
    _forget_training(config)
    try:
        model = keras.saving.deserialize_keras_object(config, safe_mode=True)
    except Exception as error:  # of any kind: the file chose the values
        # Before its last line, Keras quotes the whole configuration.
        require(
            False,
            owner,
            "Keras cannot build the architecture.",
            file=file,
            reason=(str(error).splitlines() or [""])[-1][:300],
        )
    require(
        isinstance(model, keras.Model) and model.built,
        owner,
        "the architecture must be that of a model.",
        file=file,
        found=type(model).__name__,
    )
    return model


def same_architecture(one: bytes, other: bytes) -> bool:
    """Whether two contents describe the same model.

    Which layers are frozen is not compared: a sequential model inside another
    forgets it of itself, though not of its layers.
    """
    configs = [json.loads(one), json.loads(other)]
    for config in configs:
        for part in mappings_in(config):
            part.pop("trainable", None)
    return bool(configs[0] == configs[1])


def _forget_training(config: Any) -> None:
    """Drop how models, also those inside, were compiled."""
    for part in mappings_in(config):
        part.pop("compile_config", None)
