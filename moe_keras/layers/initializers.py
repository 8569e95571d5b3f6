"""Initialisation: one draw per expert of a bank, in at least float32."""

from typing import Any

import keras
from keras import ops

from moe_keras.layers.registration import register


def numbered(initializer: Any, number: int) -> Any:
    """The initializer for weight `number` of several that it is to draw.

    One that is called twice, or that has an integer as its seed, gives the same
    values twice. Here the seed goes up by the number.

    Args:
        initializer: `keras.initializers.Initializer`, or a function, which is
            returned as it is.
        number: int >= 0; for 0 it draws what it would draw by itself.
    """
    if not isinstance(initializer, keras.initializers.Initializer):
        return initializer
    seed = getattr(initializer, "seed", None)
    if isinstance(seed, keras.random.SeedGenerator):
        return initializer  # which draws anew in every call
    config = initializer.get_config()
    if isinstance(config.get("seed"), int):
        config["seed"] += number
    # From a config without a seed, Keras makes a new one each time.
    return type(initializer).from_config(config)


HALVES = ("float16", "bfloat16")


def draw(initializer: Any, shape: Any, dtype: Any = None) -> Any:
    """What an initializer draws, in at least float32, then in the dtype.

    Not every initializer knows the half types: the QR decomposition behind
    Keras' orthogonal one has none of them on any backend.

    Args:
        initializer: `keras.initializers.Initializer`, or such a function.
        shape: tuple of ints.
        dtype: of the result; None for Keras' default.
    """
    dtype = keras.backend.standardize_dtype(dtype)
    if dtype not in HALVES:
        return initializer(shape, dtype=dtype)
    return ops.cast(initializer(shape, dtype="float32"), dtype)


@register
class FullPrecision(keras.initializers.Initializer):
    """Another initializer, which draws in at least float32; see `draw`.

    Args:
        base: str, dict or `keras.initializers.Initializer`.

    Example:
    >>> FullPrecision("orthogonal")(shape=(4, 4), dtype="bfloat16").dtype
    bfloat16
    """

    def __init__(self, base: Any):
        self.base = keras.initializers.get(base)

    def __call__(self, shape: Any, dtype: Any = None) -> Any:
        return draw(self.base, tuple(shape), dtype)

    def get_config(self) -> dict[str, Any]:
        return {"base": keras.initializers.serialize(self.base)}


@register
class PerExpert(keras.initializers.Initializer):
    """Draw every expert's weights on their own, with the fans of one expert.

    An initializer that sees the whole bank `(E, D, U)` counts E into the fans,
    as if it were a convolution kernel, and makes the weights too small by
    sqrt(E) for glorot. And one that is called E times with one seed makes all
    experts equal. This one calls the base on `(D, U)` with E different seeds.

    Args:
        base: str, dict or `keras.initializers.Initializer` for one expert.

    Example:
    >>> PerExpert("he_normal")(shape=(8, 128, 64)).shape
    TensorShape([8, 128, 64])
    """

    def __init__(self, base: Any):
        base = keras.initializers.get(base)
        self.base = base.base if isinstance(base, PerExpert) else base

    def __call__(self, shape: Any, dtype: Any = None) -> Any:
        return ops.stack(
            [
                draw(numbered(self.base, e), tuple(shape[1:]), dtype)
                for e in range(shape[0])
            ]
        )

    def get_config(self) -> dict[str, Any]:
        return {"base": keras.initializers.serialize(self.base)}
