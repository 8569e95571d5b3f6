"""The graph of a model, and the calls of layers in it."""

from typing import Any

import keras

from moe_keras.errors import require


def graph_of(model: Any, owner: str) -> keras.Model:
    """A functional model of the same graph, not compiled.

    Cloning a compiled model would serialize how it is compiled, and a
    sequential one has no inputs of its own.

    Args:
        model: functional or sequential, built.
        owner: whom to name in errors.
    """
    found = model
    if isinstance(model, keras.Sequential) and model.built:
        found = model._functional
    require(
        hasattr(found, "_nodes_by_depth"),
        owner,
        "`model` must be functional or sequential, and built.",
        model=model,
    )
    return keras.Model(found.input, found.output, name=model.name)


def calls_of(graph: keras.Model, kind: type) -> list[Any]:
    """The nodes of a functional model in which a layer of a kind is called."""
    return [
        node
        for nodes in graph._nodes_by_depth.values()
        for node in nodes
        if isinstance(node.operation, kind)
    ]
