"""Logits over a temperature."""

import keras
import numpy as np
import pytest

from moe_keras.layers import TemperatureScaling
from moe_keras.ops.cost import count_multiply_adds
from moe_keras.zoo.presets.architecture import (
    pack_architecture,
    unpack_architecture,
)
from tests.tools import assert_close, draw, numpy_of


def test_it_divides_and_keeps_the_order_of_the_classes():
    logits = draw(6, 4)
    layer = TemperatureScaling(2.5)
    outputs = numpy_of(layer(logits))
    assert_close(outputs, logits / 2.5)
    layer.scale.assign(0.1)
    assert_close(layer(logits), logits / 0.1)
    np.testing.assert_array_equal(
        np.argsort(outputs, axis=-1), np.argsort(logits, axis=-1)
    )


@pytest.mark.parametrize("value", [0, -1.0, float("nan"), float("inf"), "1"])
def test_it_refuses_what_is_no_temperature(value):
    with pytest.raises(ValueError, match="Received: temperature="):
        TemperatureScaling(value)


def test_it_refuses_identifiers():
    with pytest.raises(ValueError, match="float dtype"):
        TemperatureScaling()(np.arange(6).reshape(2, 3))


def test_it_stays_in_float32_and_is_not_trained():
    keras.config.set_dtype_policy("mixed_bfloat16")
    layer = TemperatureScaling()
    layer.build((None, 4))
    assert keras.backend.standardize_dtype(layer.scale.dtype) == "float32"
    assert not layer.trainable_weights


def test_its_value_is_saved_and_its_cost_is_nothing(tmp_path):
    model = keras.Sequential([keras.Input((4,)), TemperatureScaling()])
    model.layers[0].scale.assign(3.0)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    logits = draw(3, 4)
    assert_close(loaded(logits), logits / 3)
    assert count_multiply_adds(model).total == 0


def test_a_preset_may_hold_it():
    model = keras.Sequential([keras.Input((4,)), TemperatureScaling(2.0)])
    content = pack_architecture(model, "test")
    again = unpack_architecture(content, "model.json", "test")
    assert again.layers[0].temperature == 2.0
