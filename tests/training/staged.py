"""A small mixture with all parts that a stage can train, and its data."""

import keras
import numpy as np

from moe_keras.layers import (
    AttentionFusion,
    DenseExpert,
    GatingLayer,
    MixtureOfExperts,
    ModelExpert,
)
from tests.tools import numpy_of

ROWS, WIDTH, CLASSES = 48, 5, 3


def data(seed=0, rows=ROWS):
    rng = np.random.default_rng(seed)
    inputs = rng.normal(size=(rows, WIDTH)).astype("float32")
    return inputs, np.argmax(inputs[:, :CLASSES], axis=-1).astype("int32")


def model_expert():
    return ModelExpert(
        keras.Sequential(
            [
                keras.Input((WIDTH,)),
                # A bias in front of a normalisation learns nothing.
                keras.layers.Dense(4, use_bias=False, name="inner_dense"),
                keras.layers.BatchNormalization(name="inner_norm"),
                keras.layers.Dense(CLASSES, name="inner_out"),
            ],
            name="inner",
        ),
        name="wrapped",
    )


def mixture(top_k=None, shared=False, fusion=None):
    logits = {"output_activation": None}
    return MixtureOfExperts(
        [
            DenseExpert(CLASSES, 2, name="flat", **logits),
            DenseExpert(CLASSES, 1, hidden_units=4, name="deep", **logits),
            model_expert(),
        ],
        GatingLayer(4, top_k, name="gating"),
        fusion or AttentionFusion(3, name="attention"),
        shared=keras.layers.Dense(CLASSES, name="all_rows") if shared else None,
        name="moe",
    )


def build(top_k=None, compiled=True, **options):
    # With `shared`: a path for all rows; with `fusion`: another one.
    """Normalisation, mixture, dense layer and normalisation, softmax."""
    keras.utils.set_random_seed(7)
    inputs = keras.Input((WIDTH,), name="features")
    x = keras.layers.BatchNormalization(name="first_norm")(inputs)
    x = mixture(top_k, **options)(x)
    x = keras.layers.Dense(CLASSES, use_bias=False, name="head")(x)
    x = keras.layers.BatchNormalization(name="last_norm")(x)
    model = keras.Model(inputs, keras.layers.Softmax()(x), name="net")
    if compiled:
        model.compile(
            keras.optimizers.SGD(0.5),
            "sparse_categorical_crossentropy",
            metrics=["accuracy"],
        )
    return model


def part_of(path):
    """The part that a weight belongs to, read from its path."""
    for part, marks in {
        "experts": ("flat", "deep", "inner"),
        "gate": ("gating",),
        "fusion": ("attention",),
        "shared": ("all_rows",),
        "head": ("first_norm", "head", "last_norm"),
    }.items():
        if any(mark in path for mark in marks):
            return part
    # The figures of the routing.
    return None


def weights_of(model):
    return {weight.path: numpy_of(weight).copy() for weight in model.weights}


def changed(model, before):
    """Paths of the weights that are not as before, to the bit."""
    return {
        path
        for path, value in weights_of(model).items()
        if not np.array_equal(value, before[path])
    }


def flags_of(model):
    """All flags of layers and variables, in order."""
    layers = model._flatten_layers()
    return [
        *[layer.trainable for layer in layers],
        *[variable.trainable for variable in model.variables],
    ]
