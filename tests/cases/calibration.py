"""Calibration that is put under the contract."""

from moe_keras.layers import (
    IsotonicScaling,
    PriorCorrection,
    TemperatureScaling,
)
from tests.tools import draw

CASES = {
    "isotonic": (
        IsotonicScaling,
        lambda: {"max_knots": 5},
        (draw(8, 2),),
    ),
    "prior": (
        PriorCorrection,
        lambda: {"train_prior": [0.5, 0.3, 0.2], "prior": [0.1, 0.1, 0.8]},
        (draw(8, 3),),
    ),
    "temperature": (
        TemperatureScaling,
        lambda: {"temperature": 2.5},
        (draw(8, 4),),
    ),
    "temperature_positions": (TemperatureScaling, dict, (draw(8, 3, 4),)),
}
