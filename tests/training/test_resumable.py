"""An interrupted training ends as an unbroken one does."""

import os
import shutil
import warnings

import keras
import numpy as np
import pytest

from moe_keras import storage
from moe_keras.training import checkpoint
from moe_keras.training.checkpoint import find_checkpoints
from moe_keras.training.input_pipeline import InputPipeline
from moe_keras.training.recipe_parts import Monitor
from moe_keras.training.resumable import fit_resumable
from tests.tools import only_tensorflow
from tests.training.trainings import (
    EPOCHS,
    STEPS,
    Interrupt,
    Interruption,
    assert_same,
    data,
    train,
)

BEST = Monitor(metric="val_accuracy")


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A training without interruption."""
    return train(tmp_path_factory.mktemp("whole"))


@pytest.fixture
def broken_off(tmp_path, _broken_off):
    """The folder of a training that ended in its third epoch."""
    shutil.copytree(_broken_off, tmp_path, dirs_exist_ok=True)
    return tmp_path


@pytest.fixture(scope="module")
def _broken_off(tmp_path_factory):
    folder = tmp_path_factory.mktemp("broken_off")
    with pytest.raises(Interruption):
        train(folder, Interrupt(2, 1))
    return folder


def interrupted(folder, *places, **changes):
    """Trained in as many processes as there are places, and one more."""
    for place in places:
        with pytest.raises(Interruption):
            train(folder, Interrupt(*place), **changes)
    return train(folder, **changes)


def names(folder):
    return [path.name for path in find_checkpoints(folder)]


def test_interrupted_again_and_again(tmp_path, whole):
    places = [(0, 2), (0, STEPS - 1), (1, 0), (2, 2)]
    parts = interrupted(tmp_path, *places)
    assert_same(whole, parts)
    assert whole[1].restarts == []
    # Each began with the epoch in which the one before was interrupted.
    assert parts[1].restarts == [1, 2]
    assert whole[1].epochs == parts[1].epochs == EPOCHS
    assert 0 < parts[1].cpu_seconds
    assert 0 < parts[1].seconds


@pytest.mark.parametrize(
    "options",
    [
        {"mixture": True, "monitor": BEST},
        pytest.param(
            {
                "optimizer": lambda: keras.optimizers.SGD(
                    0.1, momentum=0.9, nesterov=True
                ),
                "monitor": None,
            },
            marks=pytest.mark.slow,
        ),
        {
            "optimizer": lambda: keras.optimizers.AdamW(
                keras.optimizers.schedules.CosineDecay(0.1, EPOCHS * STEPS),
                use_ema=True,
                ema_momentum=0.8,
            ),
            "monitor": BEST,
        },
    ],
    ids=["mixture", "momentum", "mean weights"],
)
def test_kinds_of_state(tmp_path, options):
    unbroken = train(tmp_path / "whole", **options)
    parts = interrupted(tmp_path / "parts", (1, 2), **options)
    assert_same(unbroken, parts)


def test_every_corner_has_chance(whole):
    """Or the other tests would show nothing."""
    history = whole[1].history
    for values in history.values():
        assert np.isfinite(values).all()
    for name in ("loss", "python", "numpy"):
        assert len(set(history[name])) == EPOCHS


class Blur(keras.layers.Layer):
    """Noise from the one source that all layers without a seed share."""

    def call(self, inputs, training=False):
        if not training:
            return inputs
        return inputs + keras.random.normal(keras.ops.shape(inputs))


def train_blurred(folder, *callbacks):
    keras.utils.set_random_seed(0)
    inputs = keras.Input((6,))
    outputs = keras.layers.Dense(2, activation="softmax")(Blur()(inputs))
    model = keras.Model(inputs, outputs)
    model.compile("sgd", "sparse_categorical_crossentropy")
    pipeline = InputPipeline(*data(), 8, seed=0)
    return model, fit_resumable(
        model, pipeline, data(1), 2, folder, {}, callbacks=callbacks
    )


# JAX refuses such layers.
@only_tensorflow
def test_layers_without_a_seed_of_their_own(tmp_path):
    unbroken = train_blurred(tmp_path / "whole")
    with pytest.raises(Interruption):
        train_blurred(tmp_path / "parts", Interrupt(1, 1))
    assert_same(unbroken, train_blurred(tmp_path / "parts"))


@pytest.mark.parametrize("name", ["fsync", "replace"])
def test_interrupted_while_saving(tmp_path, monkeypatch, whole, name):
    """With the file half on the disk, and with it whole but not renamed."""
    original, saves = getattr(os, name), []

    def interrupt(*arguments):
        saves.append(arguments)
        if len(saves) == 2:
            raise Interruption
        return original(*arguments)

    # Folders are synchronised too: only files are to count.
    monkeypatch.setattr(storage, "_sync_folder", lambda folder: None)
    monkeypatch.setattr(os, name, interrupt)
    with pytest.raises(Interruption):
        train(tmp_path)
    assert names(tmp_path) == ["epoch-000001.npz"]
    parts = train(tmp_path)
    assert_same(whole, parts)
    # The epoch that was being saved is the only one that was lost.
    assert parts[1].restarts == [1]


@pytest.mark.parametrize("damage", ["cut", "overwritten", "empty"])
def test_a_spoiled_checkpoint_costs_one_epoch(broken_off, whole, damage):
    newest = find_checkpoints(broken_off)[-1]
    content = newest.read_bytes()
    half = len(content) // 2
    newest.write_bytes(
        {
            "cut": content[:half],
            "overwritten": content[:half] + b"?" * 64 + content[half + 64 :],
            "empty": b"",
        }[damage]
    )
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        parts = train(broken_off)
    told = [str(one.message) for one in caught]
    assert any("older epoch-000001.npz is read" in text for text in told)
    assert_same(whole, parts)
    assert parts[1].restarts == [1]


def test_all_checkpoints_spoiled(broken_off):
    for path in find_checkpoints(broken_off):
        path.write_bytes(b"?")
    with pytest.raises(checkpoint.CheckpointError, match="none of the check"):
        train(broken_off)


def test_afresh(broken_off, whole):
    again = train(broken_off, resume=False)
    assert_same(whole, again)
    assert again[1].restarts == []


def test_a_call_after_the_end_trains_nothing(broken_off, whole):
    train(broken_off)
    before = [path.stat().st_mtime_ns for path in find_checkpoints(broken_off)]
    assert_same(whole, train(broken_off))
    after = [path.stat().st_mtime_ns for path in find_checkpoints(broken_off)]
    assert before == after


def test_patience_ends_a_training_for_good(tmp_path):
    options = {
        # Nothing is learned, so that the first epoch stays the best one.
        "optimizer": lambda: keras.optimizers.SGD(0.0),
        "monitor": Monitor(metric="val_accuracy", patience=1),
    }
    ended = train(tmp_path, **options)
    assert ended[1].epochs == 2 < EPOCHS
    assert ended[1].best_epoch == 0
    assert_same(ended, train(tmp_path, **options))


def test_another_training_is_refused(broken_off):
    before = names(broken_off)
    with pytest.raises(ValueError, match=r"another.*different=\['seed'\]"):
        train(broken_off, identity={"seed": 8})
    assert names(broken_off) == before


def test_another_model_is_refused(broken_off):
    with pytest.raises(ValueError, match="is of another model"):
        train(broken_off, mixture=True)


def test_weights_are_those_of_the_best_epoch(tmp_path, whole):
    class Keep(keras.callbacks.Callback):
        weights = []

        def on_epoch_end(self, epoch, logs=None):
            self.weights.append(self.model.get_weights())

    keep = Keep()
    model, record = train(tmp_path, keep)
    assert record.best_epoch == int(np.argmin(record.history["val_loss"]))
    kept = keep.weights[record.best_epoch]
    for left, right in zip(model.get_weights(), kept, strict=True):
        np.testing.assert_array_equal(left, right)


def test_two_checkpoints_are_kept(tmp_path):
    train(tmp_path)
    assert [path.name for path in sorted(tmp_path.iterdir())] == [
        "epoch-000002.npz",
        "epoch-000003.npz",
    ]
    checkpoint.remove_checkpoints(tmp_path)
    assert not tmp_path.exists()
