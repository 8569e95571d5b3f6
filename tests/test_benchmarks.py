"""The benchmark's arithmetic, its page, and a small run of it."""

import itertools
import json
import subprocess
import sys

import keras
import pytest

from benchmarks import (
    contestants,
    input_pipeline,
    measure,
    multi_task,
    page,
    search,
    selection,
    staged,
)
from benchmarks.timing import ratio, summary, time_in_turn
from tests.tools import assert_close, numpy_of

on_tensorflow = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow",
    reason="the benchmark chooses its backends itself",
)


def test_ratios_are_of_neighbouring_runs():
    # The machine is twice as slow in every other round.
    times = {"one": [1.0, 2.0, 1.0, 2.0], "two": [3.0, 6.0, 3.0, 6.0]}
    assert ratio(times, "two", "one") == {
        "median": 3.0,
        "quartiles": [3.0, 3.0],
    }
    assert summary(times, "one")["two"]["ms"] == 4500


def test_contestants_run_in_turn():
    calls = []
    runs = {name: lambda name=name: calls.append(name) for name in "ab"}
    times = time_in_turn(runs, repeats=2, warm_up=1)
    assert "".join(calls) == "ba" + "ab" + "ba"
    assert [len(values) for values in times.values()] == [2, 2]


@on_tensorflow
def test_page_shows_the_results():
    results = json.loads(page.RESULTS.read_text())
    text = page.PAGE.read_text()
    assert page.fill(text, results) == text


@pytest.mark.jax
def test_reading_the_kernels_is_timed_beside_the_limit():
    (entry, *_) = measure.reading(quick=True)
    assert entry["megabytes"] > 0
    for name in ("limit", "reading", "products", "cached"):
        assert entry[name]["ms"] > 0


@pytest.mark.jax
def test_products_from_the_cache_are_as_many_of_fewer_kernels():
    (bank,) = contestants.mixture(8, 2, 1).experts
    inputs = contestants.draw(12)
    found = contestants.Products(bank, rounds=3)(inputs)
    for place in range(6):
        rows = slice(2 * place, 2 * place + 2)
        alone = bank.run_all(inputs[rows])[:, place % 2]
        assert_close(found[rows], numpy_of(alone))


@on_tensorflow
@pytest.mark.slow
def test_quick_run():
    command = [sys.executable, "-m", "benchmarks.routing", "--quick"]
    command += ["--backend=tensorflow", "--name=test"]
    target = page.RESULTS.with_name("test.json")
    try:
        subprocess.run(command, cwd=page.ROOT, check=True)
        found = json.loads(target.read_text())
    finally:
        target.unlink(missing_ok=True)
    entries = found["tensorflow"]["limit"]
    assert all(entry["ours"]["ratio"]["median"] > 0 for entry in entries)
    assert "Over the limit" in page.tables(found)


@on_tensorflow
@pytest.mark.parametrize(
    "benchmark", [input_pipeline, multi_task, search, selection, staged]
)
def test_each_page_shows_the_results(benchmark):
    text = benchmark.PAGE.read_text()
    assert page.put(text, benchmark.table(results_of(benchmark))) == text


def results_of(benchmark):
    return json.loads(benchmark.RESULTS.read_text())


@on_tensorflow
def test_the_pipeline_is_seldom_waited_for_and_cheap():
    for entry in results_of(input_pipeline)["entries"]:
        assert entry["waiting"] < 0.05
        assert entry["batch_cpu_ms"] < 0.05 * entry["step_cpu_ms"]


def quick_run(benchmark):
    """What a quick run prints; it leaves the results alone."""
    before = benchmark.RESULTS.read_text()
    command = [sys.executable, "-m", benchmark.__name__, "--quick"]
    done = subprocess.run(
        command, cwd=page.ROOT, check=True, capture_output=True, text=True
    )
    assert benchmark.RESULTS.read_text() == before
    return done.stdout


@on_tensorflow
@pytest.mark.slow
def test_a_quick_run_of_the_pipelines_benchmark():
    entries = list(map(json.loads, quick_run(input_pipeline).splitlines()))
    assert len(entries) == 4
    assert all(entry["step_ms"] > 0 for entry in entries)
    assert all(0 < entry["waiting"] < 1 for entry in entries)


@on_tensorflow
@pytest.mark.slow
def test_quick_runs_of_benchmarks_that_train():
    assert "| the true chances |" in quick_run(multi_task)
    assert "| 15% |" in quick_run(selection)
    assert "| risk | found |" in quick_run(search)


@on_tensorflow
def test_two_workers_finish_a_search_sooner_than_one():
    workers = results_of(search)["workers"]
    assert workers["trials"] >= 8
    assert workers["seconds"]["1"] >= 1.5 * workers["seconds"]["2"]


@on_tensorflow
def test_a_cell_of_several_targets_by_hand():
    results, text = results_of(multi_task), multi_task.PAGE.read_text()
    found = [
        entry["auc"]["default"]
        for entry in results["entries"]
        if entry["name"] == "mmoe"
    ]
    mean = sum(found) / 3
    spread = (sum((value - mean) ** 2 for value in found) / 2) ** 0.5
    assert f"| {mean:.4f} ({spread:.4f}) |" in text
    assert len({entry["seed"] for entry in results["entries"]}) == 3


@on_tensorflow
def test_greedy_and_genetic_selection_are_near_the_best():
    results = results_of(selection)
    for entry in results["entries"]:
        assert entry["cost"] <= entry["budget"] * results["multiply_adds"]
        # Nothing is better than the best of all subsets.
        assert entry["over_best"] >= 0
        if entry["method"] in ("greedy", "genetic"):
            assert entry["over_best"] < 0.02
    # A smaller budget is a faster model, but for the noise of the clock.
    ratios = [
        results["latency"][str(share)]["ratio"]["median"]
        for share in selection.SHARES
    ]
    for smaller, larger in itertools.pairwise([*ratios, 1.0]):
        assert smaller < larger + 0.02
    assert ratios[0] < ratios[-1]


@on_tensorflow
def test_a_cell_of_the_trainings_by_hand():
    results = json.loads(staged.RESULTS.read_text())
    found = [
        100 * row["accuracy"]
        for row in results["test"]
        if row["contestant"] == "joint"
    ]
    mean = sum(found) / 3
    spread = (sum((value - mean) ** 2 for value in found) / 2) ** 0.5
    assert f"| {mean:.2f} ± {spread:.2f} |" in staged.PAGE.read_text()


@on_tensorflow
def test_searches_find_what_is_as_good_as_the_defaults():
    results = results_of(search)
    assert [entry["task"] for entry in results["entries"]] == [
        *("image", "sentiment", "risk")
    ]
    for entry in results["entries"]:
        found, default = entry["found"], entry["default"]
        assert entry["trials"] <= 12
        assert not entry["default_tried"]
        assert entry["longest_trial_s"] <= 180
        assert found["multiply_adds"] <= default["multiply_adds"]
        assert found["new_log_loss"] <= default["new_log_loss"]
