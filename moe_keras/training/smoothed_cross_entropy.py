"""Cross-entropy with smoothed labels: -sum_c q_c log p_c.

q = (1 - s) [c = label] + s / C, over C classes.
"""

from typing import Any

import keras
from keras import ops

from moe_keras.errors import require_rates
from moe_keras.layers.registration import register


@register
class SmoothedCrossEntropy(keras.losses.Loss):
    """Keras' categorical cross-entropy, for labels that are class numbers.

    Args:
        label_smoothing: float in [0, 1). s, the weight of the uniform
            distribution.
        name: of the loss.
        **kwargs: `keras.losses.Loss` arguments.

    Call arguments:
        y_true: int `(..., )`, class numbers.
        y_pred: float `(..., C)`, probabilities.

    Returns:
        float, nats.

    Source: Szegedy et al. (2016), arXiv:1512.00567, section 7.
    """

    def __init__(
        self,
        label_smoothing: float = 0.1,
        name: str = "smoothed_cross_entropy",
        **kwargs: Any,
    ):
        super().__init__(name=name, **kwargs)
        require_rates("SmoothedCrossEntropy", label_smoothing=label_smoothing)
        self.label_smoothing = label_smoothing

    def call(self, y_true: Any, y_pred: Any) -> Any:
        labels = ops.reshape(y_true, ops.shape(y_pred)[:-1])
        targets = ops.one_hot(
            ops.cast(labels, "int32"), y_pred.shape[-1], dtype=y_pred.dtype
        )
        return keras.losses.categorical_crossentropy(
            targets, y_pred, label_smoothing=self.label_smoothing
        )

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "label_smoothing": self.label_smoothing,
        }
