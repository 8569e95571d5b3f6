"""Oracles: what is drawn, what is refused, and what a restart knows."""

from collections import Counter

import keras_tuner
import pytest
from keras_tuner.engine.base_tuner import BaseTuner

from tests.search.tuning import Sums, finish, oracle_of, run

METHODS = ["random", "bayesian", "grid"]


@pytest.mark.parametrize("method", METHODS)
def test_all_that_is_allowed_is_tried_once(method, tmp_path):
    model = Sums(most=12)
    oracle = oracle_of(method, model, tmp_path)
    tried = [model.key(values) for values in run(oracle)]
    assert sorted(tried) == sorted(model.allowed())
    # Each is asked about once, whatever is drawn.
    asked = [model.key(values) for values in model.asked]
    assert len(asked) == len(set(asked))
    assert set(oracle.refused) == set(asked) - set(tried)
    assert all("is too much" in why for why in oracle.refused.values())


@pytest.mark.parametrize("method", [*METHODS, "hyperband"])
def test_what_is_refused_costs_no_trial(method, tmp_path):
    model = Sums(most=11)
    oracle = oracle_of(method, model, tmp_path, trials=5, epochs=1)
    found = run(oracle)
    assert len(found) == 5
    assert {model.key(values) for values in found} <= model.allowed()
    # Numbered without gaps.
    assert sorted(map(int, oracle.trials)) == list(range(5))


@pytest.mark.parametrize("method", [*METHODS, "hyperband"])
def test_nothing_is_within_the_budget(method, tmp_path):
    oracle = oracle_of(method, Sums(most=-1), tmp_path)
    assert run(oracle) == []
    assert oracle.refused


def test_keras_tuner_itself_spends_trials_on_failures(tmp_path):
    """Why configurations are refused by the oracle, and not by `build`."""

    class Refused(BaseTuner):
        def run_trial(self, trial):
            raise keras_tuner.errors.FailedTrialError("above the budget")

    space = keras_tuner.HyperParameters()
    space.Choice("a", list(range(50)))
    oracle = keras_tuner.oracles.RandomSearchOracle(
        keras_tuner.Objective("log_loss", "min"), 10, hyperparameters=space
    )
    tuner = Refused(oracle, directory=str(tmp_path), project_name="p")
    with pytest.raises(RuntimeError, match="consecutive failures"):
        tuner.search(verbose=0)
    assert len(oracle.trials) == 3
    assert {t.status for t in oracle.trials.values()} == {"FAILED"}


@pytest.mark.parametrize("method", METHODS)
def test_a_restart_goes_on(method, tmp_path):
    """Whatever was running comes again first, and nothing twice."""
    model = Sums(most=12)
    first = oracle_of(method, model, tmp_path)
    before = run(first, most=3)
    running = first.create_trial("w")
    again = oracle_of(method, model, tmp_path)
    again.reload()
    trial = again.create_trial("other")
    assert trial.trial_id == running.trial_id
    assert trial.hyperparameters.values == running.hyperparameters.values
    finish(again, trial)
    rest = run(again)
    keys = [
        model.key(v) for v in [*before, trial.hyperparameters.values, *rest]
    ]
    assert sorted(keys) == sorted(model.allowed())
    assert first.refused.items() <= again.refused.items()


def test_a_grid_does_not_wait_for_other_workers(tmp_path):
    oracle = oracle_of("grid", Sums(), tmp_path)
    trials = [oracle.create_trial(f"w{number}") for number in range(4)]
    assert {trial.status for trial in trials} == {"RUNNING"}
    points = [tuple(t.hyperparameters.values.values()) for t in trials]
    # The last name fastest; with b=0, c is of no consequence.
    assert points == [(0, 0, "x"), (0, 1, "x"), (0, 1, "y"), (0, 2, "x")]


def test_a_bayesian_search_learns(tmp_path):
    """Behind its random third, it does better than that third."""
    model = Sums()
    model.space = {"a": tuple(range(12)), "b": tuple(range(12)), "c": ("x",)}
    oracle = oracle_of("bayesian", model, tmp_path, trials=9)
    sums = [v["a"] + v["b"] for v in run(oracle)]
    assert sum(sums[-3:]) < sum(sums[:3])
    assert min(sums) <= 3


@pytest.mark.parametrize(
    ("trials", "epochs", "expected"),
    [
        # One bracket of 9 at 1 epoch, 3 at 3, 1 at 9 is 13 trials.
        (13, 9, {1: 9, 3: 3, 9: 1}),
        # Which 12 do not suffice for: 5 at 3 and 2 at 9; then 3 and 2 at 9.
        (12, 9, {3: 5, 9: 7}),
        (6, 3, {1: 3, 3: 3}),
        (2, 9, {9: 2}),
    ],
)
def test_hyperband_begins_whole_brackets(trials, epochs, expected, tmp_path):
    model = Sums()
    model.space = {"a": tuple(range(40)), "b": (0, 1, 2), "c": ("x",)}
    oracle = oracle_of("hyperband", model, tmp_path, trials, epochs)
    found = run(oracle)
    assert Counter(v["tuner/epochs"] for v in found) == expected


def test_hyperband_goes_on_with_the_best(tmp_path):
    model = Sums()
    model.space = {"a": tuple(range(40)), "b": (0, 1, 2), "c": ("x",)}
    oracle = oracle_of("hyperband", model, tmp_path, 13, 9)
    found = run(oracle, most=5)
    again = oracle_of("hyperband", model, tmp_path, 13, 9)
    again.reload()
    found += run(again)
    assert len(found) == 13
    rungs = {
        epochs: sorted(
            v["a"] + v["b"] for v in found if v["tuner/epochs"] == epochs
        )
        for epochs in (1, 3, 9)
    }
    assert rungs[3] == rungs[1][:3]
    assert rungs[9] == rungs[1][:1]


def test_unknown_method(tmp_path):
    with pytest.raises(ValueError, match=r"tune: `method` must .*'x'"):
        oracle_of("x", Sums(), tmp_path)
