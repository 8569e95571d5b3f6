"""Isotonic calibration: a rising curve of the log-odds of two classes."""

from typing import Any

import keras
import numpy as np
from keras import ops

from moe_keras.errors import is_count, require
from moe_keras.layers.input_checks import ReadsOneTensor, check_floats
from moe_keras.layers.registration import register
from moe_keras.ops.cost import Cost
from moe_keras.ops.scaling import widen

OWNER = "IsotonicScaling"


@register
class IsotonicScaling(ReadsOneTensor, keras.layers.Layer):
    """Log-odds of two classes through a curve that never falls.

    The curve is made of lines between knots; before the first and behind the
    last it is level. `moe_keras.training.fit_isotonic` finds it on held-out
    data; until then, the log-odds stay as they are. Rows keep their order, but
    rows on a level stretch become equal. The knots are weights that `fit`
    leaves alone, saved with the model.

    Args:
        max_knots: int > 1. Knots at most. Defaults to `256`.
        **kwargs: `keras.layers.Layer` arguments.

    Call arguments:
        inputs: float `(..., 2)`, logits or log-probabilities of two classes.

    Returns:
        float `(..., 2)`: logits `(0, s)`, s the calibrated log-odds of class 1,
        computed in at least float32.

    Source: Zadrozny & Elkan (2002), Transforming classifier scores into
        accurate multiclass probability estimates, KDD.

    Example:
    >>> logits = IsotonicScaling()(np.array([[1.0, 3.0]]))
    [[0.0, 2.0]]
    """

    def __init__(self, max_knots: int = 256, **kwargs: Any):
        super().__init__(autocast=False, **kwargs)
        require(
            is_count(max_knots) and max_knots > 1,
            OWNER,
            "`max_knots` must be an integer above 1.",
            max_knots=max_knots,
        )
        self.max_knots = max_knots
        self.supports_masking = True

    def build(self, input_shape: Any) -> None:
        require(
            input_shape[-1] == 2,
            OWNER,
            "`inputs` must be logits (..., 2) of two classes.",
            input_shape=tuple(input_shape),
        )

        def knots(name: str) -> Any:
            return self.add_weight(
                (self.max_knots,),
                "zeros",
                dtype="float32",
                trainable=False,
                autocast=False,
                name=name,
            )

        self.places, self.values = knots("places"), knots("values")
        # Of the knots, how many there are; 0 for no curve.
        self.count = self.add_weight(
            (),
            "zeros",
            dtype="int32",
            trainable=False,
            autocast=False,
            name="count",
        )

    def set_curve(self, places: Any, values: Any) -> None:
        """Set the knots.

        Args:
            places: float `(m,)`, rising, log-odds; m in 1..max_knots.
            values: float `(m,)`, not falling, the log-odds that they become.

        Raises:
            ValueError: for knots that are not such.
        """
        places, values = np.asarray(places), np.asarray(values)
        narrow = places.astype("float32")
        require(
            places.ndim == 1
            and places.shape == values.shape
            and 0 < len(places) <= self.max_knots
            and bool(np.isfinite(narrow).all() and np.isfinite(values).all())
            and bool((np.diff(narrow) > 0).all())
            and bool((np.diff(values) >= 0).all()),
            OWNER,
            f"there must be 1 to {self.max_knots} finite knots, with places "
            "that rise and values that do not fall.",
            places=places,
            values=values,
        )
        # Those that are not used stand at the last one.
        spare = (0, self.max_knots - len(places))
        self.places.assign(np.pad(narrow, spare, mode="edge"))
        self.values.assign(np.pad(values, spare, mode="edge"))
        self.count.assign(len(places))

    def call(self, inputs: Any) -> Any:
        check_floats(OWNER, inputs)
        inputs = widen(inputs)
        odds = inputs[..., 1] - inputs[..., 0]
        places = ops.cast(self.places, odds.dtype)
        values = ops.cast(self.values, odds.dtype)
        flat = ops.reshape(odds, (-1,))
        right = ops.clip(
            ops.searchsorted(places, flat, side="right"),
            1,
            self.max_knots - 1,
        )
        left = right - 1
        start, end = ops.take(places, left), ops.take(places, right)
        low, high = ops.take(values, left), ops.take(values, right)
        width = end - start
        share = (flat - start) / ops.where(width > 0, width, 1.0)
        curve = low + (high - low) * ops.clip(share, 0.0, 1.0)
        curve = ops.where(self.count > 0, curve, flat)
        odds = ops.reshape(curve, ops.shape(odds))
        scaled = ops.stack([ops.zeros_like(odds), odds], axis=-1)
        return ops.cast(scaled, self.compute_dtype)

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        return tuple(input_shape)

    def count_cost(self, shapes: Any, load: Any = None) -> Cost:
        """Nothing: a search and a line, as in an activation."""
        return Cost(0, 0)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "max_knots": self.max_knots}
