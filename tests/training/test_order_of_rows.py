"""Arrays are shuffled anew for each epoch, and a step is traced once."""

import keras
import numpy as np
import pytest

from moe_keras.layers import (
    DenseExpert,
    GatingLayer,
    LogitFusion,
    MixtureOfExperts,
)
from moe_keras.training import Stage, fit_gate, fit_stages
from tests.tools import only_tensorflow

ROWS, BATCH, EPOCHS = 40, 16, 3
STAGE = Stage(name="all", train="all", epochs=EPOCHS)


def model_of():
    bank = DenseExpert(2, 3, output_activation=None)
    moe = MixtureOfExperts(bank, GatingLayer(3), LogitFusion(), name="moe")
    head = keras.layers.Activation("linear")
    model = keras.Sequential([keras.Input((1,)), moe, head])
    model.compile(
        "sgd",
        "sparse_categorical_crossentropy",
        metrics=[keras.metrics.SparseCategoricalAccuracy()],
    )
    return model


def data():
    rows = np.arange(ROWS, dtype="float32")[:, None] / ROWS
    return rows, (rows[:, 0] > 0.5).astype("int64")


@pytest.fixture
def seen(monkeypatch):
    """The rows of each step, as the model reads them."""
    import tensorflow as tf

    found, own = [], keras.Model.train_step

    def note(rows):
        found.append((rows.numpy()[:, 0] * ROWS).round().astype(int).tolist())

    def step(self, batch):
        rows = keras.tree.flatten(batch[0])[0]
        tf.py_function(note, [rows], [])
        return own(self, batch)

    monkeypatch.setattr(keras.Model, "train_step", step)
    return found


def epochs_of(seen):
    steps = -(-ROWS // BATCH)
    parts = [
        seen[start : start + steps] for start in range(0, len(seen), steps)
    ]
    return [[row for step in part for row in step] for part in parts]


def check(orders):
    assert len(orders) == EPOCHS
    assert all(sorted(order) == list(range(ROWS)) for order in orders)
    assert len(set(map(tuple, orders))) == EPOCHS


@only_tensorflow
def test_stages(seen):
    for seed in (3, 3, None):
        fit_stages(
            model_of(), data(), [STAGE], batch_size=BATCH, seed=seed, verbose=0
        )
    orders = epochs_of(seen)
    for start in (0, 3, 6):
        check(orders[start : start + 3])
    assert orders[:3] == orders[3:6] != orders[6:]


def test_validation_has_batches_of_the_same_size(monkeypatch):
    given, own = [], keras.Model.evaluate

    def evaluate(self, *arguments, **options):
        given.append(options["batch_size"])
        return own(self, *arguments, **options)

    monkeypatch.setattr(keras.Model, "evaluate", evaluate)
    fit_stages(
        model_of(),
        data(),
        [STAGE],
        validation_data=data(),
        batch_size=BATCH,
        verbose=0,
    )
    assert given == [BATCH] * EPOCHS


@only_tensorflow
def test_the_gate(seen):
    rows, labels = data()
    logits = np.random.default_rng(0).normal(size=(ROWS, 3, 2))
    fit_gate(
        *(model_of(), rows, labels, logits),
        epochs=EPOCHS,
        batch_size=BATCH,
        seed=3,
    )
    check(epochs_of(seen))


@only_tensorflow
def test_keras_itself_repeats_one_order(seen):
    """So that we know when it does no longer."""
    keras.utils.set_random_seed(3)
    model_of().fit(*data(), batch_size=BATCH, epochs=EPOCHS, verbose=0)
    first, *others = epochs_of(seen)
    assert sorted(first) == list(range(ROWS)) != first
    assert others == [first, first]


def test_weights_of_rows_go_with_them():
    rows, labels = data()
    weights = (labels == 1).astype("float64")
    model, alone = model_of(), model_of()
    alone.set_weights(model.get_weights())
    options = {"batch_size": ROWS, "seed": 0, "verbose": 0}
    fit_stages(model, (rows, labels, weights), [STAGE], **options)
    # Rows without a weight count as rows all the same.
    fit_stages(alone, (rows, np.ones_like(labels), weights), [STAGE], **options)
    for one, other in zip(
        model.get_weights(), alone.get_weights(), strict=True
    ):
        np.testing.assert_allclose(one, other, atol=1e-6)


@only_tensorflow
@pytest.mark.parametrize("optimizer", ["adam", "sgd", "adamw"])
def test_a_step_is_traced_once(monkeypatch, optimizer):
    counted, own = [], keras.Model.train_step
    monkeypatch.setattr(
        keras.Model,
        "train_step",
        lambda self, batch: counted.append(0) or own(self, batch),
    )
    fit_stages(
        model_of(),
        data(),
        [STAGE, Stage(name="gate", train="gate", epochs=1)],
        optimizer=optimizer,
        verbose=0,
    )
    assert len(counted) == 2
