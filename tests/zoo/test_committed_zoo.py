"""The presets that are committed: small enough, whole, and what they say."""

import json
import os
from pathlib import Path

import pytest

import moe_keras
from moe_keras.data.tfds_files import VARIABLE, data_folder, find_prepared
from moe_keras.runner.data import data_at, load_data
from moe_keras.runner.metrics import metrics_of
from moe_keras.runner.scoring import predict, scores_of
from moe_keras.training import load_recipe
from moe_keras.zoo import load_preset
from moe_keras.zoo.presets.loading import load_info
from tests.zoo.presets.tiny import save_tiny

ZOO = Path(moe_keras.__file__).parents[1] / "zoo"
MB = 10**6
LARGEST_WEIGHTS = 5 * MB
LARGEST_ZOO = 25 * MB
NEEDED = ("recipe.yaml", "results.json", "card.md", "model.json", "weights.npz")
PRESETS = sorted(path.parent for path in ZOO.glob("*/*/preset.json"))


def faults_of(folder):
    """What is wrong with the files of one preset."""
    info = load_info(folder)
    if (info.task, info.name) != folder.parts[-2:]:
        yield f"calls itself {info.handle}"
    for name in NEEDED:
        if not (folder / name).is_file():
            yield f"has no {name}"
    for name, file in info.files.items():
        size = (folder / name).stat().st_size
        if size > LARGEST_WEIGHTS:
            yield f"{name} has {size} bytes"
        if size != file.num_bytes:
            yield f"{name} has changed"
    if info.data["name"] not in (folder / "card.md").read_text():
        yield "its card does not name the data"


@pytest.mark.parametrize("name", ["imdb_moe", "imdb_sparse"])
def test_recipes_of_texts_say_which_words_were_known(name):
    """The defaults are others than those that the stored scores come from."""
    recipe = load_recipe(ZOO / "sentiment" / name / "recipe.yaml")
    arguments = recipe.builder.arguments
    assert arguments["min_count"] == 5
    assert {one["min_texts"] for one in arguments["experts"]["ngram"]} == {5}


def size_of(zoo):
    return sum(p.stat().st_size for p in zoo.rglob("*") if p.is_file())


@pytest.mark.parametrize("folder", PRESETS, ids=lambda path: path.name)
def test_a_preset_is_whole_and_small(folder):
    assert not list(faults_of(folder))


@pytest.mark.parametrize("folder", PRESETS, ids=lambda path: path.name)
def test_a_preset_loads_and_has_as_many_outputs_as_classes(folder):
    preset = load_preset(folder)
    assert preset.model.count_params() == preset.info.parameters
    assert preset.model.output_shape[-1] == len(preset.classes)


# Accuracy, of 1: what half-precision rounding and other hardware may change.
NEAR = 0.05 / 100


@pytest.mark.slow
@pytest.mark.parametrize("folder", PRESETS, ids=lambda path: path.name)
def test_a_preset_scores_what_its_card_says(folder):
    if not os.environ.get(VARIABLE):
        pytest.skip(f"{VARIABLE} does not say where data are")
    recipe = load_recipe(folder / "recipe.yaml")
    kind, _, name = recipe.data.name.partition(":")
    there = (
        find_prepared(name, data_folder())
        if kind == "tfds"
        else (data_folder() / name).exists()
    )
    if not there:
        pytest.skip(f"{recipe.data.name} is not in {data_folder()}")
    preset = load_preset(folder)
    shipped = json.loads((folder / "results.json").read_text())["shipped"]
    data = data_at(recipe, load_data(recipe, data_folder()), shipped["seed"])
    said = predict(preset.model, data.test, len(preset.classes))
    found = scores_of(recipe, data.test.labels, said)
    first = metrics_of(found)[0].key
    assert found[first] == pytest.approx(shipped[first], abs=NEAR)
    assert found["log_loss"] == pytest.approx(shipped["log_loss"], abs=1e-3)


def test_the_zoo_is_small():
    assert size_of(ZOO) <= LARGEST_ZOO


def test_faults_are_found(tmp_path):
    folder = tmp_path / "text" / "toy_moe"
    save_tiny(folder)
    for name in ("recipe.yaml", "card.md"):
        (folder / name).write_text("")
    with open(folder / "weights.npz", "ab") as file:
        file.write(bytes(LARGEST_WEIGHTS))
    assert [fault.split(" bytes")[0] for fault in faults_of(folder)] == [
        "calls itself image/toy_moe",
        "has no results.json",
        f"weights.npz has {(folder / 'weights.npz').stat().st_size}",
        "weights.npz has changed",
        "its card does not name the data",
    ]
    assert size_of(tmp_path) > LARGEST_WEIGHTS
