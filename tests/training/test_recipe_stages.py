"""Stages of a recipe: as `fit_stages`, and across interruptions."""

import math

import keras
import numpy as np
import pytest

from moe_keras.layers import UniformGating
from moe_keras.training import Stage, fit_stages
from moe_keras.training.checkpoint import find_checkpoints, remove_checkpoints
from moe_keras.training.input_pipeline import InputPipeline
from moe_keras.training.recipe_stages import fit_recipe_stages
from tests.tools import numpy_of
from tests.training.staged import changed, data, weights_of
from tests.training.staged_recipe import (
    SGD,
    STAGES,
    Watch,
    assert_same,
    network,
    recipe,
    train,
)
from tests.training.trainings import Interruption


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A training without interruption."""
    return train(tmp_path_factory.mktemp("whole"))


def test_as_the_same_stages_without_a_recipe(tmp_path):
    """Whole batches, so that the order of rows is no matter."""
    model, again = network(noise=0.0), network(noise=0.0)
    before = weights_of(model)
    plan = recipe(
        stages=STAGES,
        optimizer=SGD,
        schedule={},
        batch_size=64,
        loss={},
    )
    record = fit_recipe_stages(
        model,
        plan,
        InputPipeline(*data(), 64, seed=7),
        data(1, rows=20),
        tmp_path,
        {},
    )
    again.compile(
        "sgd", "sparse_categorical_crossentropy", metrics=["accuracy"]
    )
    history = fit_stages(
        again,
        data(),
        plan.stages,
        validation_data=data(1, rows=20),
        batch_size=64,
        optimizer="sgd",
        verbose=0,
    )
    for path, value in weights_of(again).items():
        np.testing.assert_allclose(
            weights_of(model)[path], value, atol=1e-5, err_msg=path
        )
        assert "kernel" not in path or np.any(value != before[path]), path
    assert record.history["stage"] == history.history["stage"]
    for name in ("loss", "val_loss", "accuracy", "val_accuracy"):
        np.testing.assert_allclose(
            record.history[name], history.history[name], atol=1e-5
        )


@pytest.mark.parametrize("train_", ["experts", "gate", "head", "deep"])
def test_what_a_stage_freezes_stays(tmp_path, train_):
    model = network()
    before = weights_of(model)
    flags = [layer.trainable for layer in model._flatten_layers()]
    train(tmp_path, model=model, stages=[{"name": "one", "train": train_}])
    marks = {
        "experts": ("flat", "deep"),
        "gate": ("gating",),
        "head": ("head",),
        "deep": ("deep",),
    }
    expected = {
        path for path in before if any(mark in path for mark in marks[train_])
    }
    # The figures of the routing go on.
    found = {path for path in changed(model, before) if "routing" not in path}
    assert found == expected
    assert [layer.trainable for layer in model._flatten_layers()] == flags


def test_one_history_of_all_stages(whole):
    _, record = whole
    names = ["experts"] * 2 + ["gate"] * 3 + ["all"] * 2
    assert record.history["stage"] == names
    assert record.epochs == 7
    assert record.best_epoch is None
    assert record.restarts == []
    # A stage that learns from the validation rows is not scored on them.
    for name in ("val_loss", "val_accuracy", "val_log_loss"):
        found = [math.isnan(value) for value in record.history[name]]
        assert found == [name == "gate" for name in names]
    for name in ("loss", "accuracy", "log_loss"):
        assert np.isfinite(record.history[name]).all()
        assert len(set(record.history[name])) > 4
    assert record.seconds > 0
    assert record.cpu_seconds > 0


@pytest.mark.parametrize(
    ("places", "restarts"),
    [
        # In the second stage; again, counted in the process, and once more.
        ([(1, 1, 0)], [3]),
        ([(0, 1, 2), (1, 0, 1), (0, 2, 1), (0, 1, 0)], [1, 4, 6]),
    ],
)
def test_interrupted_and_gone_on_with(tmp_path, whole, places, restarts):
    for place in places:
        with pytest.raises(Interruption):
            train(tmp_path, Watch(*place))
    parts = train(tmp_path)
    assert_same(whole, parts)
    assert parts[1].restarts == restarts


@pytest.mark.parametrize(
    "changes",
    [
        {"optimizer": {**SGD, "momentum": 0.9, "ema": 0.8}},
        {
            "stages": [
                {
                    **{"name": "experts", "train": "experts"},
                    **{"epochs": 6, "loss": "mixture_likelihood"},
                    **{"patience": 1, "learning_rate": 0.9},
                },
                {"name": "all", "epochs": 3, "expert_weights": [1.0, 0, 2.0]},
            ],
            "optimizer": SGD,
        },
    ],
    ids=["running mean", "patience"],
)
def test_kinds_of_state(tmp_path, changes):
    unbroken = train(tmp_path / "whole", **changes)
    if "stages" in changes:
        # It ended early, or the stage would show nothing.
        assert unbroken[1].epochs < 9
    with pytest.raises(Interruption):
        train(tmp_path / "parts", Watch(1, 1, 1), **changes)
    assert_same(unbroken, train(tmp_path / "parts", **changes))


def test_stages_that_ended_are_not_trained_again(tmp_path, whole):
    with pytest.raises(Interruption):
        train(tmp_path, Watch(1, 2, 0))
    watch = Watch()
    train(tmp_path, watch)
    # The rest of the second stage, and the third.
    assert watch.fits == [[2], [0, 1]]
    # After the end nothing is left to do.
    watch = Watch()
    assert_same(whole, train(tmp_path, watch))
    assert watch.fits == []


def test_afresh(tmp_path, whole):
    with pytest.raises(Interruption):
        train(tmp_path, Watch(1, 2, 0))
    assert find_checkpoints(tmp_path / "stage_1")
    # Broken off before it came to the second stage again,
    with pytest.raises(Interruption):
        train(tmp_path, Watch(0, 1, 0), resume=False)
    assert [path.name for path in tmp_path.iterdir()] == ["stage_0"]
    # which is not gone on with from what was there before.
    watch = Watch()
    parts = train(tmp_path, watch)
    assert watch.fits == [[1], [0, 1, 2], [0, 1]]
    assert parts[1].restarts == [1]
    assert_same(whole, parts)


def test_its_checkpoints_are_in_folders_of_their_own(tmp_path):
    train(tmp_path)
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"stage_0", "stage_1", "stage_2"}
    (tmp_path / "stage_1" / ".epoch-000009.npz.1.part").write_text("")
    remove_checkpoints(tmp_path)
    assert not tmp_path.exists()


def test_another_training_is_refused(tmp_path):
    train(tmp_path)
    with pytest.raises(ValueError, match=r"another.*different=\['seed'\]"):
        train(tmp_path, identity=8)


def test_two_stages_of_one_name(tmp_path):
    one = {"name": "twice", "train": "gate"}
    record = train(tmp_path, stages=[one, {**one, "epochs": 2}])[1]
    assert record.history["stage"] == ["twice"] * 3
    assert len(record.history["loss"]) == 3


def test_a_stage_without_weights_is_passed_over(tmp_path):
    model = network(gate=UniformGating(3))
    record = train(tmp_path, model=model)[1]
    assert record.history["stage"] == ["experts"] * 2 + ["all"] * 2
    gate = {"name": "gate", "train": "gate"}
    message = r"with weights to train. Received: stages=\['gate'\]"
    with pytest.raises(ValueError, match=message):
        train(tmp_path, model=network(gate=UniformGating(3)), stages=[gate])


def test_stages_that_do_not_fit_the_model(tmp_path):
    with pytest.raises(ValueError, match=r"unknown=\['gates'\]"):
        train(tmp_path, stages=[{"name": "a", "train": "gates"}])


def test_each_stage_has_its_own_rate_and_schedule(tmp_path):
    class Rates(keras.callbacks.Callback):
        rates = []

        def on_train_batch_begin(self, batch, logs=None):
            rate = self.model.optimizer.learning_rate
            self.rates.append(float(numpy_of(rate)))

    train(
        tmp_path,
        Rates(),
        stages=[Stage(**stage) for stage in STAGES[:2]],
        schedule={"name": "cosine"},
        optimizer=SGD,
    )
    steps = np.arange(6) / 6
    expected = [
        *(1e-3 * (1 + np.cos(np.pi * steps)) / 2),
        # Two batches of the rows that were held out, in each of three epochs.
        *(0.1 * (1 + np.cos(np.pi * steps)) / 2),
    ]
    np.testing.assert_allclose(Rates.rates, expected, rtol=1e-4)
