"""Whole searches, on trainings that are made up, and on a few real ones."""

import importlib
import io
import json
import os
import pickle
import random

import numpy as np
import pytest
import yaml
from rich.console import Console

import moe_keras.search.hypermodels.moe_hypermodel as hypermodels
from moe_keras import one_writer
from moe_keras.ops.cost import count_multiply_adds
from moe_keras.search import Budget, tune
from moe_keras.search.tables import trials_table
from moe_keras.training import load_recipe
from moe_keras.training.builders import build_from_data
from tests.search.tuning import QUIET, TINY, search


def test_what_a_search_returns(data, trained, tmp_path):
    result = search(data, tmp_path, seeds=2)
    assert [trial.number for trial in result.trials] == list(range(5))
    assert {trial.status for trial in result.trials} == {"done"}
    assert len(trained) == 10
    for trial, (key, seed, _) in zip(result.trials, trained[::2], strict=True):
        assert seed == 0
        # The mean over two seeds, in all figures.
        draws = [random.Random(f"{key} {s}") for s in range(2)]
        found = np.mean([[d.random(), d.random()] for d in draws], axis=0)
        assert trial.scores["accuracy"] == pytest.approx(found[0], abs=0)
        assert trial.score == trial.scores["log_loss"]
        assert trial.score == pytest.approx(found[1], abs=0)
        assert trial.seconds == 4.0
        assert trial.epochs == 1
        assert trial.arguments["experts"] == trial.values["experts"]
    assert result.best.score == min(trial.score for trial in result.trials)
    assert result.best in result.front
    assert result.trials[0].latency_ms is None


def test_accuracy_is_to_be_high(data, trained, tmp_path):
    result = search(data, tmp_path, objective="accuracy")
    assert result.best.score == max(
        trial.scores["accuracy"] for trial in result.trials
    )
    costs = [trial.multiply_adds for trial in result.front]
    scores = [trial.score for trial in result.front]
    assert costs == sorted(costs)
    assert scores == sorted(scores)


def test_what_a_search_writes(data, trained, tmp_path):
    result = search(data, tmp_path)
    rows = json.loads((tmp_path / "trials.json").read_text())
    assert [row["score"] for row in rows] == [t.score for t in result.trials]
    assert (tmp_path / "pareto.png").read_bytes()[:4] == b"\x89PNG"
    recipe = load_recipe(tmp_path)
    assert recipe == result.recipe
    assert recipe.name == "digits_tuned"
    assert recipe.data.name == "digits"
    rate = result.best.values["learning_rate"]
    assert recipe.optimizer.learning_rate == rate


def test_the_picture_shows_trials_front_and_budget(data, trained, tmp_path):
    limit = Budget(max_multiply_adds=9e9)
    result = search(data, tmp_path, budget=limit)
    (axes,) = result.plot().axes
    trials, front, budget = axes.lines
    shown = sorted(zip(*trials.get_data(), strict=True))
    assert shown == sorted((t.multiply_adds, t.score) for t in result.trials)
    shown = list(zip(*front.get_data(), strict=True))
    assert shown == [(t.multiply_adds, t.score) for t in result.front]
    assert set(budget.get_xdata()) == {9e9}


def test_the_table(data, trained, tmp_path):
    result = search(data, tmp_path)
    console = Console(width=120, record=True, file=io.StringIO())
    console.print(trials_table(result))
    lines = console.export_text().splitlines()
    (best,) = [line for line in lines if line.lstrip().startswith("*")]
    assert f"{result.best.score:.4f}" in best
    assert "learning_rate" in best
    # What is the same in all trials is not there.
    assert "width" not in best
    assert "- no other is both better and cheaper" in lines[-1]


def test_the_same_call_trains_nothing_more(data, trained, tmp_path):
    first = search(data, tmp_path)
    count = len(trained)
    again = search(data, tmp_path)
    assert len(trained) == count
    assert again.trials == first.trials
    more = search(data, tmp_path, trials=7)
    assert len(trained) == count + 2
    assert more.trials[:5] == first.trials


def test_the_folder_of_another_search(data, trained, tmp_path):
    search(data, tmp_path)
    with pytest.raises(ValueError, match=r"another search.*'method', 'seeds'"):
        search(data, tmp_path, method="grid", seeds=2)
    fresh = search(data, tmp_path, method="grid", overwrite=True, trials=2)
    assert len(fresh.trials) == 2


@pytest.mark.parametrize(
    "name", ["search.json", "trials/oracle.json", "trials/trial_*/trial.json"]
)
@pytest.mark.parametrize("damage", ["empty", "half", "flipped"])
def test_a_damaged_file_of_a_search(data, trained, tmp_path, name, damage):
    search(data, tmp_path, trials=2)
    file = sorted(tmp_path.glob(name))[-1]
    text = file.read_text()
    digit = next(place for place, one in enumerate(text) if one in "2345")
    damaged = {
        "empty": "",
        "half": text[: len(text) // 2],
        "flipped": f"{text[:digit]}7{text[digit + 1 :]}",
    }
    file.write_text(damaged[damage])
    with pytest.raises(ValueError, match="begin afresh") as caught:
        search(data, tmp_path, trials=3)
    assert str(file) in str(caught.value)
    assert search(data, tmp_path, trials=2, overwrite=True).best


def test_two_searches_in_one_folder(data, trained, tmp_path, monkeypatch):
    monkeypatch.setattr(one_writer, "PATIENCE_SECONDS", 0.01)
    with one_writer.one_writer(tmp_path, "another"):
        with pytest.raises(OSError, match="tune: another process writes"):
            search(data, tmp_path)
        # A worker on another machine shares the folder with its chief.
        monkeypatch.setenv("KERASTUNER_TUNER_ID", "worker0")
        module = importlib.import_module("moe_keras.search.tune")
        monkeypatch.setattr(module, "_run", lambda *_: None)
        assert search(data, tmp_path).trials == ()


def test_within_the_budget(data, trained, tmp_path):
    free = search(data, tmp_path / "free", method="grid", trials=99)
    assert free.rejected == 0
    costs = [trial.parameters for trial in free.trials]
    limit = sorted(costs)[len(costs) // 2]
    tight = search(
        data,
        tmp_path / "tight",
        method="grid",
        trials=99,
        budget=Budget(max_parameters=limit),
    )
    assert len(tight.trials) == sum(cost <= limit for cost in costs)
    assert tight.rejected == sum(cost > limit for cost in costs)
    assert all(trial.parameters <= limit for trial in tight.trials)


def test_latency_is_measured_where_it_is_limited(data, trained, tmp_path):
    budget = Budget(max_latency_ms=1e5)
    result = search(data, tmp_path, trials=1, budget=budget)
    assert result.trials[0].latency_ms == 1.5


def test_a_gate_that_chose_the_dearer_experts(
    data, trained, tmp_path, monkeypatch
):
    """Within the budget by the even load, above it by the measured one."""
    train = hypermodels.MoEHyperModel.train

    def dearer(self, values, *arguments, **options):
        result = train(self, values, *arguments, **options)
        factor = 2 if values["experts"] == 3 else 1
        result["active_multiply_adds"] *= factor
        return result

    monkeypatch.setattr(hypermodels.MoEHyperModel, "train", dearer)
    result = search(
        data,
        tmp_path,
        method="grid",
        trials=99,
        budget=Budget(max_multiply_adds=2000),
    )
    above = [t for t in result.trials if t.status == "above budget"]
    # All three of three are too many before; two of three count double.
    assert {t.values["top_k"] for t in above} == {2}
    assert {t.multiply_adds for t in above} == {4000}
    assert "above" in above[0].message
    assert result.best not in above
    assert not set(map(id, above)) & set(map(id, result.front))


def test_a_recipe_says_the_rest(trained, tmp_path):
    text = """
    {name: mine, task: image, data: {name: digits, options:
    {validation_share: 0.3}}, builder: {name: image}, epochs: 4,
    augmentation: {crop: 1}, batch_size: 32}
    """
    (tmp_path / "recipe.yaml").write_text(text)
    result = tune(
        load_recipe(tmp_path),
        only=TINY,
        method="random",
        trials=1,
        out=tmp_path / "out",
        console=QUIET,
    )
    written = yaml.safe_load((tmp_path / "out" / "recipe.yaml").read_text())
    assert written["name"] == "mine_tuned"
    assert written["augmentation"]["crop"] == 1
    assert (written["batch_size"], written["epochs"]) == (32, 4)
    assert written["data"]["options"] == {"validation_share": 0.3}
    assert result.trials[0].epochs == 4


def test_a_job_can_be_sent(data, tmp_path):
    from moe_keras.search.job import Job

    job = Job(
        *("image", data, tmp_path, None, 4, TINY, None),
        *("random", 3, 1, 1, "log_loss", 0),
    )
    twin = pickle.loads(pickle.dumps(job.to_send()))
    assert twin.data.test is None
    assert twin.hypermodel().space == job.hypermodel().space
    assert (twin.data.train.inputs == data.train.inputs).all()


def test_one_real_trial(data, tmp_path):
    """Its files are those of a run, and the result is what they hold."""
    result = search(data, tmp_path, trials=1)
    (trial,) = result.trials
    run = json.loads((trial.folder / "0" / "result.json").read_text())
    assert trial.scores["log_loss"] == run["log_loss"]
    assert trial.multiply_adds == run["active_multiply_adds"]
    assert run["training"]["recipe"]["epochs"] == 1
    assert (trial.folder / "0" / "model.keras").exists()
    recipe = load_recipe(tmp_path)
    built = build_from_data(
        recipe.builder.name, recipe.builder.arguments, data, recipe.name
    )
    assert count_multiply_adds(built).active == trial.multiply_adds
    assert built.count_params() == trial.parameters
    assert "KERASTUNER_TUNER_ID" not in os.environ
