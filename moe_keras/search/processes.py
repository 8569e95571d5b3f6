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

from moe_keras.search.job import Job

HERE = "127.0.0.1"
CHIEF = "chief"
POLL_SECONDS = 0.5
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
    poll: Callable[[], None],
) -> None:
    """Run a search in a chief and some workers, until it is done.

    Args:
        job: the search.
        workers: int > 0.
        threads: int > 0 of each process, or None for TensorFlow's choice.
        poll: called twice a second.

    Raises:
        ChildProcessError: when one of them fails; a worker that was killed is
            started again, and goes on with its trial.
    """
    with tempfile.TemporaryDirectory() as temporary:
        file = Path(temporary, "job.pickle")
        file.write_bytes(pickle.dumps(job.to_send()))
        names = [CHIEF, *(f"worker{number}" for number in range(workers))]
        port = _free_port()
        members = [
            _Member(
                name,
                [sys.executable, "-m", "moe_keras.search.process", str(file)],
                _environment(name, port, threads),
                Path(temporary, f"{name}.log"),
            )
            for name in names
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


def _wait(
    chief: _Member, workers: list[_Member], poll: Callable[[], None]
) -> None:
    """Until all workers are done; the chief would sit on for some time."""
    working = list(workers)
    while working:
        time.sleep(POLL_SECONDS)
        poll()
        for worker in list(working):
            code = worker.process.poll()
            if code == 0:
                working.remove(worker)
            elif code is not None:
                if code > 0 or worker.restarts == MOST_RESTARTS:
                    worker.fail()
                worker.restarts += 1
                worker.start()
        if working and chief.process.poll() is not None:
            chief.fail()


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
