"""Runs in stages, of a model that reads texts: files, twins, temperature."""

import io
import json

import keras
import numpy as np
import pytest
from rich.console import Console

from moe_keras.data import load_dataset
from moe_keras.layers import (
    EmbeddedExperts,
    MixtureOfExperts,
    NGramExpert,
    TemperatureScaling,
)
from moe_keras.runner import train_recipe
from moe_keras.training import Recipe, fit_temperature
from tests.runner.folds import make_recipe
from tests.tools import numpy_of, only_tensorflow
from tests.training.recipes import small
from tests.training.staged_recipe import Watch
from tests.training.trainings import Interruption, Refuse
from tests.zoo.reviews import CONV, SMALL

pytestmark = only_tensorflow

DATA = {"name": "synthetic_reviews", "options": {"size": 300, "test_size": 20}}
STAGES = [
    {"name": "experts", "train": "experts", "epochs": 2, "loss": "experts"},
    {
        **{"name": "gate", "train": "gate", "epochs": 2},
        **{"data": "validation", "learning_rate": 0.01},
    },
]


def recipe(**changes):
    values = {
        "name": "reviews",
        "task": "sentiment",
        "data": DATA,
        "builder": {
            "name": "sentiment",
            "arguments": {
                "experts": {"ngram": 1, "conv": [CONV]},
                **{**SMALL, "embedded_tokens": 60, "read_length": 30},
            },
        },
        "optimizer": {"learning_rate": 0.02},
        "epochs": 3,
        "stages": STAGES,
        "calibrate": True,
        "batch_size": 64,
        "baselines": [
            {"name": "active_twin", "bank": "conv_0"},
            {"name": "joint", "staged": False},
            {"name": "equal", "arguments": {"gate": "uniform"}},
        ],
        **changes,
    }
    return Recipe.model_validate(values)


def train(out, *callbacks, **options):
    console = Console(file=io.StringIO(), width=80)
    return train_recipe(
        **{"recipe": recipe(), "seed": 0, **options},
        out=out,
        console=console,
        callbacks=callbacks,
    )


class Keep(keras.callbacks.Callback):
    """What the model gives for the validation rows, when training ends."""

    def on_train_end(self, logs=None):
        self.probabilities = self.model.predict(held_out().inputs, verbose=0)


def held_out():
    options = DATA["options"]
    return load_dataset("synthetic_reviews", **options).validation


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run without interruption, and its probabilities at T = 1."""
    keep = Keep()
    found = train(tmp_path_factory.mktemp("run"), keep)
    return found, keep.probabilities


def test_it_leaves_these_files(run):
    found, _ = run
    names = {path.name for path in found.folder.iterdir()}
    assert names == {"model.keras", "history.json", "result.json"}
    stages = ["experts", "experts", "gate", "gate"]
    assert found.history["stage"] == stages
    saved = json.loads((found.folder / "history.json").read_text())
    np.testing.assert_equal(saved, found.history)
    assert found.result["epochs"] == 4
    assert found.result["training"]["recipe"]["stages"][1]["name"] == "gate"
    again = train(found.folder.parent, Refuse())
    assert again.result == found.result


def test_the_saved_model_is_calibrated_and_folded(run):
    found, before = run
    model, rows = found.load(), held_out()
    layer = model.get_layer("temperature")
    temperature = float(numpy_of(layer.scale))
    assert abs(temperature - 1) > 0.02
    (bank,) = [
        one for one in model._flatten_layers() if isinstance(one, NGramExpert)
    ]
    assert bank.folded
    # What the model gave before that, at this temperature.
    scaled = before ** (1 / temperature)
    expected = scaled / scaled.sum(axis=1, keepdims=True)
    probabilities = model.predict(rows.inputs, verbose=0)
    np.testing.assert_allclose(probabilities, expected, atol=1e-5)
    layer.scale.assign(1.0)
    assert fit_temperature(model, rows) == pytest.approx(temperature, 1e-3)
    picked = probabilities[np.arange(len(rows)), rows.labels]
    assert found.result["log_loss"] == pytest.approx(
        -np.log(picked).mean(), abs=1e-5
    )


@pytest.mark.slow
def test_interrupted_in_the_second_stage(tmp_path, run):
    with pytest.raises(Interruption):
        train(tmp_path, Watch(1, 1, 0))
    kept = tmp_path / "0" / "checkpoints"
    assert {path.name for path in kept.iterdir()} == {"stage_0", "stage_1"}
    watch = Watch()
    parts = train(tmp_path, watch)
    assert watch.fits == [[1]]
    assert parts.result["restarts"] == [3]
    assert not kept.exists()
    whole = run[0]
    for left, right in zip(
        whole.load().get_weights(), parts.load().get_weights(), strict=True
    ):
        np.testing.assert_allclose(left, right, atol=1e-5)
    assert parts.history["stage"] == whole.history["stage"]
    np.testing.assert_allclose(
        parts.history["loss"], whole.history["loss"], atol=1e-5
    )
    # Afresh, all of it is trained again.
    watch = Watch()
    train(tmp_path, watch, resume=False)
    assert watch.fits == [[0, 1], [0, 1]]
    assert not kept.exists()


@pytest.mark.parametrize(
    "name", ["active_twin", pytest.param("joint", marks=pytest.mark.slow)]
)
def test_these_train_all_parts_together(tmp_path, name):
    watch = Watch()
    found = train(tmp_path, watch, baseline=name)
    assert watch.fits == [[0, 1, 2]]
    assert "stage" not in found.history
    assert not (found.folder / "checkpoints").exists()
    model = found.load()
    layers = model._flatten_layers()
    mixtures = [one for one in layers if isinstance(one, MixtureOfExperts)]
    assert len(mixtures) == (name == "joint")
    if name == "active_twin":
        (reader,) = [one for one in layers if isinstance(one, EmbeddedExperts)]
        assert [bank.name for bank in reader.experts] == ["conv_0"]
    # Both have a temperature of their own.
    scale = model.get_layer("temperature").scale
    assert abs(float(numpy_of(scale)) - 1) > 1e-3


def test_a_baseline_in_stages_passes_over_what_it_does_not_have(tmp_path):
    found = train(tmp_path, baseline="equal")
    assert found.history["stage"] == ["experts", "experts"]


def test_a_temperature_that_is_not_there_is_missed_at_once(tmp_path):
    changes = {"calibrate": True, "epochs": 1, "baselines": []}
    wrong = Recipe.model_validate(small(**changes))
    with pytest.raises(ValueError, match="must have one TemperatureScaling"):
        train(tmp_path, Refuse(), recipe=wrong)


def test_without_calibrate_the_temperature_is_1(tmp_path):
    stages = [{"name": "gate", "train": "gate"}]
    plain = recipe(calibrate=False, stages=stages)
    model = train(tmp_path, recipe=plain).load()
    (layer,) = [
        one for one in model.layers if isinstance(one, TemperatureScaling)
    ]
    assert float(numpy_of(layer.scale)) == 1.0


@pytest.mark.parametrize(
    ("asked", "data"),
    [
        (lambda folder: recipe(task="image"), "image"),
        (lambda folder: make_recipe(folder, data=DATA), "tabular"),
    ],
    ids=["image", "risk"],
)
def test_the_data_must_be_those_of_the_task(tmp_path, asked, data):
    told = f"{data}; those of synthetic_reviews are text"
    with pytest.raises(ValueError, match=told):
        train(tmp_path, recipe=asked(tmp_path))
