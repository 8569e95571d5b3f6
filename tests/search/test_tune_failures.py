"""Searches whose trials fail, and what a search refuses."""

import sys

import keras
import pytest

import moe_keras.search.hypermodels.moe_hypermodel as hypermodels
from moe_keras.search import Budget, tune
from tests.search.tuning import TINY, search


def test_a_trial_that_fails_is_one_of_many(
    data, trained, tmp_path, monkeypatch
):
    train = hypermodels.MoEHyperModel.train

    def sometimes(self, values, *arguments, **options):
        if values["learning_rate"] > 2.0**-9:
            raise ValueError("its training has diverged")
        return train(self, values, *arguments, **options)

    monkeypatch.setattr(hypermodels.MoEHyperModel, "train", sometimes)
    result = search(data, tmp_path, method="grid", trials=10)
    found = {trial.status for trial in result.trials}
    assert found == {"done", "failed"}
    for trial in result.trials:
        failed = trial.values["learning_rate"] > 2.0**-9
        assert (trial.status == "failed") is failed
        assert ("diverged" in trial.message) is failed


def test_all_fail(data, tmp_path, monkeypatch):
    def fail(*arguments, **options):
        raise ValueError("its training has diverged")

    monkeypatch.setattr(hypermodels.MoEHyperModel, "train", fail)
    with pytest.raises(
        ValueError, match=r"no trial could be trained.*diverged"
    ):
        search(data, tmp_path)


def test_a_full_disk_ends_the_search(data, tmp_path, monkeypatch):
    def fail(*arguments, **options):
        raise OSError("no space left")

    monkeypatch.setattr(hypermodels.MoEHyperModel, "train", fail)
    with pytest.raises(OSError, match="no space left"):
        search(data, tmp_path)


def test_nothing_within_the_budget(data, tmp_path):
    with pytest.raises(ValueError, match=r"within the budget. .*max_params?"):
        search(data, tmp_path, method="grid", budget=Budget(max_parameters=1))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_experts": 1}, "`max_experts` must be an integer above 1. .*=1"),
        ({"method": "annealing"}, "`method` must be one of .*'annealing'"),
        ({"objective": "f1"}, "`objective` must be one of .*objective='f1'"),
        ({"trials": 0}, "`trials` must be an integer above 0. .*trials=0"),
        ({"epochs": 0}, "`epochs` must be an integer above 0. .*epochs=0"),
        ({"seeds": 1.5}, "`seeds` must be an integer above 0. .*seeds=1.5"),
        ({"seed": -1}, "`seed` must be an integer, 0 or above. .*seed=-1"),
        ({"limit": 3}, "`limit` must be an integer of at least 10, .*=3"),
        ({"workers": 0}, "`workers` must be an integer above 0. .*workers=0"),
        ({"threads": 1}, "`threads` are those of several workers; .*=1"),
        ({"pin": True}, "`pin` is for several workers; .*workers=1"),
    ],
)
def test_bad_arguments(options, message, data, tmp_path):
    with pytest.raises(ValueError, match=message):
        search(data, tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


def test_bad_tasks(data, tmp_path):
    with pytest.raises(ValueError, match=r"`task` must be one of .*'images'"):
        tune("images", data, out=tmp_path)
    with pytest.raises(ValueError, match="tune: `data` must be given"):
        tune("image", out=tmp_path)


def test_workers_of_a_worker(data, tmp_path, monkeypatch):
    monkeypatch.setenv("KERASTUNER_ORACLE_IP", "10.0.0.1")
    with pytest.raises(ValueError, match=r"`workers` must be 1 .*'10\."):
        search(data, tmp_path, workers=2)


def test_without_keras_tuner(data, tmp_path, monkeypatch):
    for name in list(sys.modules):
        if name.startswith("moe_keras.search.hypermodels"):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.delitem(sys.modules, "moe_keras.search.job", raising=False)
    monkeypatch.setitem(sys.modules, "keras_tuner", None)
    with pytest.raises(ImportError, match=r"pip install moe_keras\[search\]"):
        search(data, tmp_path)


@pytest.mark.slow
def test_a_trial_whose_weights_are_not_finite_is_never_picked(
    data, tmp_path, monkeypatch
):
    train = hypermodels.train_run

    def spoil(run, *arguments, callbacks=(), **options):
        rate = run.recipe.optimizer.learning_rate

        class Spoil(keras.callbacks.Callback):
            def on_train_batch_end(self, batch, logs=None):
                if rate > 2.0**-9:
                    kernel = self.model.trainable_weights[0]
                    kernel.assign(kernel * float("nan"))

        callbacks = [*callbacks, Spoil()]
        return train(run, *arguments, callbacks=callbacks, **options)

    monkeypatch.setattr(hypermodels, "train_run", spoil)
    rates = [2.0**-10, 2.0**-8]
    only = {**TINY, "learning_rate": rates}
    result = search(
        data, tmp_path, method="grid", trials=2, max_experts=2, only=only
    )
    found = {trial.status for trial in result.trials}
    assert found == {"done", "failed"}
    for trial in result.trials:
        failed = trial.values["learning_rate"] > 2.0**-9
        assert (trial.status == "failed") is failed
        assert ("a model must have finite weights" in trial.message) is failed
    assert result.best.values["learning_rate"] <= 2.0**-9
