"""A preset that reads texts, from its recipe to its card."""

import io
import json

import numpy as np
import pytest
from rich.console import Console

from moe_keras.cards import publish_recipe
from moe_keras.data import load_dataset
from moe_keras.ops.cost import count_multiply_adds
from moe_keras.runner import train_recipe
from moe_keras.training import Recipe
from moe_keras.zoo import load_preset
from tests.zoo.tiny_sentiment import EXPERTS, NAMES

pytestmark = pytest.mark.slow

DATA = {"size": 300, "test_size": 100}
ARGUMENTS = {
    "experts": EXPERTS,
    "max_length": 40,
    "read_length": 30,
    "embedding_dim": 6,
}
VALUES = {
    "name": "tiny_reviews",
    "description": "Tiny, for a test.",
    "task": "sentiment",
    "data": {"name": "synthetic_reviews", "options": DATA},
    "builder": {"name": "sentiment", "arguments": ARGUMENTS},
    "epochs": 1,
    "stages": [
        {"name": "experts", "train": "experts", "loss": "experts"},
        {"name": "gate", "train": "gate", "data": "validation"},
    ],
    "calibrate": True,
    "seeds": [0],
    "baselines": [
        {"name": "active_twin", "bank": "conv_0"},
        {"name": "uniform", "recombine": "uniform"},
        {"name": "stacking", "recombine": "stacking"},
        {"name": "conv_alone", "recombine": "conv_0"},
        "tfidf_logistic",
    ],
}


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """The preset's folder, and what its `results.json` holds."""
    recipe = Recipe.model_validate(VALUES)
    runs = tmp_path_factory.mktemp("runs")
    quiet = Console(file=io.StringIO())
    for baseline in (None, "active_twin"):
        train_recipe(recipe, 0, runs, console=quiet, baseline=baseline)
    folder = tmp_path_factory.mktemp("zoo") / "sentiment" / recipe.name
    folder.mkdir(parents=True)
    (folder / "recipe.yaml").write_text(recipe.to_yaml())
    return folder, publish_recipe(recipe, folder, runs)


def test_the_preset_is_the_model_that_was_scored(published):
    folder, results = published
    preset = load_preset(folder)
    assert (preset.task, preset.classes) == (
        "sentiment",
        ("negative", "positive"),
    )
    test = load_dataset("synthetic_reviews", **DATA).test
    found = preset.model.predict(test.inputs, verbose=0)
    right = found.argmax(axis=1) == test.labels
    assert results["shipped"]["accuracy"] == pytest.approx(right.mean())
    assert preset.info.scores["accuracy"]["mean"] == pytest.approx(
        results["test"][0]["accuracy"]
    )
    # Calibrated, and folded.
    assert float(preset.model.get_layer("temperature").scale) != 1
    assert preset.model.get_layer("moe").experts[0].folded
    # All read every text, of the declared length.
    cost = count_multiply_adds(preset.model)
    assert preset.info.multiply_adds == {
        "active": cost.active,
        "total": cost.total,
    }


def test_the_builder_is_told_without_the_texts(published):
    folder, _ = published
    told = json.loads((folder / "preset.json").read_text())["builder"]
    assert told["name"] == "sentiment"
    # With what the number of texts decides.
    assert told["arguments"] == {
        **ARGUMENTS,
        "min_count": 1,
        "num_classes": 2,
    }


def test_routing_latency_and_calibration_are_those_of_texts(published):
    _, results = published
    assert list(results["routing"]) == ["gating"]
    routing = results["routing"]["gating"]
    assert routing["experts"] == NAMES
    assert routing["load"] == pytest.approx([0.25] * 4)
    by_class = np.asarray(routing["by_class"])
    assert by_class.shape == (2, 4)
    np.testing.assert_allclose(by_class.sum(axis=1), 1, atol=1e-3)
    latency = results["latency_ms"]
    assert 0 < latency["p50"] <= latency["p99"]
    assert sum(results["calibration"]["count"]) == DATA["test_size"]


def test_the_card_can_be_read(published):
    folder, results = published
    card = (folder / "card.md").read_text()
    for phrase in (
        "# sentiment/tiny_reviews",
        "Tiny, for a test.",
        "negative, positive",
        "| class | ngram_0 | ngram_1 | conv_0 | attention_0 |",
        "| active_twin | 1 |",
        "| uniform | 1 |",
        "those of a text of 40 words, the most that are read",
        "| stacking | 1 |",
        "| conv_alone | 1 |",
        f"| the SavedModel | {results['latency_ms']['p50']} |",
        "| `tfidf_logistic` | ",
    ):
        assert phrase in card
    # Nothing is chosen where all are heard.
    assert "every row goes to every expert" in card
    assert "all choices" not in card
    for picture in ("calibration.png", "routing.png"):
        assert (folder / picture).stat().st_size > 1000
