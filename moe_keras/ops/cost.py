"""What a model computes: multiply-adds per example, layer by layer.

Counted are the products of matrix multiplies and convolutions, at the declared
input shape; element-wise work, normalisation and lookups count 0; a weighted
sum of n rows of width w counts n*w. `active` counts the experts that a row
reaches, `total` all of them; gate and fusion are always in both.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras

from moe_keras.errors import require
from moe_keras.ops.cost_rules import FREE, RULES
from moe_keras.ops.model_inputs import copy_inputs


@dataclass(frozen=True)
class Cost:
    """Multiply-adds per example.

    Attributes:
        total: int, all experts.
        active: float, the experts that a row reaches, on average.
    """

    total: int
    active: float

    def __add__(self, other: "Cost") -> "Cost":
        return Cost(self.total + other.total, self.active + other.active)


@dataclass(frozen=True)
class ModelCost:
    """Multiply-adds per example of a model.

    Attributes:
        layers: the cost of each layer that has one, by the layer's name.
    """

    layers: Mapping[str, Cost]

    @property
    def total(self) -> int:
        return sum(cost.total for cost in self.layers.values())

    @property
    def active(self) -> float:
        return sum(cost.active for cost in self.layers.values())

    def __str__(self) -> str:
        rows = [*self.layers.items(), ("sum", Cost(self.total, self.active))]
        width = max(len(name) for name, _ in rows)
        return "\n".join(
            f"{name:<{width}} {cost.active:>14,.0f} active"
            f" {cost.total:>14,} total"
            for name, cost in rows
        )


def count_multiply_adds(
    model: keras.Model,
    input_shape: Sequence[int] | None = None,
    expert_load: Mapping[str, Sequence[float]] | None = None,
) -> ModelCost:
    """Count the multiply-adds of one example through a model.

    Args:
        model: functional or sequential `keras.Model`, built.
        input_shape: shape of one example, without the batch, for models that
            declare None somewhere. Defaults to the declared shape. Texts count
            with the `max_length` of their `WordIds`.
        expert_load: for each mixture, by its name, how many of its rows reach
            each expert: `(E,)` means in [0, 1]. Without it, an even load is
            assumed, whose sum is K: what is known of a gate with `top_k`, the
            most that a row can have under `top_p`, and the capacity factor of
            expert choice. It matters under `top_p`, and where experts of
            different cost share one sparse gate.

    Returns:
        `ModelCost`: `.total`, `.active` and `.layers`; prints as a table.

    Raises:
        ValueError: for a layer with weights that no rule covers, and for an
            unknown size in a shape that matters.
    """
    require(
        input_shape is None or hasattr(input_shape, "__iter__"),
        "count_multiply_adds",
        "`input_shape` must be the shape of one example, such as (28, 28, 1), "
        "or None.",
        input_shape=input_shape,
    )
    require(
        expert_load is None or isinstance(expert_load, Mapping),
        "count_multiply_adds",
        "`expert_load` must be a dict: by the mixture's name, the share of its "
        "rows that each expert gets.",
        expert_load=expert_load,
    )
    counter = _Counter(expert_load or {})
    shapes = None if input_shape is None else [(None, *input_shape)]
    return ModelCost(counter.count_model(model, shapes))


class _Counter:
    """Walks the graph of a model; see `count_multiply_adds`."""

    def __init__(self, expert_load: Mapping[str, Sequence[float]]) -> None:
        self._expert_load = expert_load

    def count_model(
        self, model: Any, input_shapes: Any = None
    ) -> dict[str, Cost]:
        costs: dict[str, Cost] = {}
        for node in _calls(model, input_shapes):
            layer = node.operation
            shapes = [tuple(tensor.shape) for tensor in node.input_tensors]
            if isinstance(layer, keras.Model):
                inner = self.count_model(layer, shapes)
                found = {
                    f"{layer.name}/{name}": cost for name, cost in inner.items()
                }
            else:
                gate = getattr(layer, "gate", None) or _gate_behind(node)
                load = self._load_of(layer, gate)
                found = {layer.name: count_layer(layer, shapes, load)}
            for name, cost in found.items():
                if cost.total:
                    costs[name] = costs.get(name, Cost(0, 0)) + cost
        return costs

    def _load_of(self, layer: Any, gate: Any) -> Sequence[float] | None:
        """How many of the rows reach each expert, None where all do."""
        if gate is None:
            return None
        for name in (layer.name, gate.name):
            if name in self._expert_load:
                return self._expert_load[name]
        if hasattr(gate, "assumed_load"):
            load: Sequence[float] = gate.assumed_load
            return load
        # A gate of the user's own, which need not say how many it chooses.
        experts = getattr(gate, "num_experts", None)
        if experts is None or not hasattr(gate, "choices"):
            return None
        return [gate.choices / experts] * experts


def count_layer(
    layer: Any, shapes: Sequence[Any], load: Sequence[float] | None = None
) -> Cost:
    """Multiply-adds of one call of one layer.

    Args:
        layer: a built Keras layer; one with a method `count_cost(shapes, load)`
            says it itself.
        shapes: the shapes of its input tensors, batch axis included.
        load: `(E,)` share of the rows that reach each expert; None for all.

    Raises:
        ValueError: for a layer with weights that no rule covers.
    """
    if hasattr(layer, "count_cost"):
        cost: Cost = layer.count_cost(shapes, load)
        return cost
    if isinstance(layer, keras.Model):
        model_cost = ModelCost(_Counter({}).count_model(layer, shapes))
        return Cost(model_cost.total, model_cost.active)
    if isinstance(layer, keras.layers.MultiHeadAttention):
        # Behind query and value there may be masks.
        shapes = shapes[:2]
    for rule_class, rule in RULES.items():
        if isinstance(layer, rule_class):
            output = layer.compute_output_shape(*shapes)
            count = rule(layer, shapes, output)
            return Cost(count, count)
    require(
        not getattr(layer, "weights", None) or isinstance(layer, FREE),
        "count_multiply_adds",
        "no rule for this kind of layer: give its class a method "
        "`count_cost(shapes, load=None)` that returns a "
        "moe_keras.ops.cost.Cost.",
        layer=layer,
    )
    return Cost(0, 0)


def shapes_of_calls(model: Any) -> dict[str, list[Any]]:
    """By the name of each layer of a graph, the shapes of its input tensors.

    Sequences whose length is open have the length that is declared.

    Args:
        model: functional or sequential `keras.Model`, built.
    """
    return {
        node.operation.name: [tuple(t.shape) for t in node.input_tensors]
        for node in _calls(model, None)
    }


def _calls(model: Any, input_shapes: Any) -> list[Any]:
    """The graph's nodes, from the inputs to the outputs."""
    if isinstance(model, keras.Sequential) and model.built:
        model = model._functional
    require(
        hasattr(model, "_nodes_by_depth"),
        "count_multiply_adds",
        "`model` must be functional or sequential, and built.",
        model=model,
    )
    declared = [tuple(tensor.shape) for tensor in model.inputs]
    shapes = declared if input_shapes is None else list(input_shapes)
    if shapes != declared or any(map(_declared_length, model.layers)):
        # The same layers along a second graph, at the wanted shapes.
        model = keras.models.clone_model(
            model,
            input_tensors=copy_inputs(model, shapes),
            clone_function=lambda layer: layer,
            call_function=_call_at_length,
        )
    depths = sorted(model._nodes_by_depth, reverse=True)
    nodes = (node for depth in depths for node in model._nodes_by_depth[depth])
    return [node for node in nodes if not node.is_input]


def _declared_length(layer: Any) -> int | None:
    """Of a layer that makes sequences of any length: the most positions."""
    length: int | None = getattr(layer, "declared_length", None)
    return length


def _call_at_length(layer: Any, *args: Any, **kwargs: Any) -> Any:
    outputs = layer(*args, **kwargs)
    length = _declared_length(layer)
    # Of symbols only: nothing is ever reshaped.
    return keras.layers.Reshape((length,))(outputs) if length else outputs


def _gate_behind(node: Any) -> Any:
    """The layer whose gates are this call's last tensor, if one gates."""
    operation = node.input_tensors[-1]._keras_history.operation
    return operation if hasattr(operation, "choices") else None
