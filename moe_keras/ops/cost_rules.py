"""Multiply-adds of Keras' own layers, one rule for each kind.

A rule takes the layer, the shapes of its inputs and of its output, batch axes
included, and returns the multiply-adds of one example.
"""

import math
from collections.abc import Sequence
from typing import Any

import keras

from moe_keras.errors import require


def size_of(shape: Sequence[int | None]) -> int:
    """Product of the sizes of a shape without its batch axis, all known."""
    require(
        None not in shape,
        "count_multiply_adds",
        "a size must be known; give `input_shape`.",
        shape=tuple(shape),
    )
    return math.prod(shape)  # type: ignore[arg-type]


def _size(weight: Any) -> int:
    return math.prod(int(length) for length in weight.shape)


def _spatial(layer: Any, shape: Any) -> int:
    first = layer.data_format == "channels_first"
    return size_of(shape[2:] if first else shape[1:-1])


def _dense(layer: Any, shapes: Any, output: Any) -> int:
    return size_of(shapes[0][1:]) * int(layer.units)


def _einsum_dense(layer: Any, shapes: Any, output: Any) -> int:
    # Each input value meets every kernel axis that the input does not have.
    inputs, kernel = layer.equation.split("->")[0].split(",")
    added = [
        int(size)
        for letter, size in zip(kernel, layer.kernel.shape, strict=True)
        if letter not in inputs
    ]
    return size_of(shapes[0][1:]) * math.prod(added)


def _conv(layer: Any, shapes: Any, output: Any) -> int:
    return _spatial(layer, output) * _size(layer.kernel)


def _conv_transpose(layer: Any, shapes: Any, output: Any) -> int:
    return _spatial(layer, shapes[0]) * _size(layer.kernel)


def _separable(layer: Any, shapes: Any, output: Any) -> int:
    size = _size(layer.depthwise_kernel) + _size(layer.pointwise_kernel)
    return _spatial(layer, output) * size


def _recurrent(layer: Any, shapes: Any, output: Any) -> int:
    cell = layer.cell
    size = _size(cell.kernel) + _size(cell.recurrent_kernel)
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
    projections = sum(rows * _size(part.kernel) for part, rows in parts)
    widths = int(layer.key_dim + (layer.value_dim or layer.key_dim))
    return projections + queries * keys * int(layer.num_heads) * widths


_layers = keras.layers

# First match wins, so a subclass stands before its parent.
RULES: dict[Any, Any] = {
    (_layers.SeparableConv1D, _layers.SeparableConv2D): _separable,
    (
        _layers.Conv1DTranspose,
        _layers.Conv2DTranspose,
        _layers.Conv3DTranspose,
    ): _conv_transpose,
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
