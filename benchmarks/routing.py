"""Sparse routing against its limit, its growth, and other people's layers.

One process for each backend, with KERAS_BACKEND set. TensorFlow runs in this
environment, JAX and PyTorch in `.venv-jax` and `.venv-torch` where these exist;
`--python` names another interpreter, say one with the extra `bench`. What is
not installed is skipped, with a line that says so.

    python -m benchmarks.routing
    python -m benchmarks.routing --quick --backend tensorflow
    python -m benchmarks.routing --python torch=/tmp/env/bin/python
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"
BACKENDS = ("tensorflow", "jax", "torch")
PARTS = ("limit", "reading", "growth", "peers")


def main() -> None:
    arguments = _parse()
    if arguments.worker:
        _work(arguments)
        return
    interpreters = dict(item.split("=", 1) for item in arguments.python)
    target = RESULTS / f"{arguments.name}.json"
    found = json.loads(target.read_text()) if target.exists() else {}
    for backend in arguments.backend or BACKENDS:
        python = interpreters.get(backend) or _interpreter(backend)
        result = _measure_in(python, backend, arguments)
        if result is not None:
            # Parts that did not run now stay as they were, if there are any.
            found[backend] = {**found.get(backend, {}), **result}
    if arguments.name is None:
        return
    target.parent.mkdir(exist_ok=True)
    target.write_text(json.dumps(found, indent=1) + "\n")
    print(f"saved {target.relative_to(ROOT)}")
    if arguments.name == "routing":
        from benchmarks import page

        page.write(found)
        print(f"wrote {page.PAGE.relative_to(ROOT)}")


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--backend",
        action="append",
        choices=BACKENDS,
        help="may be repeated; all of them without it",
    )
    parser.add_argument(
        "--part",
        action="append",
        choices=PARTS,
        help="may be repeated; all of them without it",
    )
    parser.add_argument(
        "--python",
        action="append",
        default=[],
        metavar="BACKEND=PATH",
        help="interpreter for a backend",
    )
    parser.add_argument(
        "--quick",
        action="store_true",
        help="small sizes, saved nowhere without --name",
    )
    parser.add_argument("--name", help="of the file with the results")
    parser.add_argument("--worker", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if not arguments.quick:
        arguments.name = arguments.name or "routing"
    return arguments


def _interpreter(backend: str) -> str:
    own = ROOT / f".venv-{backend}" / "bin" / "python"
    return str(own) if own.exists() else sys.executable


def _measure_in(
    python: str, backend: str, arguments: argparse.Namespace
) -> dict | None:
    """One backend in a process of its own; None where nothing came of it."""
    missing = subprocess.run(
        [python, "-c", f"import {backend}"], capture_output=True, check=False
    ).returncode
    if missing:
        print(f"{backend}: skipped, not installed for {python}")
        return None
    with tempfile.TemporaryDirectory() as folder:
        answer = Path(folder) / "answer.json"
        command = [python, "-m", "benchmarks.routing", f"--worker={answer}"]
        command += [f"--part={part}" for part in arguments.part or PARTS]
        command += ["--quick"] if arguments.quick else []
        environment = {
            "TF_CPP_MIN_LOG_LEVEL": "2",
            **os.environ,
            "KERAS_BACKEND": backend,
            # The CPU, also where there is an accelerator.
            "CUDA_VISIBLE_DEVICES": "",
            "JAX_PLATFORMS": "cpu",
        }
        done = subprocess.run(command, cwd=ROOT, env=environment, check=False)
        if done.returncode:
            print(f"{backend}: broke off with code {done.returncode}")
        return json.loads(answer.read_text()) if answer.exists() else None


def _work(arguments: argparse.Namespace) -> None:
    """In the process of one backend: measure, print, and hand back."""
    from benchmarks import machine, measure

    measurements = {
        "limit": measure.against_limit,
        "reading": measure.reading,
        "growth": measure.growth,
        "peers": measure.peers,
    }
    found: dict = {"machine": machine.describe()}
    for part in arguments.part or PARTS:
        found[part] = []
        for entry in measurements[part](arguments.quick):
            print(part, json.dumps(entry), flush=True)
            found[part].append(entry)
            # After every entry: a run that breaks off keeps what it has.
            arguments.worker.write_text(json.dumps(found))


if __name__ == "__main__":
    main()
