"""From recipe to optimizer and loss: every option arrives."""

import keras
import numpy as np
import pytest

from moe_keras.training import Recipe
from moe_keras.training.compiling import (
    compile_from_recipe,
    loss_and_metrics,
    make_optimizer,
)
from moe_keras.training.schedule import RecipeSchedule
from tests.tools import numpy_of
from tests.training.recipes import small


def recipe(**changes):
    return Recipe.model_validate(small(**changes))


def network(units=3):
    inputs = keras.Input((2,))
    outputs = keras.layers.Dense(
        units, activation="softmax" if units > 1 else "sigmoid"
    )(inputs)
    return keras.Model(inputs, outputs)


def compiled(units=3, **changes):
    model = network(units)
    compile_from_recipe(model, recipe(**changes), steps_per_epoch=10)
    return model


@pytest.mark.parametrize(
    ("asked", "kind", "expected"),
    [
        ({}, keras.optimizers.Adam, {"weight_decay": None}),
        (
            {"name": "adamw", "weight_decay": 0.2, "clipnorm": 1.5},
            keras.optimizers.AdamW,
            {"weight_decay": 0.2, "clipnorm": 1.5},
        ),
        (
            {"name": "sgd", "momentum": 0.9, "nesterov": True, "ema": 0.99},
            keras.optimizers.SGD,
            {
                "momentum": 0.9,
                "nesterov": True,
                "use_ema": True,
                "ema_momentum": 0.99,
            },
        ),
    ],
    ids=["adam", "adamw", "sgd"],
)
def test_optimizers(asked, kind, expected):
    optimizer = make_optimizer(recipe(optimizer=asked), 10)
    # On PyTorch it is a class of the same name.
    assert type(optimizer).__name__ == kind.__name__
    for name, value in expected.items():
        assert getattr(optimizer, name) == value


def test_decay_reaches_kernels_alone():
    model = compiled(
        optimizer={"name": "sgd", "learning_rate": 0.5, "weight_decay": 0.1},
        schedule={},
    )
    model.optimizer.build(model.trainable_variables)
    for weight in model.weights:
        weight.assign(np.ones(weight.shape))
    kernel, bias = model.weights
    nothing = [np.zeros(weight.shape, "float32") for weight in model.weights]
    model.optimizer.apply(list(map(keras.ops.convert_to_tensor, nothing)))
    np.testing.assert_allclose(numpy_of(kernel), 1 - 0.5 * 0.1, rtol=1e-6)
    np.testing.assert_array_equal(numpy_of(bias), 1)


def test_schedules_know_all_steps():
    schedule = make_optimizer(recipe(), 10)._learning_rate
    assert isinstance(schedule, RecipeSchedule)
    # 3 epochs of 10 steps, of which 0.3 are warm-up.
    assert schedule.get_config() == {
        "name": "one_cycle",
        "peak": 0.01,
        "steps": 30,
        "warmup": 9,
    }


def test_a_constant_rate_is_a_number():
    optimizer = make_optimizer(recipe(schedule={}), 10)
    assert float(optimizer.learning_rate) == pytest.approx(0.01)
    assert not isinstance(optimizer._learning_rate, RecipeSchedule)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("units", [1, 3])
def test_log_loss_is_without_smoothing(units, smoothing):
    model = compiled(units, loss={"label_smoothing": smoothing})
    inputs = np.random.default_rng(0).normal(size=(8, 2)).astype("float32")
    labels = np.arange(8) % 2
    column = labels[:, None] if units == 1 else labels
    found = model.evaluate(inputs, column, verbose=0, return_dict=True)
    p = np.asarray(model.predict(inputs, verbose=0), "float64")
    if units == 1:
        p = np.concatenate([1 - p, p], axis=1)
    targets = np.eye(p.shape[1])[labels]
    # One sigmoid is smoothed over its two classes, as are p.shape[1] of them.
    smooth = (1 - smoothing) * targets + smoothing / p.shape[1]
    log_loss = -np.mean(np.sum(targets * np.log(p), axis=1))
    loss = -np.mean(np.sum(smooth * np.log(p), axis=1))
    assert found["log_loss"] == pytest.approx(log_loss, rel=1e-4)
    assert found["loss"] == pytest.approx(loss, rel=1e-4)
    accuracy = np.mean(np.argmax(p, axis=1) == labels)
    assert found["accuracy"] == pytest.approx(accuracy)


def test_other_outputs_are_refused():
    inputs = keras.Input((4, 2))
    model = keras.Model(inputs, keras.layers.Dense(3)(inputs))
    with pytest.raises(ValueError, match="must return one"):
        compile_from_recipe(model, recipe(), 10)


@pytest.mark.parametrize("units", [1, 3])
def test_metrics_have_these_names_whatever_computes_them(units):
    """A view of a model has no shape from which a class could be guessed."""
    loss, metrics = loss_and_metrics(network(units), recipe(loss={}))
    assert [metric.name for metric in metrics] == ["accuracy", "log_loss"]
    if units == 1:
        labels = np.array([[1], [0], [1], [1]])
        predicted = np.array([[0.9], [0.2], [0.4], [0.7]], "float32")
        right, sure = [1, 1, 0, 1], [0.9, 0.8, 0.4, 0.7]
    else:
        labels = np.array([0, 2, 1, 1])
        predicted = np.array(
            [
                [0.7, 0.2, 0.1],
                [0.3, 0.3, 0.4],
                [0.5, 0.4, 0.1],
                [0.1, 0.8, 0.1],
            ],
            "float32",
        )
        right, sure = [1, 1, 0, 1], [0.7, 0.4, 0.4, 0.8]
    expected = [np.mean(right), -np.mean(np.log(sure))]
    for metric, value in zip(metrics, expected, strict=True):
        metric.update_state(labels, predicted)
        assert float(numpy_of(metric.result())) == pytest.approx(value, 1e-5)
    found = float(numpy_of(loss(labels, predicted)))
    assert found == pytest.approx(expected[1], 1e-5)
