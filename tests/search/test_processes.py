"""Searches that are killed, and searches of several processes."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
from rich.console import Console

from moe_keras.search import Budget, tune
from tests.search.tuning import TINY, tiny_digits

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

BUDGET = Budget(max_parameters=1e6)
OPTIONS = {
    "only": TINY,
    "max_experts": 3,
    "method": "random",
    "trials": 2,
    "epochs": 3,
}
PROGRAM = f"""
from moe_keras.search import Budget, tune
from tests.search.tuning import tiny_digits
tune("image", tiny_digits(), {BUDGET}, out="out", **{OPTIONS})
"""
SECONDS = 240


def search(folder, **options):
    return tune(
        "image",
        tiny_digits(),
        BUDGET,
        out=folder,
        console=Console(quiet=True),
        **{**OPTIONS, **options},
    )


def start(folder):
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def wait_for(pattern, folder, process):
    for _ in range(10 * SECONDS):
        if any(folder.glob(pattern)):
            return
        assert process.poll() is None
        time.sleep(0.1)
    raise AssertionError(f"{pattern} never came")


def values_and_scores(result):
    return [(dict(trial.values), trial.score) for trial in result.trials]


def test_it_survives_kill_9(tmp_path):
    """Twice killed, in the first trial and later, it ends as if it had not."""
    for pattern in (
        "out/trials/trial_0/*/checkpoints/*.npz",
        "out/trials/trial_1/*/checkpoints/*.npz",
    ):
        process = start(tmp_path)
        try:
            wait_for(pattern, tmp_path, process)
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait()
    done = tmp_path / "out/trials/trial_0/0/model.keras"
    before = done.stat()
    result = search(tmp_path / "out")
    assert done.stat() == before
    assert {trial.status for trial in result.trials} == {"done"}
    restarts = [
        json.loads(file.read_text())["restarts"]
        for file in (tmp_path / "out/trials").glob("trial_*/*/result.json")
    ]
    assert len(restarts) == 2
    assert any(restarts)
    whole = search(tmp_path / "whole")
    for (values, score), (same, other) in zip(
        values_and_scores(result), values_and_scores(whole), strict=True
    ):
        assert values == same
        # Of several threads, the last bits differ.
        assert score == pytest.approx(other, abs=1e-3)


def test_two_workers(tmp_path):
    """The trials are those of one process, which can go on with them."""
    result = search(tmp_path / "two", workers=2, threads=1, epochs=1)
    assert [trial.number for trial in result.trials] == [0, 1]
    assert {trial.status for trial in result.trials} == {"done"}
    assert result.best.score == min(trial.score for trial in result.trials)
    assert (tmp_path / "two" / "recipe.yaml").exists()
    # One process goes on where several ended, and has nothing to do.
    again = search(tmp_path / "two", epochs=1)
    assert again.trials == result.trials
    more = search(tmp_path / "two", epochs=1, trials=3)
    assert len(more.trials) == 3
    assert more.trials[:2] == result.trials
    alone = search(tmp_path / "one", epochs=1)
    first, other = (
        {
            json.dumps(dict(values), sort_keys=True): score
            for values, score in values_and_scores(one)
        }
        for one in (result, alone)
    )
    assert first.keys() == other.keys()
    for key, score in first.items():
        assert score == pytest.approx(other[key], abs=1e-3)


def test_a_worker_that_fails_is_told(tmp_path):
    """A folder that cannot be written into ends all of them."""
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "trials").write_text("no folder")
    with pytest.raises(OSError, match=r"tune: \w+ ended with code"):
        search(tmp_path / "out", workers=2)
