"""A small training in stages with chance in every corner, to be interrupted."""

import keras
import numpy as np

from moe_keras.layers import (
    DenseExpert,
    GatingLayer,
    LogitFusion,
    MixtureOfExperts,
    TemperatureScaling,
)
from moe_keras.training import Recipe
from moe_keras.training.input_pipeline import InputPipeline
from moe_keras.training.recipe_stages import fit_recipe_stages
from tests.tools import numpy_of
from tests.training.recipes import small
from tests.training.staged import CLASSES, WIDTH, data
from tests.training.trainings import Interruption

BATCH = 16
STAGES = [
    {"name": "experts", "train": "experts", "epochs": 2, "loss": "experts"},
    {
        "name": "gate",
        "train": "gate",
        "epochs": 3,
        "data": "validation",
        "learning_rate": 0.1,
    },
    {"name": "all", "epochs": 2, "learning_rate": 0.01},
]
SGD = {"name": "sgd"}


def recipe(**changes):
    values = {"stages": STAGES, "batch_size": BATCH, "epochs": 1, **changes}
    return Recipe.model_validate(small(augmentation=None, **values))


def network(noise=0.1, gate=None):
    """With chance in front of the mixture, in its gate, and behind it."""
    keras.utils.set_random_seed(7)
    inputs = keras.Input((WIDTH,))
    x = keras.layers.GaussianNoise(noise)(inputs)
    banks = [
        DenseExpert(CLASSES, 2, output_activation=None, name="flat"),
        DenseExpert(
            CLASSES, 1, hidden_units=4, output_activation=None, name="deep"
        ),
    ]
    gate = gate or GatingLayer(3, 2, noisy=noise > 0, name="gating")
    x = MixtureOfExperts(banks, gate, LogitFusion(), name="moe")(x)
    x = keras.layers.Dense(CLASSES, name="head")(x)
    x = keras.layers.Dropout(noise)(x)
    outputs = keras.layers.Softmax()(TemperatureScaling(name="temperature")(x))
    return keras.Model(inputs, outputs, name="net")


def train(folder, *callbacks, model=None, resume=True, identity=7, **changes):
    """One process: a new model, and all that is left of the training."""
    model = model or network()
    record = fit_recipe_stages(
        model,
        recipe(**changes),
        InputPipeline(*data(), BATCH, seed=7),
        data(1, rows=20),
        folder,
        {"seed": identity},
        callbacks,
        resume,
    )
    return model, record


class Watch(keras.callbacks.Callback):
    """Counts the epochs of each `fit`; raises at one step of one of them."""

    def __init__(self, fit=None, epoch=None, step=None):
        super().__init__()
        self._place = fit, epoch, step
        self.fits = []

    def on_train_begin(self, logs=None):
        self.fits.append([])

    def on_epoch_begin(self, epoch, logs=None):
        self.fits[-1].append(epoch)

    def on_train_batch_end(self, batch, logs=None):
        if (len(self.fits) - 1, self.fits[-1][-1], batch) == self._place:
            raise Interruption


def assert_same(one, two):
    (model, record), (other, again) = one, two
    for left, right in zip(model.variables, other.variables, strict=True):
        np.testing.assert_array_equal(numpy_of(left), numpy_of(right))
    # NaN is equal to itself here.
    np.testing.assert_equal(again.history, record.history)
