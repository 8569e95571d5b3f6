"""What the description of a model may name: known classes only, no code.

Keras' safe mode refuses lambdas, unless the process has switched it off. It
still makes objects of any class and takes any function that is registered, also
by a name that stands as a plain text somewhere, imports modules of other Keras
packages that a file names, reads old files by other rules, and has layers that
load programs by themselves. So a file is read here first: every object in it
must be of one of our classes or of Keras' own layers and their parts, and be
written so that Keras finds that class, and no other.
"""

from collections.abc import Iterator
from typing import Any

import keras

from moe_keras.errors import require

PACKAGE = "moe_keras"
_PARTS = (
    keras.layers.Layer,
    keras.constraints.Constraint,
    keras.initializers.Initializer,
    keras.regularizers.Regularizer,
)
# What a description of a model may take from where; None for every part.
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
_REFUSED = (
    keras.layers.FlaxLayer,
    keras.layers.JaxLayer,
    keras.layers.Lambda,
    keras.layers.TFSMLayer,
    keras.layers.TorchModuleWrapper,
)
# The module of activations also has these, which are none.
_TOOLS = {"deserialize", "get", "serialize"}
# Values, not objects.
_VALUES = {"__keras_tensor__", "__numpy__", "__slice__", "__ellipsis__"}
_ADVICE = "a preset may hold layers of Keras and of moe_keras only."


def check_names(config: Any, owner: str, **received: Any) -> None:
    """Refuse what Keras would make of anything but known layers and parts.

    Args:
        config: of JSON.
        owner: whom to name in errors.
        **received: what else to name.

    Raises:
        ValueError: for the first object, layer or text that is refused.
    """
    for part in mappings_in(config):
        if "class_name" in part:
            require(
                _is_allowed(part),
                owner,
                _ADVICE,
                **received,
                class_name=part["class_name"],
                module=part.get("module"),
                registered_name=part.get("registered_name"),
            )
        _check_layers(part.get("layers"), owner, **received)
        require(
            not isinstance(part.get("vocabulary"), str),
            owner,
            "a vocabulary must be a list, not a file.",
            **received,
            vocabulary=part.get("vocabulary"),
        )
    for text in _texts_in(config):
        # Keras takes the object for the text, wherever it expects an object.
        found = keras.saving.get_registered_object(text)
        require(
            found is None or _is_ours(found),
            owner,
            f"{_ADVICE} A text is the name of an object that something else "
            "has registered.",
            **received,
            text=text,
            registered=getattr(found, "__module__", None),
        )


def mappings_in(config: Any) -> Iterator[dict[str, Any]]:
    """Every mapping in a configuration, from the outside in."""
    return (value for value in _walk(config) if isinstance(value, dict))


def _texts_in(config: Any) -> set[str]:
    return {value for value in _walk(config) if isinstance(value, str)}


def _walk(config: Any) -> Iterator[Any]:
    waiting = [config]
    while waiting:
        value = waiting.pop()
        yield value
        if isinstance(value, dict):
            waiting.extend(value.values())
        elif isinstance(value, list | tuple):
            waiting.extend(value)


def _check_layers(layers: Any, owner: str, **received: Any) -> None:
    """Refuse a model's layers that Keras would read by its old rules.

    It does where `module` is missing, and looks for other names then.
    """
    for layer in layers if isinstance(layers, list) else ():
        # Of a layer of ours, `layers` may be something else.
        written = isinstance(layer, dict) and "module" in layer
        require(
            written or isinstance(layer, int | float),
            owner,
            f"{_ADVICE} Each must name its `module`.",
            **received,
            layer=layer if isinstance(layer, str) else _shown(layer),
        )


def _shown(layer: Any) -> Any:
    return layer.get("name") if isinstance(layer, dict) else type(layer)


def _is_allowed(part: dict[str, Any]) -> bool:
    name, module = part["class_name"], part.get("module")
    registered = part.get("registered_name")
    if not isinstance(name, str):
        return False
    if name in _VALUES:
        # With a module, it could pass for a layer.
        return module is None and registered is None
    if not isinstance(module, str) or not isinstance(registered, str | None):
        return False
    if name == "function":
        return _is_activation(module, registered, part.get("config"))
    if registered is not None and registered.startswith(f"{PACKAGE}>"):
        known = keras.saving.get_registered_object(registered)
        # Keras has classes of its own for names such as `__lambda__`.
        return _is_ours(known) and name == known.__name__
    # Keras looks for the registered name first.
    if registered not in (None, name):
        return False
    return _is_keras(module, name)


def _is_ours(found: Any) -> bool:
    return isinstance(found, type) and found.__module__.startswith(
        f"{PACKAGE}."
    )


def _is_activation(module: str, registered: str | None, name: Any) -> bool:
    return module in ("builtins", "keras.activations") and (
        isinstance(name, str)
        and registered in (None, name)
        and not name.startswith("_")
        and name not in _TOOLS
        and hasattr(keras.activations, name)
    )


def _is_keras(module: str, name: str) -> bool:
    if module not in _ALLOWED:
        return False
    classes = _ALLOWED[module]
    if classes is not None:
        return name in classes
    place = getattr(keras, module.removeprefix("keras."))
    # The same modules hold functions, and every module has a class.
    found = vars(place).get(name)
    return (
        isinstance(found, type)
        and issubclass(found, _PARTS)
        and not issubclass(found, _REFUSED)
    )
