"""Which epoch is the best one."""

import keras
import numpy as np
import pytest

from moe_keras.training.best_weights import BestWeights
from moe_keras.training.recipe_parts import Monitor


def model():
    inputs = keras.Input((1,))
    layer = keras.layers.Dense(1, use_bias=False)
    result = keras.Model(inputs, layer(inputs))
    result.compile("sgd", "mse")
    result.stop_training = False
    return result


def run(values, metric="val_loss", patience=None, best=None, first=0):
    """Epochs whose one weight is their number; stops when it is told to."""
    best = best or BestWeights(Monitor(metric=metric, patience=patience))
    best.set_model(model())
    for epoch, value in enumerate(values, first):
        best.model.set_weights([np.full((1, 1), float(epoch))])
        best.on_epoch_end(epoch, {metric: value})
        if best.model.stop_training:
            break
    return best, epoch


def weight_of(best):
    best.apply()
    return best.model.get_weights()[0].item()


@pytest.mark.parametrize(
    ("metric", "values", "expected"),
    [
        ("val_loss", [3.0, 1.0, 2.0], 1),
        ("val_log_loss", [3.0, 1.0, 0.5], 2),
        ("val_accuracy", [0.3, 0.9, 0.5], 1),
        ("val_accuracy", [0.3, 0.9, 0.9], 1),
        ("val_loss", [float("nan"), 2.0, 3.0], 1),
        ("val_loss", [2.0, float("nan"), 3.0], 0),
        ("val_accuracy", [float("nan"), float("nan")], 0),
    ],
)
def test_the_best_epoch(metric, values, expected):
    best, last = run(values, metric)
    assert last == len(values) - 1
    assert best.epoch == expected
    assert weight_of(best) == expected


@pytest.mark.parametrize(("patience", "last"), [(1, 2), (2, 5), (None, 6)])
def test_patience(patience, last):
    values = [3.0, 1.0, 2.0, 0.5, 0.6, 0.7, 0.8]
    assert run(values, patience=patience)[1] == last


def test_it_goes_on_from_its_state():
    one, _ = run([3.0, 1.0], patience=2)
    arrays, facts = one.get_state()
    two = BestWeights(Monitor(metric="val_loss", patience=2))
    two.set_state(arrays, facts)
    two, last = run([2.0, 2.0, 2.0], best=two, first=2)
    assert last == 3
    assert two.epoch == 1
    assert weight_of(two) == 1


def test_a_metric_that_is_not_there():
    best = BestWeights(Monitor(metric="val_accuracy"))
    best.set_model(model())
    with pytest.raises(ValueError, match=r"not in the log.*log=\['loss'\]"):
        best.on_epoch_end(0, {"loss": 1.0})
