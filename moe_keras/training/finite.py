"""NaN and infinity, in what a model learns from and in what it has learned.

The loss does not show them always. On a CPU, TensorFlow's max pooling, and its
ReLU where it is compiled together with a convolution, make numbers of NaN: a
single NaN in a picture can spoil all weights in front of them while the loss
stays where a guess has it, and predictions look like any others.
"""

from typing import Any

import keras
import numpy as np

from moe_keras.errors import require

# Pictures that are looked at together.
_AT_ONCE = 1024
# Names in an error.
_NAMES = 3


class FiniteWeights(keras.callbacks.Callback):
    """End a training when an epoch leaves weights that are not finite.

    `keras.callbacks.TerminateOnNaN` looks at the loss, which may not know. All
    trainings of this package have this one; give it to a `fit` of your own.

    Raises:
        ValueError: at the end of the epoch, with the names of such weights.

    Example:
    >>> model.fit(images, labels, callbacks=[FiniteWeights()])
    """

    def on_epoch_end(
        self, epoch: int, logs: dict[str, Any] | None = None
    ) -> None:
        require_finite_weights(type(self).__name__, self.model, epoch=epoch + 1)


def require_finite_weights(owner: str, model: Any, **known: Any) -> None:
    """Refuse a model with a weight that is NaN or infinite.

    Args:
        owner: whom to name in errors.
        model: `keras.Model`, built.
        **known: what else the error tells.

    Raises:
        ValueError: with the names of such weights.
    """
    broken = [weight.path for weight in model.weights if _is_broken(weight)]
    require(
        not broken,
        owner,
        "a model must have finite weights. Look for NaN or infinity in the "
        "inputs, which the loss need not show, or train at a lower rate.",
        weights=broken[:_NAMES],
        number=len(broken),
        **known,
    )


def _is_broken(weight: Any) -> bool:
    if "float" not in keras.backend.standardize_dtype(weight.dtype):
        return False
    # NumPy does not know every half type.
    wide = keras.ops.cast(weight, "float32") if _is_half(weight) else weight
    values = keras.ops.convert_to_numpy(wide)
    # A table that is kept to the bit may have infinite thresholds.
    exact = getattr(weight, "keep_exact", False)
    return bool((np.isnan(values) if exact else ~np.isfinite(values)).any())


def _is_half(weight: Any) -> bool:
    return keras.backend.standardize_dtype(weight.dtype) == "bfloat16"


def require_finite_pictures(owner: str, inputs: Any) -> None:
    """Refuse pictures, or other arrays of three axes or more, with NaN in them.

    In a table NaN stands for what is missing, so that arrays of two axes may
    hold it. What is no array, such as a `tf.data.Dataset`, is not looked into.

    Args:
        owner: whom to name in errors.
        inputs: array `(N, ...)`, or a dict or list of them.

    Raises:
        ValueError: with the place of the first number that is not finite.
    """
    for array in keras.tree.flatten(inputs):
        if (
            isinstance(array, np.ndarray)
            and array.ndim > 2
            and array.dtype.kind == "f"
        ):
            _require_finite(owner, array)


def _require_finite(owner: str, array: np.ndarray) -> None:
    for start in range(0, len(array), _AT_ONCE):
        finite = np.isfinite(array[start : start + _AT_ONCE])
        if not finite.all():
            row, *place = (int(i) for i in np.argwhere(~finite)[0])
            require(
                False,
                owner,
                "the inputs must hold finite numbers only.",
                row=start + row,
                place=tuple(place),
                value=float(array[(start + row, *place)]),
            )
