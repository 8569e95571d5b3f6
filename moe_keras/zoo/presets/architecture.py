"""A model's architecture as JSON, and back: known classes only, no code.

Keras' safe mode refuses lambdas. It still makes objects of any class that is
registered, imports modules of other Keras packages that a file names, and has
layers that load programs by themselves. So a file is read here first, and every
class in it must be one of ours or of Keras' own layers and their parts.
"""

import json
from collections.abc import Iterator
from typing import Any

import keras

# Ours are known to Keras once they are imported.
from moe_keras.errors import require

PACKAGE = "moe_keras"
# What a description of a model may take from where; None for every class.
_ALLOWED: dict[str, set[str] | None] = {
    "keras": {"DTypePolicy", "Functional", "Model", "Sequential"},
    "keras.constraints": None,
    "keras.initializers": None,
    "keras.layers": None,
    "keras.models": {"Functional", "Model", "Sequential"},
    "keras.random": {"SeedGenerator"},
    "keras.regularizers": None,
    "keras.src.models.functional": {"Functional"},
    "keras.src.models.sequential": {"Sequential"},
    # The mask of an `Embedding` whose input another layer makes.
    "keras.src.ops.numpy": {"NotEqual"},
}
# They run what a file names: Python, a SavedModel, a pickle.
_REFUSED = {"Lambda", "TFSMLayer", "TorchModuleWrapper", "JaxLayer"}
_REFUSED |= {"FlaxLayer"}
# Values, not objects.
_VALUES = {"__keras_tensor__", "__numpy__", "__slice__", "__ellipsis__"}
_ADVICE = "a preset may hold layers of Keras and of moe_keras only."


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
    _check(json.loads(text), owner, model=model.name)
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
        _check(config, owner, file=file)
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
    except (TypeError, ValueError, KeyError, AttributeError) as error:
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
        for part in _parts(config):
            part.pop("trainable", None)
    return bool(configs[0] == configs[1])


def _forget_training(config: Any) -> None:
    """Drop how models, also those inside, were compiled."""
    for part in _parts(config):
        part.pop("compile_config", None)


def _check(config: Any, owner: str, **received: Any) -> None:
    """Refuse every object that is not a known layer or a part of one."""
    for part in _parts(config):
        if "class_name" not in part:
            continue
        name, module = part["class_name"], part.get("module")
        require(
            _is_allowed(part),
            owner,
            _ADVICE,
            **received,
            class_name=name,
            module=module,
            registered_name=part.get("registered_name"),
        )
        inner = part.get("config")
        if isinstance(inner, dict):
            require(
                not isinstance(inner.get("vocabulary"), str),
                owner,
                "a vocabulary must be a list, not a file.",
                **received,
                vocabulary=inner.get("vocabulary"),
            )


def _is_allowed(part: dict[str, Any]) -> bool:
    name, module = part["class_name"], part.get("module")
    registered = part.get("registered_name")
    inner = part.get("config")
    if not all(
        isinstance(value, str | None) for value in (name, module, registered)
    ):
        return False
    if name in _VALUES:
        return True
    if name == "function":
        return module in ("builtins", "keras.activations") and (
            isinstance(inner, str)
            and registered in (None, inner)
            and not inner.startswith("_")
            and hasattr(keras.activations, inner)
        )
    if registered is not None and registered.startswith(f"{PACKAGE}>"):
        known = keras.saving.get_registered_object(registered)
        return getattr(known, "__module__", "").startswith(f"{PACKAGE}.")
    if module not in _ALLOWED or name in _REFUSED:
        return False
    # Keras looks for the registered name first.
    if registered not in (None, name):
        return False
    classes = _ALLOWED[module]
    if classes is not None:
        return name in classes
    # The same modules hold functions.
    found = getattr(getattr(keras, module.removeprefix("keras.")), name, None)
    return isinstance(found, type)


def _parts(config: Any) -> Iterator[dict[str, Any]]:
    """Every mapping in a configuration, from the outside in."""
    waiting = [config]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            yield value
            waiting.extend(value.values())
        elif isinstance(value, list | tuple):
            waiting.extend(value)
