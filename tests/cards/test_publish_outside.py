"""A model of others measured anew, and nothing else touched."""

import json
from pathlib import Path

import pytest
from sklearn.metrics import roc_auc_score
from typer.testing import CliRunner

from moe_keras.cards import publish_outside
from moe_keras.cards.card import make_card
from moe_keras.cli import app
from moe_keras.insight import paired_folds
from moe_keras.runner import latency
from moe_keras.runner.data import data_at, load_data
from moe_keras.runner.outside import fit_outside
from tests.runner.folds import make_recipe

GERMAN = Path(__file__).parents[2] / "zoo" / "risk" / "german_credit"
OURS, RIVAL, OTHER = "loans", "logistic_bins", "random_forest"


@pytest.fixture(autouse=True)
def _few_timed_calls(monkeypatch):
    monkeypatch.setattr(latency, "CALLS", 3)


def _published(folder, **changes):
    """A folder that holds what a card needs, with figures made up."""
    recipe = make_recipe(
        folder, baselines=[RIVAL, OTHER, "lightgbm"], **changes
    )
    results = json.loads((GERMAN / "results.json").read_text())
    made_up = {
        OURS: [0.8, 0.79, 0.78],
        RIVAL: [0.5, 0.5, 0.5, 0.5],
        OTHER: [0.7, 0.71, 0.75],
    }
    results["test"] = [
        {**results["test"][0], "contestant": name, "seed": seed, "auc": auc}
        for name, scores in made_up.items()
        for seed, auc in enumerate(scores)
    ]
    results["differences"] = {
        name: {**results["differences"]["boosting"], "mean": mean}
        for name, mean in ((RIVAL, 0.3), (OTHER, 0.0123456789))
    }
    (folder / "recipe.yaml").write_text(recipe.to_yaml())
    (folder / "results.json").write_text(json.dumps(results))
    return recipe, results


def test_one_contestant_alone_takes_its_place(tmp_path):
    recipe, before = _published(tmp_path)
    found = publish_outside(recipe, tmp_path, [RIVAL], tmp_path)
    assert found == json.loads((tmp_path / "results.json").read_text())
    assert found["test_readings"] == before["test_readings"] + 1
    # A seed that the recipe does not have any more is gone.
    names = [(row["contestant"], row["seed"]) for row in found["test"]]
    assert names == [
        (name, seed) for name in (OURS, RIVAL, OTHER) for seed in range(3)
    ]
    whole = load_data(recipe, tmp_path)
    rival = [row for row in found["test"] if row["contestant"] == RIVAL]
    for row in rival:
        data = data_at(recipe, whole, row["seed"])
        predict, _ = fit_outside(RIVAL, data.train)
        said = predict(data.test.inputs)[:, 1]
        auc = roc_auc_score(data.test.labels, said)
        assert row["auc"] == pytest.approx(auc, abs=1e-9)
        # Of one fold.
        assert (row["latency_ms"] is None) == (row["seed"] < 2)
    gap = paired_folds([0.8, 0.79, 0.78], [row["auc"] for row in rival], 3)
    assert found["differences"][RIVAL] == pytest.approx(gap._asdict())
    # To the bit.
    for key in set(before) - {"test", "differences", "test_readings"}:
        assert found[key] == before[key]
    assert found["differences"][OTHER] == before["differences"][OTHER]
    for contestant in (OURS, OTHER):
        assert [
            row for row in found["test"] if row["contestant"] == contestant
        ] == [row for row in before["test"] if row["contestant"] == contestant]
    card = (tmp_path / "card.md").read_text()
    assert card == make_card(tmp_path)
    assert f"been read {found['test_readings']} times" in card


def test_a_contestant_that_is_new_comes_last(tmp_path):
    recipe, before = _published(tmp_path)
    before["test"] = [
        row for row in before["test"] if row["contestant"] != RIVAL
    ]
    del before["differences"][RIVAL]
    (tmp_path / "results.json").write_text(json.dumps(before))
    found = publish_outside(recipe, tmp_path, {RIVAL}, tmp_path)
    assert found["test"][:6] == before["test"]
    assert {row["contestant"] for row in found["test"][6:]} == {RIVAL}
    assert list(found["differences"]) == [OTHER, RIVAL]


@pytest.mark.parametrize("names", [[], ["loans"], [RIVAL, "uniform"]])
def test_names_of_others_alone(tmp_path, names):
    recipe, _ = _published(tmp_path)
    with pytest.raises(
        ValueError,
        match=r"^publish_outside: `names` must be of the recipe's models of "
        r"others, \['logistic_bins', 'random_forest', 'lightgbm'\]",
    ):
        publish_outside(recipe, tmp_path, names, tmp_path)


def test_without_folds_it_is_refused(tmp_path):
    recipe, _ = _published(tmp_path, folds=None, seeds=[0])
    with pytest.raises(ValueError, match="only of a recipe with `folds`"):
        publish_outside(recipe, tmp_path, [RIVAL], tmp_path)


def test_the_command(tmp_path):
    _published(tmp_path)

    def publish(*options):
        given = ["publish", str(tmp_path), "--data-dir", str(tmp_path)]
        return CliRunner().invoke(app, [*given, *options])

    refused = publish("--only", RIVAL, "--out", "runs")
    assert refused.exit_code == 2
    assert "--only needs no runs, and so no --out" in refused.output
    done = publish("--only", RIVAL)
    assert done.exit_code == 0, done.output
    assert "card.md" in done.output.replace("\n", "")
    (tmp_path / "results.json").unlink()
    empty = publish("--only", RIVAL)
    assert empty.exit_code == 2
    assert "nothing has been published there" in empty.output
