"""Convolutions of all experts in one call.

A bank of kernels `(E, S, S, C, F)`, or `(E, S, C, F)` for sequences, is the
kernel of one wide convolution: with C channels in where all experts read the
same maps, with E groups of C channels where each reads maps of its own, the
experts' channels side by side.
"""

import math
from typing import Any

import keras
from keras import ops

# Whether a convolution in groups is faster than one for each expert. On a CPU,
# the gradient of Keras' takes 40 times as long on TensorFlow, and 5 on JAX.
FAST_GROUPS = keras.backend.backend() == "torch"
# E*F up to which one wide convolution, with what follows it, is faster than E
# narrow ones. On TensorFlow, maps with more channels no longer fit the cache.
WIDEST = 64 if keras.backend.backend() == "tensorflow" else math.inf


def join_kernels(bank: Any) -> Any:
    """`(E, S, S, C, F) -> (S, S, C, E*F)`, the experts side by side.

    Args:
        bank: float `(E, S, S, C, F)`, or `(E, S, C, F)`.
    """
    experts, *one, filters = bank.shape
    joined = ops.moveaxis(bank, 0, -2)
    return ops.reshape(joined, (*one, experts * filters))


def conv_all(maps: Any, bank: Any) -> Any:
    """Every expert's convolution, "same" padding, stride 1.

    Args:
        maps: float `(N, H, W, C)`, which all experts read, or `(N, H, W, E*C)`,
            of which expert e reads the channels e*C..(e+1)*C-1; or sequences
            `(N, T, C)`.
        bank: float `(E, S, S, C, F)`, or `(E, S, C, F)`.

    Returns:
        float `(N, H, W, E*F)`, or `(N, T, E*F)`.
    """
    # Keras reads the number of groups, 1 or E, off the channels.
    return ops.conv(
        maps, join_kernels(bank), padding="same", data_format="channels_last"
    )


def split_experts(maps: Any, num_experts: int) -> Any:
    """`(N, H, W, E*F) -> (N, H, W, E, F)`.

    Args:
        maps: float `(N, H, W, E*F)`.
        num_experts: int, E.
    """
    leading, channels = ops.shape(maps)[:-1], maps.shape[-1]
    return ops.reshape(maps, (*leading, num_experts, channels // num_experts))


def join_experts(maps: Any) -> Any:
    """`(N, H, W, E, F) -> (N, H, W, E*F)`.

    Args:
        maps: float `(N, H, W, E, F)`.
    """
    leading, (experts, filters) = ops.shape(maps)[:-2], maps.shape[-2:]
    return ops.reshape(maps, (*leading, experts * filters))


def max_pool(maps: Any, size: int) -> Any:
    """Max pooling ("same") whose stride is its size; 1 leaves all as it is.

    Args:
        maps: float `(N, H, W, F)`.
        size: int > 0.
    """
    if size == 1:
        return maps
    side = (size, size)
    return ops.max_pool(
        maps, side, side, padding="same", data_format="channels_last"
    )


def pool_maps(maps: Any, pooling: str | None) -> Any:
    """The maps of one expert as a vector: `(N, H, W, F) -> (N, *R)`.

    Args:
        maps: float `(N, H, W, F)`.
        pooling: `"avg"`, `"max"`, `"flatten"`, or None for the maps themselves.
    """
    if pooling == "avg":
        return ops.mean(maps, axis=(1, 2))
    if pooling == "max":
        return ops.max(maps, axis=(1, 2))
    if pooling == "flatten":
        return ops.reshape(maps, (-1, math.prod(maps.shape[1:])))
    return maps


def pool_all_maps(maps: Any, pooling: str | None) -> Any:
    """The same for all experts: `(N, H, W, E, F) -> (N, E, *R)`.

    Args:
        maps: float `(N, H, W, E, F)`.
        pooling: see `pool_maps`.
    """
    if pooling in ("avg", "max"):
        return pool_maps(maps, pooling)
    maps = ops.transpose(maps, (0, 3, 1, 2, 4))
    if pooling is None:
        return maps
    experts, size = maps.shape[1], math.prod(maps.shape[2:])
    return ops.reshape(maps, (-1, experts, size))
