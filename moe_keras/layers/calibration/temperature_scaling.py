"""Temperature scaling: logits over one number, for all classes and rows."""

from typing import Any

import keras
from keras import ops

from moe_keras.errors import is_number, require
from moe_keras.layers.input_checks import ReadsOneTensor, check_floats
from moe_keras.layers.registration import register
from moe_keras.ops.cost import Cost
from moe_keras.ops.scaling import widen


@register
class TemperatureScaling(ReadsOneTensor, keras.layers.Layer):
    """y = x / T, in front of a softmax.

    T > 1 makes a model less sure, T < 1 more sure; which class is the likeliest
    stays as it is. `moe_keras.training.fit_temperature` finds T on validation
    data when all else is trained: `fit` leaves it alone. It is a weight of the
    layer, and saved with the model.

    Args:
        temperature: float > 0. T to start with. Defaults to `1.0`.
        **kwargs: `keras.layers.Layer` arguments.

    Call arguments:
        inputs: float `(..., C)`, logits or log-probabilities of C classes.

    Returns:
        float `(..., C)`: logits. They are computed in at least float32, and
        are no log-probabilities even if the inputs were.

    Source: Guo et al. (2017), arXiv:1706.04599, section 4.2.

    Example:
    >>> logits = TemperatureScaling(2.0)(np.array([[1.0, 3.0]]))
    [[0.5, 1.5]]
    """

    def __init__(self, temperature: float = 1.0, **kwargs: Any):
        super().__init__(autocast=False, **kwargs)
        require(
            is_number(temperature) and temperature > 0,
            "TemperatureScaling",
            "`temperature` must be a finite number above 0.",
            temperature=temperature,
        )
        self.temperature = float(temperature)
        self.supports_masking = True

    def build(self, input_shape: Any) -> None:
        self.scale = self.add_weight(
            (),
            keras.initializers.Constant(self.temperature),
            dtype="float32",
            trainable=False,
            autocast=False,
            name="temperature",
        )

    def call(self, inputs: Any) -> Any:
        check_floats("TemperatureScaling", inputs)
        inputs = widen(inputs)
        scaled = inputs / ops.cast(self.scale, inputs.dtype)
        return ops.cast(scaled, self.compute_dtype)

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        return tuple(input_shape)

    def count_cost(self, shapes: Any, load: Any = None) -> Cost:
        """Nothing: a division for each class, as in an activation."""
        return Cost(0, 0)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "temperature": self.temperature}
