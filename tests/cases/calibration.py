"""Calibration that is put under the contract."""

from moe_keras.layers import TemperatureScaling
from tests.tools import draw

CASES = {
    "temperature": (
        TemperatureScaling,
        lambda: {"temperature": 2.5},
        (draw(8, 4),),
    ),
    "temperature_positions": (TemperatureScaling, dict, (draw(8, 3, 4),)),
}
