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


def find_layer(
    graph: keras.Model,
    kinds: tuple[type, ...],
    wanted: Any,
    owner: str,
    once: bool = True,
) -> Any:
    """The one layer of some kinds that is called in a model's own graph.

    Args:
        graph: functional.
        kinds: classes.
        wanted: the layer, its name, or None where there is only one.
        owner: whom to name in errors.
        once: whether it may be called only once.

    Raises:
        ValueError: where there is none, or several, or several calls.
    """
    calls = [node.operation for kind in kinds for node in calls_of(graph, kind)]
    layers = calls if once else list({id(one): one for one in calls}.values())
    found = [
        layer
        for layer in layers
        if wanted is None or wanted is layer or wanted == layer.name
    ]
    names = " or ".join(kind.__name__ for kind in kinds)
    require(
        len(found) == 1,
        owner,
        f"`mixture` must be one {names} of the model's own graph"
        f"{', called once' if once else ''}; by its name where there are "
        "several.",
        mixture=getattr(wanted, "name", wanted),
        calls=[layer.name for layer in layers],
    )
    return found[0]


def calls_of(graph: keras.Model, kind: type) -> list[Any]:
    """The nodes of a functional model in which a layer of a kind is called."""
    return [
        node
        for nodes in graph._nodes_by_depth.values()
        for node in nodes
        if isinstance(node.operation, kind)
    ]
