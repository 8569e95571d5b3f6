"""Stages of a recipe: as `fit_stages`, and across interruptions."""

import math
import shutil

import keras
import numpy as np
import pytest

from moe_keras.layers import UniformGating
from moe_keras.training import Stage, fit_stages
from moe_keras.training.checkpoint import find_checkpoints, remove_checkpoints
from moe_keras.training.input_pipeline import InputPipeline
from moe_keras.training.recipe_stages import fit_recipe_stages
from tests.tools import numpy_of
from tests.training.staged import changed, data, flags_of, weights_of
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
def _whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    return folder, train(folder)


@pytest.fixture
def whole(_whole):
    """A training without interruption."""
    return _whole[1]


@pytest.fixture
def ended(_whole, tmp_path):
    """The folder of that training."""
    shutil.copytree(_whole[0], tmp_path, dirs_exist_ok=True)
    return tmp_path


@pytest.mark.slow
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


@pytest.mark.parametrize("part", ["gate", "deep"])
def test_what_a_stage_freezes_stays(tmp_path, part):
    model = network()
    before = weights_of(model)
    flags = flags_of(model)
    train(tmp_path, model=model, stages=[{"name": "one", "train": part}])
    mark = {"gate": "gating", "deep": "deep"}[part]
    expected = {path for path in before if mark in path}
    # Only the figures of the routing go on in every stage.
    assert expected <= changed(model, before)
    assert changed(model, before) <= {*expected, "moe/load", "moe/entropy"}
    assert flags_of(model) == flags


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


def test_interrupted_and_gone_on_with(tmp_path, whole):
    # Places are counted in the process, which begins with the second stage.
    for place in ((1, 1, 0), (0, 2, 1)):
        with pytest.raises(Interruption):
            train(tmp_path, Watch(*place))
    watch = Watch()
    parts = train(tmp_path, watch)
    assert_same(whole, parts)
    assert parts[1].restarts == [3, 4]
    # What had ended is not trained again.
    assert watch.fits == [[2], [0, 1]]


class SecondIsBest(keras.callbacks.Callback):
    """By the loss in the log."""

    def on_epoch_end(self, epoch, logs=None):
        logs["val_loss"] = abs(epoch - 1.0)


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes",
    [
        {
            "optimizer": {**SGD, "momentum": 0.9, "ema": 0.8},
            "stages": [STAGES[0], {"name": "all", "epochs": 2}],
        },
        {
            "optimizer": {"name": "adam"},
            "stages": [
                {
                    **{"name": "experts", "train": "experts"},
                    **{"epochs": 6, "loss": "mixture_likelihood"},
                    "patience": 1,
                },
                {"name": "all", "epochs": 2, "expert_weights": [1.0, 0, 2.0]},
            ],
        },
    ],
    ids=["running mean", "patience"],
)
def test_kinds_of_state(tmp_path, changes):
    unbroken = train(tmp_path / "whole", SecondIsBest(), **changes)
    # With patience the first stage ends after three epochs of six.
    first = unbroken[1].history["stage"].count("experts")
    assert first == (3 if "patience" in changes["stages"][0] else 2)
    with pytest.raises(Interruption):
        train(tmp_path / "parts", SecondIsBest(), Watch(1, 1, 1), **changes)
    assert_same(unbroken, train(tmp_path / "parts", SecondIsBest(), **changes))


def test_after_the_end_nothing_is_left_to_do(ended, whole):
    watch = Watch()
    assert_same(whole, train(ended, watch))
    assert watch.fits == []


@pytest.mark.slow
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


def test_its_checkpoints_are_in_folders_of_their_own(ended):
    names = {path.name for path in ended.iterdir()}
    assert names == {"stage_0", "stage_1", "stage_2"}
    (ended / "stage_1" / ".epoch-000009.npz.1.part").write_text("")
    remove_checkpoints(ended)
    assert not ended.exists()


def test_another_training_is_refused(ended):
    with pytest.raises(ValueError, match=r"another.*different=\['seed'\]"):
        train(ended, identity=8)


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
