"""Initialisation of a bank of weights `(E, ...)`, one draw per expert."""

from typing import Any

import keras
from keras import ops

from moe_keras.layers.registration import register


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
                self._for_expert(e)(tuple(shape[1:]), dtype=dtype)
                for e in range(shape[0])
            ]
        )

    def _for_expert(self, expert: int) -> Any:
        if not isinstance(self.base, keras.initializers.Initializer):
            return self.base
        config = self.base.get_config()
        if isinstance(config.get("seed"), int):
            config["seed"] += expert
        # From a config without a seed, Keras makes a new one each time.
        return type(self.base).from_config(config)

    def get_config(self) -> dict[str, Any]:
        return {"base": keras.initializers.serialize(self.base)}
