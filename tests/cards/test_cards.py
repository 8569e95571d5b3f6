"""From runs to a card: who is compared, on what, and what is written down."""

import io
import json
import shutil

import keras
import numpy as np
import pytest
from rich.console import Console
from typer.testing import CliRunner

from moe_keras import one_writer
from moe_keras.cards import (
    compare_recipe,
    publish,
    publish_recipe,
    write_card,
    write_cards,
    zoo_table,
)
from moe_keras.cards.card import make_card, verdicts
from moe_keras.cards.zoo_table import BEGIN, END, fill_table
from moe_keras.cli import app
from moe_keras.data import load_dataset
from moe_keras.insight import paired_bootstrap
from moe_keras.runner import train_recipe
from moe_keras.training import Recipe
from moe_keras.zoo import from_preset
from tests.training.recipes import small


@pytest.fixture(scope="module")
def recipe():
    values = small()
    # Every expert sees every image: none can be dead after one epoch.
    values["builder"]["arguments"]["top_k"] = None
    return Recipe.model_validate(
        dict(
            values,
            epochs=1,
            seeds=[0, 1],
            description="Tiny, for a test.",
            baselines=["active_twin", "parameter_twin"],
        )
    )


@pytest.fixture(scope="module")
def runs(recipe, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs")
    quiet = Console(file=io.StringIO())
    for seed in recipe.seeds:
        train_recipe(recipe, seed, out, console=quiet)
    train_recipe(recipe, 0, out, console=quiet, baseline="active_twin")
    return out


@pytest.fixture(scope="module")
def zoo(recipe, runs, tmp_path_factory):
    root = tmp_path_factory.mktemp("zoo")
    folder = root / "image" / recipe.name
    folder.mkdir(parents=True)
    (folder / "recipe.yaml").write_text(recipe.to_yaml())
    publish_recipe(recipe, folder, runs)
    return root


def results_of(zoo, recipe):
    return json.loads(
        (zoo / "image" / recipe.name / "results.json").read_text()
    )


def right_of(folder, split):
    model = keras.saving.load_model(folder / "model.keras")
    return model.predict(split.inputs, verbose=0).argmax(1) == split.labels


def test_all_that_was_trained_is_compared_on_the_same_rows(recipe, runs):
    found = compare_recipe(recipe, runs)
    assert found.contestants() == [recipe.name, "active_twin"]
    assert [row["seed"] for row in found.rows] == [0, 1, 0]
    split = load_dataset("digits").validation
    right = [right_of(runs / str(seed), split) for seed in (0, 1)]
    assert found.scores(recipe.name, "accuracy") == pytest.approx(
        [share.mean() for share in right]
    )
    twin = right_of(runs / "active_twin" / "0", split)
    expected = paired_bootstrap(np.mean(right, axis=0), twin)
    assert found.differences == {"active_twin": expected}


def test_the_best_seed_on_the_validation_split_is_shipped(recipe, runs, zoo):
    results = results_of(zoo, recipe)
    validation = compare_recipe(recipe, runs).scores(recipe.name, "accuracy")
    assert results["shipped"]["seed"] == int(np.argmax(validation))
    split = load_dataset("digits").test
    model = from_preset(str(zoo / "image" / recipe.name))
    right = model.predict(split.inputs, verbose=0).argmax(1) == split.labels
    assert results["shipped"]["accuracy"] == pytest.approx(right.mean())
    scores = [row["accuracy"] for row in results["test"]][:2]
    assert scores == pytest.approx(
        [right_of(runs / str(seed), split).mean() for seed in (0, 1)]
    )


def test_each_reading_of_the_test_split_is_counted(recipe, runs, zoo, tmp_path):
    assert results_of(zoo, recipe)["test_readings"] == 1
    (tmp_path / "recipe.yaml").write_text(recipe.to_yaml())
    for reading in (1, 2):
        results = publish_recipe(recipe, tmp_path, runs)
        assert results["test_readings"] == reading


def test_routing_is_that_of_the_shipped_model(recipe, zoo):
    (routing,) = results_of(zoo, recipe)["routing"].values()
    assert sum(routing["load"]) == pytest.approx(1, abs=1e-3)
    by_class = np.asarray(routing["by_class"])
    assert by_class.shape == (10, len(routing["load"]))
    np.testing.assert_allclose(by_class.sum(axis=1), 1, atol=1e-3)


def test_the_card_says_what_the_results_say(recipe, zoo):
    folder = zoo / "image" / recipe.name
    text = (folder / "card.md").read_text()
    assert text == make_card(folder)
    results = results_of(zoo, recipe)
    mean = 100 * np.mean([row["accuracy"] for row in results["test"][:2]])
    assert f"{mean:.2f} ±" in text
    assert f"{100 * results['shipped']['accuracy']:.2f}" in text
    for word in ("Tiny, for a test.", "active_twin", "float16", "CC BY 4.0"):
        assert word in text
    for picture in ("calibration.png", "routing.png"):
        assert picture in text
        assert (folder / picture).stat().st_size > 1000


def test_a_verdict_needs_significance():
    gaps = {
        "a": {"mean": 0.02, "low": 0.01, "high": 0.03, "p_value": 0.001},
        "b": {"mean": -0.02, "low": -0.03, "high": -0.01, "p_value": 0.01},
        "c": {"mean": 0.02, "low": -0.01, "high": 0.05, "p_value": 0.2},
    }
    ahead, behind, neither = verdicts({"differences": gaps}, "ours")
    assert "`ours` is ahead of `a`: +2.00 points" in ahead
    assert "loses to `b`: -2.00 points (-3.00 to -1.00, p = 0.0100)" in behind
    assert "is not told apart from `c`" in neither


@pytest.mark.parametrize(("least", "dead"), [(0.06, True), (0.07, False)])
def test_a_model_with_a_dead_expert_is_not_published(
    least, dead, recipe, runs, tmp_path, monkeypatch
):
    (tmp_path / "recipe.yaml").write_text(recipe.to_yaml())
    splits = []
    routing = {
        "experts": ["0", "1", "2", "3"],
        "load": [least, 0.25, 0.25, 0.5 - least],
        "by_class": np.full((10, 4), 0.25).tolist(),
    }

    def routing_of(model, split, classes):
        splits.append(len(split))
        return {"gate": routing}

    monkeypatch.setattr(publish, "routing_of", routing_of)
    if dead:
        with pytest.raises(ValueError, match=r"at least 0.25 .* gate='gate'"):
            publish_recipe(recipe, tmp_path, runs)
        # The test split has not been read.
        assert splits == [len(load_dataset("digits").validation)]
        assert not (tmp_path / "results.json").exists()
    else:
        publish_recipe(recipe, tmp_path, runs)
        text = (tmp_path / "card.md").read_text()
        assert "takes 0.28 of an even load" in text
        assert "| *all choices* | 0.070 | 0.250 | 0.250 | 0.430 |" in text


def test_the_zoos_table_has_a_line_for_each_preset(recipe, zoo, tmp_path):
    table = zoo_table(zoo)
    assert len(table.splitlines()) == 3
    assert f"image/{recipe.name}/card.md" in table
    page = tmp_path / "page.md"
    page.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    write_cards(zoo, [page])
    assert page.read_text() == f"before\n{BEGIN}\n{table}{END}\nafter\n"
    with pytest.raises(ValueError, match="the text has no"):
        fill_table("nothing", table)


def test_what_is_missing_is_said(recipe, runs, tmp_path):
    with pytest.raises(FileNotFoundError, match="has not been trained there"):
        compare_recipe(recipe, tmp_path)
    with pytest.raises(ValueError, match="Received: split='train'"):
        compare_recipe(recipe, runs, "train")


def test_the_command_shows_the_table(recipe, runs, tmp_path):
    (tmp_path / "recipe.yaml").write_text(recipe.to_yaml())
    result = CliRunner().invoke(
        app, ["compare", str(tmp_path), "--out", str(runs)]
    )
    assert result.exit_code == 0, result.output
    assert "active_twin" in result.output
    assert "ahead by" in result.output
    missing = CliRunner().invoke(
        app, ["compare", str(tmp_path), "--out", str(tmp_path)]
    )
    assert missing.exit_code == 2
    assert "has not been trained" in missing.output


def test_results_of_another_recipe_make_no_card(recipe, zoo, tmp_path):
    folder = tmp_path / "image" / recipe.name
    shutil.copytree(zoo / "image" / recipe.name, folder)
    file, text = folder / "recipe.yaml", recipe.to_yaml()
    file.write_text(text.replace("Tiny, for", "Small, for"))
    assert "Small, for a test." in write_card(folder)
    file.write_text(text.replace("epochs: 1\n", "epochs: 2\n"))
    with pytest.raises(ValueError, match=r"publish it again.*\['epochs'\]"):
        write_cards(tmp_path)
    file.write_text(text)
    # Of an earlier version, which did not say whose they are.
    results = json.loads((folder / "results.json").read_text())
    del results["training"]
    (folder / "results.json").write_text(json.dumps(results))
    write_cards(tmp_path)
    # A kill between the new preset and its results.
    preset = (folder / "preset.json").read_text()
    (folder / "preset.json").write_text(preset.replace("0.1", "0.2", 1) + " ")
    with pytest.raises(ValueError, match=r"publish it again.*preset\.json"):
        write_cards(tmp_path)
    (folder / "results.json").write_text("[]")
    with pytest.raises(ValueError, match="holds no results"):
        write_cards(tmp_path)


def test_a_folder_of_another_recipe_is_not_published_into(
    recipe, runs, tmp_path
):
    other = recipe.model_copy(update={"batch_size": 7})
    (tmp_path / "recipe.yaml").write_text(other.to_yaml())
    with pytest.raises(ValueError, match=r"another recipe's.*'batch_size'"):
        publish_recipe(recipe, tmp_path, runs)
    with pytest.raises(ValueError, match=r"another.*'recipe\.batch_size'"):
        publish_recipe(other, tmp_path, runs)


def test_cards_hold_each_folder(zoo, recipe, monkeypatch):
    monkeypatch.setattr(one_writer, "PATIENCE_SECONDS", 0.01)
    with one_writer.one_writer(zoo / "image" / recipe.name, "another"):
        with pytest.raises(OSError, match="write_cards: another process"):
            write_cards(zoo)
