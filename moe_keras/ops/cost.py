"""What a model computes: multiply-adds per example, layer by layer.

Counted are the products of matrix multiplies and convolutions, at the declared
input shape; element-wise work, normalisation and lookups count 0; a weighted
sum of n rows of width w counts n*w. `active` counts the experts that a row
reaches, `total` all of them; gate and fusion are always in both.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras

from moe_keras.errors import require


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
            f"{name:<{width}} {cost.active:>14,.0f} active {cost.total:>14,} total"
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
            declare None somewhere. Defaults to the declared shape.
        expert_load: for each mixture, by its name, how many of its rows reach
            each expert: `(E,)` means in [0, 1] whose sum is K. Without it, an
            even load is assumed, which changes `active` only where experts of
            different cost share one sparse gate.

    Returns:
        `ModelCost`: `.total`, `.active` and `.layers`; prints as a table.

    Raises:
        ValueError: for a layer with weights that no rule covers, and for an
            unknown size in a shape that matters.
    """
    counter = _Counter(expert_load or {})
    shape = None if input_shape is None else (None, *input_shape)
    return ModelCost(counter.count_model(model, shape))


class _Counter:
    """Walks the graph of a model; see `count_multiply_adds`."""

    def __init__(self, expert_load: Mapping[str, Sequence[float]]) -> None:
        self._expert_load = expert_load

    def count_model(self, model: Any, input_shape: Any = None) -> dict[str, Cost]:
        costs: dict[str, Cost] = {}
        for node in _calls(model, input_shape):
            layer = node.operation
            shapes = [tuple(tensor.shape) for tensor in node.input_tensors]
            if isinstance(layer, keras.Model):
                inner = self.count_model(layer, shapes[0])
                found = {f"{layer.name}/{name}": cost for name, cost in inner.items()}
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
        experts = getattr(gate, "num_experts", None)
        return None if experts is None else [gate.choices / experts] * experts


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
        model_cost = count_multiply_adds(layer, input_shape=shapes[0][1:])
        return Cost(model_cost.total, model_cost.active)
    for rule_class, rule in RULES.items():
        if isinstance(layer, rule_class):
            output = layer.compute_output_shape(*shapes)
            count = rule(layer, shapes, output)
            return Cost(count, count)
    require(
        not getattr(layer, "weights", None) or isinstance(layer, FREE),
        "count_multiply_adds",
        "no rule for this kind of layer.",
        layer=layer,
    )
    return Cost(0, 0)


def _calls(model: Any, input_shape: Any) -> list[Any]:
    """The graph's nodes, from the inputs to the outputs."""
    if isinstance(model, keras.Sequential) and model.built:
        model = model._functional
    require(
        hasattr(model, "_nodes_by_depth"),
        "count_multiply_adds",
        "`model` must be functional or sequential, and built.",
        model=model,
    )
    if input_shape is not None and tuple(input_shape) != tuple(model.inputs[0].shape):
        # The same layers along a second graph, at the wanted shape.
        inputs = keras.Input(tuple(input_shape)[1:], dtype=model.inputs[0].dtype)
        model = keras.models.clone_model(
            model, input_tensors=inputs, clone_function=lambda layer: layer
        )
    depths = sorted(model._nodes_by_depth, reverse=True)
    nodes = (node for depth in depths for node in model._nodes_by_depth[depth])
    return [node for node in nodes if not node.is_input]


def _gate_behind(node: Any) -> Any:
    """The gating layer whose gates are this call's last tensor, if it is one."""
    operation = node.input_tensors[-1]._keras_history.operation
    return operation if hasattr(operation, "choices") else None


def size_of(shape: Sequence[int | None]) -> int:
    """Product of the sizes of a shape without its batch axis, all known."""
    require(
        None not in shape,
        "count_multiply_adds",
        "a size must be known; give `input_shape`.",
        shape=tuple(shape),
    )
    return math.prod(shape)  # type: ignore[arg-type]


def _spatial(layer: Any, shape: Any) -> int:
    first = layer.data_format == "channels_first"
    return size_of(shape[2:] if first else shape[1:-1])


def _dense(layer: Any, shapes: Any, output: Any) -> int:
    return size_of(shapes[0][1:]) * int(layer.units)


def _einsum_dense(layer: Any, shapes: Any, output: Any) -> int:
    # Each output value sums over the kernel axes that it does not have.
    inputs, kernel = layer.equation.split("->")[0].split(",")
    result = layer.equation.split("->")[1]
    summed = [
        size
        for letter, size in zip(kernel, layer.kernel.shape, strict=True)
        if letter not in result
    ]
    return size_of(output[1:]) * math.prod(summed)


def _conv(layer: Any, shapes: Any, output: Any) -> int:
    return _spatial(layer, output) * math.prod(layer.kernel.shape)


def _conv_transpose(layer: Any, shapes: Any, output: Any) -> int:
    return _spatial(layer, shapes[0]) * math.prod(layer.kernel.shape)


def _separable(layer: Any, shapes: Any, output: Any) -> int:
    size = math.prod(layer.depthwise_kernel.shape) + math.prod(layer.pointwise_kernel.shape)
    return _spatial(layer, output) * size


def _recurrent(layer: Any, shapes: Any, output: Any) -> int:
    cell = layer.cell
    size = math.prod(cell.kernel.shape) + math.prod(cell.recurrent_kernel.shape)
    return size_of(shapes[0][1:2]) * size


def _bidirectional(layer: Any, shapes: Any, output: Any) -> int:
    ways = (layer.forward_layer, layer.backward_layer)
    return sum(_recurrent(way, shapes, output) for way in ways)


def _attention(layer: Any, shapes: Any, output: Any) -> int:
    queries = size_of(shapes[0][1:-1])
    keys = size_of(shapes[1][1:-1] if len(shapes) > 1 else shapes[0][1:-1])
    parts = (
        (layer.query_dense, queries),
        (layer.key_dense, keys),
        (layer.value_dense, keys),
        (layer.output_dense, queries),
    )
    projections = sum(rows * math.prod(part.kernel.shape) for part, rows in parts)
    widths = layer.key_dim + (layer.value_dim or layer.key_dim)
    return projections + queries * keys * layer.num_heads * widths


_layers = keras.layers

# First match wins, so a subclass stands before its parent.
RULES: dict[Any, Any] = {
    (_layers.SeparableConv1D, _layers.SeparableConv2D): _separable,
    (_layers.Conv1DTranspose, _layers.Conv2DTranspose, _layers.Conv3DTranspose): _conv_transpose,
    (_layers.Conv1D, _layers.Conv2D, _layers.Conv3D): _conv,
    (_layers.DepthwiseConv1D, _layers.DepthwiseConv2D): _conv,
    _layers.Dense: _dense,
    _layers.EinsumDense: _einsum_dense,
    (_layers.GRU, _layers.LSTM, _layers.SimpleRNN): _recurrent,
    _layers.Bidirectional: _bidirectional,
    _layers.MultiHeadAttention: _attention,
}

# Layers with weights, or seeds, whose work is element-wise or a lookup.
FREE = (
    _layers.BatchNormalization,
    _layers.LayerNormalization,
    _layers.GroupNormalization,
    _layers.RMSNormalization,
    _layers.UnitNormalization,
    _layers.Normalization,
    _layers.Embedding,
    _layers.PReLU,
    _layers.Dropout,
    _layers.SpatialDropout1D,
    _layers.SpatialDropout2D,
    _layers.GaussianNoise,
    _layers.RandomFlip,
    _layers.RandomTranslation,
    _layers.RandomRotation,
    _layers.RandomZoom,
)
