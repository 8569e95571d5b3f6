"""State of a layer that is no weight: counted in training, saved nowhere."""

from typing import Any

import keras
from keras import ops


def add_count(shape: tuple[int, ...], name: str) -> keras.Variable:
    """A float32 variable of zeros, which no file and no optimizer ever sees.

    Keras knows nothing of it, but by `HasCounts`.
    """
    count = keras.Variable(
        "zeros", shape, "float32", trainable=False, autocast=False, name=name
    )
    count.is_count = True
    return count


def is_count(variable: Any) -> bool:
    """Whether a variable is one of `add_count`."""
    return getattr(variable, "is_count", False)


def add_to(count: Any, value: Any) -> None:
    """Add a number to a count, as far as gradients are concerned a constant."""
    value = ops.stop_gradient(ops.cast(value, "float32"))
    count.assign(ops.add(count, value))


class HasCounts:
    """A layer with counts, which a compiled step of JAX has to hand back.

    JAX hands a step the variables of the model and takes new ones back. The
    other backends write to the variable itself.
    """

    def counts(self) -> list[Any]:
        """Those of this layer alone."""
        return []

    @property
    def variables(self) -> list[Any]:
        """Weights, seeds and, on JAX, counts."""
        found: list[Any] = super().variables  # type: ignore[misc]
        if keras.backend.backend() == "jax":
            return [*found, *self.counts()]
        return found
