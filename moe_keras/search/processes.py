"""A search in several processes of this machine: a chief, and workers.

They are keras-tuner's own chief and workers: they find each other by
`KERASTUNER_TUNER_ID`, `KERASTUNER_ORACLE_IP` and `KERASTUNER_ORACLE_PORT`.
"""

import os
import pickle
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import keras

from moe_keras.errors import require
from moe_keras.search.job import Job

OWNER = "tune"
HERE = "127.0.0.1"
CHIEF = "chief"
POLL_SECONDS = 1.0
# Of one worker that was killed; its trial waits for it.
MOST_RESTARTS = 2
# Lines of a process's output that an error shows.
LAST_LINES = 5


@dataclass
class _Member:
    """One process, and how to start it."""

    name: str
    command: list[str]
    environment: dict[str, str]
    log: Path
    # Where it may run; anywhere without.
    processors: frozenset[int] = frozenset()
    restarts: int = 0

    def start(self) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        if self.processors:
            # At once, as a process's later threads are where its first one is.
            os.sched_setaffinity(self.process.pid, self.processors)

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.terminate()
        self.process.wait()

    def fail(self) -> None:
        lines = self.log.read_text(errors="replace").strip().splitlines()
        said = "\n".join(lines[-LAST_LINES:])
        raise ChildProcessError(
            f"tune: {self.name} ended with code {self.process.returncode}; "
            f"the same call goes on from there. It said last:\n{said}"
        )


def run_processes(
    job: Job,
    workers: int,
    threads: int | None,
    pin: bool,
    poll: Callable[[], None],
) -> None:
    """Run a search in a chief and some workers, until it is done.

    Args:
        job: the search.
        workers: int > 0.
        threads: int > 0 of each process, or None for TensorFlow's choice.
        pin: whether each worker stays on processors of its own; see
            `own_processors`.
        poll: called once a second.

    Raises:
        ValueError: when there are too few processors to pin to.
        ChildProcessError: when one of them fails; a worker that was killed is
            started again, and goes on with its trial.
    """
    places = own_processors(workers, threads or 1) if pin else []
    with tempfile.TemporaryDirectory() as temporary:
        file = Path(temporary, "job.pickle")
        file.write_bytes(pickle.dumps(job.to_send()))
        names = [CHIEF, *(f"worker{number}" for number in range(workers))]
        # The chief has little to do, wherever there is time.
        anywhere = [frozenset()] * (1 + workers - len(places))
        port = _free_port()
        members = [
            _Member(
                name,
                [sys.executable, "-m", "moe_keras.search.process", str(file)],
                _environment(name, port, threads),
                Path(temporary, f"{name}.log"),
                processors,
            )
            for name, processors in zip(
                names, [*anywhere, *places], strict=True
            )
        ]
        started: list[_Member] = []
        try:
            for member in members:
                member.start()
                started.append(member)
            _wait(members[0], members[1:], poll)
        finally:
            for member in started:
                member.stop()


def own_processors(workers: int, each: int) -> list[frozenset[int]]:
    """Processors for each worker, out of those that this process may use.

    Args:
        workers: int > 0.
        each: int > 0, processors of a worker.

    Raises:
        ValueError: when there are too few, or the system does not let a process
            choose.
    """
    require(
        hasattr(os, "sched_setaffinity"),
        OWNER,
        "`pin` needs a system that lets a process choose its processors, as "
        "Linux does.",
        platform=sys.platform,
    )
    free = sorted(os.sched_getaffinity(0))
    require(
        workers * each <= len(free),
        OWNER,
        "`pin` needs a processor for each thread of each worker.",
        workers=workers,
        threads=each,
        processors=len(free),
    )
    return [
        frozenset(free[number * each : (number + 1) * each])
        for number in range(workers)
    ]


def _wait(
    chief: _Member, workers: list[_Member], poll: Callable[[], None]
) -> None:
    """Until all workers are done, or the chief says that all trials are.

    Either may be the first: the chief looks from time to time whether somebody
    is at work, and a worker takes some time to end after its last trial.
    """
    working = list(workers)
    while working:
        time.sleep(POLL_SECONDS)
        poll()
        code = chief.process.poll()
        if code == 0:
            return
        if code is not None:
            chief.fail()
        for worker in list(working):
            code = worker.process.poll()
            if code == 0:
                working.remove(worker)
            elif code is not None:
                if code > 0 or worker.restarts == MOST_RESTARTS:
                    worker.fail()
                worker.restarts += 1
                worker.start()


def _environment(name: str, port: int, threads: int | None) -> dict[str, str]:
    own = {
        "KERASTUNER_TUNER_ID": name,
        "KERASTUNER_ORACLE_IP": HERE,
        "KERASTUNER_ORACLE_PORT": str(port),
        "KERAS_BACKEND": keras.backend.backend(),
        "TF_CPP_MIN_LOG_LEVEL": "2",
        # No proxy is asked for what is on this machine.
        "no_grpc_proxy": HERE,
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
    }
    if threads is not None:
        for key in (
            "TF_NUM_INTRAOP_THREADS",
            "TF_NUM_INTEROP_THREADS",
            "OMP_NUM_THREADS",
        ):
            own[key] = str(threads)
    return {**os.environ, **own}


def _free_port() -> int:
    with socket.socket() as found:
        found.bind((HERE, 0))
        port: int = found.getsockname()[1]
        return port
