"""Names for a model's weights that are the same in every process.

A weight's own path will not do: Keras numbers layers without a name of their
own as they come, so that it depends on what else the process has built, and a
model that is made from its configuration builds its inner layers by themselves,
so that their paths lack what is around them.
"""

import re
from collections.abc import Iterator
from typing import Any

import keras

_NUMBER = re.compile(r"(_\d+)+$")


def name_weights(model: keras.Model) -> dict[str, Any]:
    """The model's weights by stable names, such as `moe/experts/kernel`.

    A name has the layers from the outside in, and the weight's own name. Below
    the model's own layers, whose names are part of its configuration, numbers
    at the end of a layer's name are given anew, in the order of the layers.

    The optimizer's state, the metrics' and the seeds of random layers are none
    of a model's weights; the running means of a mixture's routing are.

    Args:
        model: `keras.Model`, built.

    Returns:
        Variables by name, each once.
    """
    named: dict[str, Any] = {}
    seen: set[int] = set()
    for parts, weight in _walk(model, ()):
        if id(weight) in seen:
            continue  # of a layer that is used in two places
        seen.add(id(weight))
        name = base = "/".join(parts)
        copies = 1
        while name in named:
            copies += 1
            name = f"{base}~{copies}"
        named[name] = weight
    return named


def _walk(
    layer: Any, path: tuple[str, ...]
) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Each weight in a layer, with the names of the layers around it."""
    inner = _inner_layers(layer)
    below = {id(weight) for one in inner for weight in one.weights}
    for weight in layer.weights:
        if id(weight) not in below:
            yield (*path, weight.name), weight
    names: list[str] = [one.name for one in inner]
    if path:
        names = _renumber(names)
    for name, one in zip(names, inner, strict=True):
        yield from _walk(one, (*path, name))


def _inner_layers(layer: Any) -> list[Any]:
    if isinstance(layer, keras.Model):
        # A sequential model holds its layers twice.
        return list(layer.layers)
    return list(layer._flatten_layers(include_self=False, recursive=False))


def _renumber(names: list[str]) -> list[str]:
    """Numbers at the end given anew: gru, gru_1, gru_2, ..."""
    bases = [_NUMBER.sub("", name) for name in names]
    counts = [bases[:place].count(base) for place, base in enumerate(bases)]
    return [
        f"{base}_{count}" if count else base
        for base, count in zip(bases, counts, strict=True)
    ]
