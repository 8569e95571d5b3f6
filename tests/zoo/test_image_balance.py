"""With a variant's defaults no expert dies on small data sets.

An expert is dead when its share of the routed rows of the validation split is
below 0.05 of an even share.
"""

import functools
import json
from pathlib import Path

import keras
import pytest

import moe_keras
from moe_keras.layers import GatingLayer, record_gates
from moe_keras.training import load_recipe
from moe_keras.zoo import build_image_moe
from tests.tools import numpy_of
from tests.zoo import pictures

ZOO = Path(moe_keras.__file__).parents[1] / "zoo"
DEAD = 0.05
# A set's pictures, number of classes, epochs, and an accuracy that all
# variants reach on the validation split.
SETS = {
    "generated": (pictures.generated, 4, 20, 0.8),
    "digits": (pictures.digits, 10, 8, 0.85),
    "blood cells": (pictures.blood_cells, 8, 8, 0.5),
}


@functools.cache
def load(name):
    return SETS[name][0]()


def build(variant, shape, classes, **options):
    if variant == "backbone":
        images = keras.Input(shape)
        x = images
        for filters in (16, 32):
            x = keras.layers.Conv2D(filters, 3, 2, activation="relu")(x)
        options["backbone"] = keras.Model(images, x)
        options["trainable"] = True
    return build_image_moe(shape, classes, variant=variant, **options)


def train(model, data, epochs, batch_size=32, optimizer="adam"):
    """Accuracy and each gate's smallest share over an even one."""
    (images, labels), (held_out, answers) = data
    model.compile(optimizer, "sparse_categorical_crossentropy")
    model.fit(images, labels, epochs=epochs, batch_size=batch_size, verbose=0)
    with record_gates() as record:
        guesses = numpy_of(model(held_out)).argmax(axis=1)
    accuracy = (guesses == answers).mean()
    shares = {}
    for name, gates in record.items():
        chosen = numpy_of(gates).reshape(-1, gates.shape[-1]) > 0
        load = chosen.sum(axis=0) / chosen.sum()
        shares[name] = load.min() * chosen.shape[1]
    return accuracy, shares


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", SETS)
@pytest.mark.parametrize("variant", ["hetero", "conv", "vit", "backbone"])
def test_no_expert_dies(variant, name, seed):
    _, classes, epochs, least = SETS[name]
    data = load(name)
    keras.utils.set_random_seed(seed)
    model = build(variant, data[0][0].shape[1:], classes)
    accuracy, shares = train(model, data, epochs)
    print(variant, name, seed, round(accuracy, 4), shares)  # noqa: T201
    assert min(shares.values()) >= DEAD
    assert accuracy >= least


@pytest.mark.parametrize("name", ["fashion_mnist_moe", "fashion_mnist_small"])
def test_presets_keep_the_coefficient_that_they_were_trained_with(name):
    folder = ZOO / "image" / name
    trained = json.loads((folder / "model.json").read_text())
    assert set(values_of(trained, "balance_loss")) == {0.01}
    preset = json.loads((folder / "preset.json").read_text())
    assert preset["builder"]["arguments"]["balance_loss"] == 0.01
    recipe = load_recipe(folder / "recipe.yaml")
    assert recipe.builder.arguments["balance_loss"] == 0.01
    assert "\n    balance_loss: 0.01\n" in (folder / "card.md").read_text()


def values_of(tree, key):
    """The values under a key at any depth."""
    branches = tree if isinstance(tree, list) else []
    if isinstance(tree, dict):
        branches = tree.values()
        if key in tree:
            yield tree[key]
    for branch in branches:
        yield from values_of(branch, key)


SMALL = {
    "conv": {"widths": (8,), "blocks": (1,), "sparse_stages": 1},
    "vit": {"width": 8, "depth": 1, "hidden_units": 8},
    "backbone": {"hidden_units": 8},
}


@pytest.mark.parametrize("variant", SMALL)
def test_the_coefficient_is_that_of_every_gate(variant):
    options = {**SMALL[variant], "balance_loss": 0.5}
    model = build(variant, (16, 16, 1), 3, **options)
    layers = model._flatten_layers()
    gates = [layer for layer in layers if isinstance(layer, GatingLayer)]
    assert [gate.balance_loss for gate in gates] == [0.5]


def test_quickly_that_no_expert_dies():
    """With a coefficient of 0.01 one dies here."""
    keras.utils.set_random_seed(0)
    data = pictures.generated(96, side=12)
    model = build("conv", (12, 12, 1), 4, stem_stride=1, **SMALL["conv"])
    adam = keras.optimizers.Adam(0.01)
    _, shares = train(model, data, 8, batch_size=8, optimizer=adam)
    assert min(shares.values()) >= DEAD
