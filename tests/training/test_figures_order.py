"""`train_on_batch` begins as `evaluate` ends: loss and compiled metrics."""

import keras
import numpy as np
import pytest

from moe_keras.layers import DenseExpert, GatingLayer, MixtureOfExperts
from moe_keras.layers.training_figures import TrailingName

ROWS = np.random.default_rng(0).normal(size=(8, 4)).astype("float32")
# In order of sort before and behind the figures, "moe_dead" and the like.
FIRST, LAST = "AA", "~~"


def build(*outputs):
    inputs = keras.Input((4,))
    moe = MixtureOfExperts(
        DenseExpert(3, 4), GatingLayer(4, top_k=2, name="gate"), name="moe"
    )
    hidden = moe(inputs)
    heads = {name: keras.layers.Dense(1, name=name)(hidden) for name in outputs}
    return keras.Model(inputs, heads if len(heads) > 1 else heads[outputs[0]])


class Several(keras.metrics.Metric):
    """A metric of two numbers, which Keras logs by their own names."""

    def __init__(self):
        super().__init__(name="several")
        self.mean = keras.metrics.Mean()

    def update_state(self, y_true, y_pred, sample_weight=None):
        self.mean.update_state(y_pred)

    def reset_state(self):
        self.mean.reset_state()

    def result(self):
        return {LAST: self.mean.result() + 1, FIRST: self.mean.result()}


CASES = {
    "names": (
        ["out"],
        lambda: [
            keras.metrics.MeanSquaredError(LAST),
            keras.metrics.MeanAbsoluteError(FIRST),
        ],
    ),
    "one metric, two numbers": (["out"], lambda: [Several()]),
    # Keras logs these with the output's name in front.
    "two outputs": (
        ["aa", "zz"],
        lambda: {"aa": ["mae", "mse"], "zz": ["mae"]},
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_loss_and_compiled_metrics_come_first(case):
    outputs, metrics = CASES[case]
    model = build(*outputs)
    # A model that stays as it is, so that both see the same.
    model.compile(keras.optimizers.SGD(0.0), "mse", metrics=metrics())
    targets = {name: ROWS[:, :1] for name in outputs}
    data = ROWS, targets if len(outputs) > 1 else ROWS[:, :1]
    expected = model.evaluate(*data, verbose=0)
    model.reset_metrics()
    loss, *found = model.train_on_batch(*data)
    # On JAX they show in the log of `fit` alone, through `RoutingLog`.
    shown = keras.backend.backend() != "jax"
    assert (
        len(found) > len(expected) if shown else len(found) == len(expected) - 1
    )
    np.testing.assert_allclose(
        found[: len(expected) - 1], expected[1:], rtol=1e-5
    )
    if not shown:
        return
    named = model.train_on_batch(*data, return_dict=True)
    # The router's losses are in training's loss alone.
    parts = named["gate_balance_loss"] + named["gate_z_loss"]
    assert named["loss"] == loss
    assert loss - parts == pytest.approx(expected[0], rel=1e-5)


def test_names_that_trail():
    names = ["b", TrailingName("a"), "~", TrailingName("b"), "A"]
    assert sorted(names) == ["A", "b", "~", "a", "b"]
    assert TrailingName("a") == "a"
    assert {"a": 1}[TrailingName("a")] == 1
    assert "a" <= TrailingName("a")
    assert TrailingName("a") >= "~"
