"""Arguments that a built layer keeps: a compiled model goes on with the old."""

import functools
import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras

from moe_keras.errors import require


class FixedArguments:
    """What a layer was made with stays, once it is built.

    `model.compile` bakes a layer's arguments into the functions that `fit` and
    `predict` run, and weights have the shapes that the arguments asked for. A
    later `gate.top_k = 4` would be there to read and would do nothing. Keras'
    own arguments, such as `trainable`, may change as ever.

    To stand before `keras.layers.Layer` among the bases.
    """

    # Arguments that may change all the same.
    changeable: frozenset[str] = frozenset()

    def __setattr__(self, name: str, value: Any) -> None:
        owner = type(self)
        if getattr(self, "built", False) and name in arguments_of(owner):
            require(
                name in self.changeable or _is_same(getattr(self, name), value),
                owner.__name__,
                f"`{name}` is fixed once the layer is built: a compiled model "
                "would go on with the old one. Make another layer, "
                f"`{owner.__name__}.from_config(layer.get_config() | "
                f"{{'{name}': ...}})`, and give it the weights.",
                **{name: value},
            )
        super().__setattr__(name, value)


@contextmanager
def changed(layer: Any, **arguments: Any) -> Iterator[None]:
    """Inside, a built layer has these arguments.

    What was compiled before or inside is the caller's to forget.
    """
    before = {name: getattr(layer, name) for name in arguments}
    try:
        for name, value in arguments.items():
            object.__setattr__(layer, name, value)
        yield
    finally:
        for name, value in before.items():
            object.__setattr__(layer, name, value)


@functools.cache
def arguments_of(layer_class: type) -> frozenset[str]:
    """The arguments of a layer's class and its bases, but Keras' own."""
    own = [
        base
        for base in layer_class.__mro__
        if "__init__" in vars(base) and not issubclass(keras.layers.Layer, base)
    ]
    names = {
        parameter.name
        for base in own
        for parameter in inspect.signature(base.__init__).parameters.values()
        if parameter.kind is not inspect.Parameter.VAR_KEYWORD
    }
    return frozenset(names - set(_keras_arguments()))


@functools.cache
def _keras_arguments() -> frozenset[str]:
    return frozenset(inspect.signature(keras.layers.Layer.__init__).parameters)


def _is_same(old: Any, new: Any) -> bool:
    plain = (bool, int, float, str)
    if type(old) is type(new) and isinstance(old, plain):
        return bool(old == new)
    return old is new
