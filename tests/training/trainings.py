"""A tiny training with chance in every corner, and ways to interrupt it."""

import random

import keras
import numpy as np

from moe_keras.layers import DenseExpert, GatingLayer, MixtureOfExperts
from moe_keras.training.input_pipeline import InputPipeline
from moe_keras.training.recipe_parts import Monitor
from moe_keras.training.resumable import fit_resumable
from tests.tools import numpy_of

EPOCHS, ROWS, BATCH = 3, 32, 8
STEPS = ROWS // BATCH


class Interruption(Exception):
    """As if the process had ended here."""


class Interrupt(keras.callbacks.Callback):
    """Raises at one step of one epoch."""

    def __init__(self, epoch, step):
        super().__init__()
        self.place = epoch, step

    def on_epoch_begin(self, epoch, logs=None):
        self._epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        if (self._epoch, batch) == self.place:
            raise Interruption


class Refuse(keras.callbacks.Callback):
    """Raises before the first step, when the model is there."""

    def on_train_begin(self, logs=None):
        raise Interruption


class Dice(keras.callbacks.Callback):
    """Logs numbers from Python's and NumPy's sources, and a sum of its own."""

    def __init__(self):
        super().__init__()
        self.total = np.zeros(())

    def on_epoch_end(self, epoch, logs=None):
        logs["python"] = random.random()
        logs["numpy"] = np.random.random()  # noqa: NPY002
        self.total = self.total + logs["numpy"]
        logs["total"] = float(self.total)

    def get_state(self):
        return [self.total], None

    def set_state(self, arrays, facts):
        (self.total,) = arrays


def data(seed=0):
    rng = np.random.default_rng(seed)
    inputs = rng.normal(size=(ROWS, 6)).astype("float32")
    return inputs, (inputs[:, 0] + inputs[:, 1] > 0).astype("int64")


def new_model(optimizer=None, mixture=False):
    keras.utils.set_random_seed(7)
    inputs = keras.Input((6,))
    x = keras.layers.GaussianNoise(0.1)(inputs)
    if mixture:
        gate = GatingLayer(4, top_k=2, noisy=True)
        x = MixtureOfExperts(DenseExpert(8, 4), gate, name="moe")(x)
    else:
        x = keras.layers.Dense(8, activation="relu")(x)
    x = keras.layers.BatchNormalization()(x)
    x = keras.layers.Dropout(0.3)(x)
    outputs = keras.layers.Dense(2, activation="softmax")(x)
    model = keras.Model(inputs, outputs)
    model.compile(
        optimizer or keras.optimizers.Adam(0.05),
        "sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    return model


def train(folder, *callbacks, optimizer=None, mixture=False, **changes):
    """One process: a new model, and all that is left of the training."""
    model = new_model(optimizer() if optimizer else None, mixture)
    record = fit_resumable(
        model,
        InputPipeline(*data(), BATCH, seed=7),
        data(1),
        **{
            "epochs": EPOCHS,
            "folder": folder,
            "identity": {"seed": 7},
            "monitor": Monitor(metric="val_loss"),
            "callbacks": [Dice(), *callbacks],
            **changes,
        },
    )
    return model, record


def assert_same(one, two):
    """Bit for bit: weights, seeds, optimizer, history, best epoch."""
    (model, record), (other, again) = one, two
    variables = [*model.variables, *model.optimizer.variables]
    others = [*other.variables, *other.optimizer.variables]
    for left, right in zip(variables, others, strict=True):
        np.testing.assert_array_equal(numpy_of(left), numpy_of(right))
    assert record.history == again.history
    assert record.best_epoch == again.best_epoch
