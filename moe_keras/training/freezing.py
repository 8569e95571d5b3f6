"""Which parts of a model a stage trains, by the flags of layers and weights."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import keras

from moe_keras.errors import require
from moe_keras.layers import MixtureOfExperts

# The parts of mixtures, and all that is outside of them.
PARTS = ("experts", "gate", "fusion", "shared", "head")


class Freezer:
    """Sets and restores `trainable` in every layer of a model.

    A layer that several parts hold is trained when all of them are. What is
    frozen before stays frozen: a stage takes away, and gives nothing.

    Args:
        model: built `keras.Model`.
    """

    def __init__(self, model: keras.Model) -> None:
        self._model = model
        # In this order, as a layer hands its flag on to those inside.
        self._layers = _walk(model)
        self._flags = [layer.trainable for layer in self._layers]
        self._weights = {
            id(weight): (weight, weight.trainable)
            for layer in self._layers
            for weight in layer._trainable_variables
        }
        self._parts = _parts_of(self._layers)

    def check(self, names: Sequence[str], owner: str) -> None:
        """Refuse names of neither a part nor a layer."""
        layers = {layer.name for layer in self._layers}
        unknown = [
            name for name in names if name not in {*PARTS, "all", *layers}
        ]
        require(
            not unknown,
            owner,
            f"`train` must name parts, of {(*PARTS, 'all')}, or layers of the "
            "model.",
            unknown=unknown,
        )

    @contextmanager
    def only(self, names: Sequence[str]) -> Iterator[None]:
        """Inside, all but these parts and layers are frozen.

        Args:
            names: of `PARTS`, `"all"`, or of layers, each with all inside it.
        """
        try:
            self._freeze(names)
            yield
        finally:
            self._restore()

    def _freeze(self, names: Sequence[str]) -> None:
        named = {
            id(inner)
            for layer in self._layers
            if layer.name in names
            for inner in _walk(layer)
        }
        wanted = {
            id(layer)
            for layer in self._layers
            if "all" in names
            or id(layer) in named
            or self._parts[id(layer)] <= set(names)
        }
        for layer, flag in zip(self._layers, self._flags, strict=True):
            # One that is frozen would hide what is trained inside it.
            inside = any(id(inner) in wanted for inner in _walk(layer))
            layer.trainable = flag and inside
        for layer in self._layers:
            for weight in layer._trainable_variables:
                before = self._weights[id(weight)][1]
                weight.trainable = before and id(layer) in wanted

    def _restore(self) -> None:
        for layer, flag in zip(self._layers, self._flags, strict=True):
            layer.trainable = flag
        for weight, flag in self._weights.values():
            weight.trainable = flag


def _walk(layer: keras.layers.Layer) -> list[Any]:
    """A layer and all inside it, each once, and before what is inside it."""
    found: list[Any] = []
    seen: set[int] = set()

    def visit(one: Any) -> None:
        if id(one) not in seen:
            seen.add(id(one))
            for inner in one._layers:
                visit(inner)
            found.append(one)

    visit(layer)
    return found[::-1]


def _parts_of(layers: list[Any]) -> dict[int, set[str]]:
    """The parts that each layer belongs to."""
    parts: dict[int, set[str]] = {id(layer): set() for layer in layers}
    for mixture in layers:
        if isinstance(mixture, MixtureOfExperts):
            for part, roots in _roots(mixture).items():
                for root in roots:
                    for layer in _walk(root):
                        parts[id(layer)].add(part)
    for found in parts.values():
        if not found:
            found.add("head")
    return parts


def _roots(mixture: MixtureOfExperts) -> dict[str, list[Any]]:
    shared = [] if mixture.shared is None else [mixture.shared]
    return {
        "experts": list(mixture.experts),
        "gate": [mixture.gate],
        "fusion": [mixture.fusion],
        "shared": shared,
    }
