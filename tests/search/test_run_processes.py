"""How a search's processes are started, watched and stopped.

In the place of the processes stands a program of a few lines.
"""

import os
import sys
import time
from types import SimpleNamespace

import pytest

from moe_keras.search import processes

JOB = SimpleNamespace(to_send=dict)
on_linux = pytest.mark.skipif(
    not hasattr(os, "sched_setaffinity"), reason="needs pinned processes"
)


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Run a chief and two workers, each of which is this program."""

    def start(program, pin=False, threads=1, workers=2):
        file = tmp_path / "program"
        file.write_text(
            f"#!{sys.executable}\nimport os, pathlib, sys, time\n"
            f"name = os.environ['KERASTUNER_TUNER_ID']\n{program}\n"
        )
        file.chmod(0o755)
        monkeypatch.setattr(processes.sys, "executable", str(file))
        monkeypatch.setattr(processes, "POLL_SECONDS", 0.1)
        polls = []
        processes.run_processes(
            JOB, workers, threads, pin, lambda: polls.append(1)
        )
        return polls

    return start


def test_a_chief_that_ends_first_has_seen_all_trials_end(run):
    """It looks now and then, and may look before a worker has ended."""
    before = time.perf_counter()
    assert run("time.sleep(0 if name == 'chief' else 300)")
    assert time.perf_counter() - before < 60


def test_a_chief_that_fails_is_told(run):
    with pytest.raises(ChildProcessError, match="chief ended with code 3;"):
        run("time.sleep(300) if name != 'chief' else sys.exit(3)")


def test_workers_that_end_first_end_the_search(run):
    before = time.perf_counter()
    assert run("time.sleep(300 if name == 'chief' else 0)")
    assert time.perf_counter() - before < 60


@on_linux
def test_pinned_workers_are_on_processors_of_their_own(run, tmp_path):
    free = os.sched_getaffinity(0)
    if len(free) < 2:
        pytest.skip("needs two processors")
    run(
        "time.sleep(300 if name == 'chief' else 0.5)\n"
        f"place = pathlib.Path({str(tmp_path)!r}, name)\n"
        "place.write_text(' '.join(map(str, os.sched_getaffinity(0))))",
        pin=True,
    )
    one, two = (
        set(map(int, (tmp_path / name).read_text().split()))
        for name in ("worker0", "worker1")
    )
    assert len(one) == len(two) == 1
    assert one.isdisjoint(two)
    assert one | two <= free
    assert os.sched_getaffinity(0) == free


@on_linux
def test_each_thread_has_a_processor(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {2, 3, 5, 7, 8})
    assert processes.own_processors(2, 2) == [{2, 3}, {5, 7}]
    with pytest.raises(ValueError, match=r"workers=3, threads=2, proc.*=5"):
        processes.own_processors(3, 2)


def test_a_system_that_cannot_pin_says_so(monkeypatch):
    monkeypatch.delattr(os, "sched_setaffinity", raising=False)
    with pytest.raises(ValueError, match="`pin` needs a system that lets"):
        processes.own_processors(2, 1)
