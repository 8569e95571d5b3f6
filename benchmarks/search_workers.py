"""How long eight trials take one process and two, each of one thread.

Run by `python -m benchmarks.search --workers`, on an idle machine.
"""

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks import page

TRIALS, ROWS, EPOCHS = 8, 12_000, 10


def time_workers(folder: str | None, out: Path) -> dict[str, Any]:
    """Seconds of the same search with one process and with two."""
    seconds = {}
    for workers in (1, 2):
        command = [
            *(sys.executable, "-m", "moe_keras", "tune", "image"),
            *("--data", "tfds:fashion_mnist", "--data-dir", str(folder)),
            *("--limit", str(ROWS), "--epochs", str(EPOCHS)),
            *("--trials", str(TRIALS), "--method", "random"),
            *("--max-multiply-adds", "2e6", "--threads", "1", "--fresh"),
            *("--workers", str(workers), "--out", str(out / str(workers))),
        ]
        start = time.perf_counter()
        subprocess.run(command, check=True, cwd=page.ROOT)
        seconds[str(workers)] = round(time.perf_counter() - start, 1)
    return {"trials": TRIALS, "seconds": seconds}


def workers_line(found: dict[str, Any]) -> str:
    """The seconds as a sentence."""
    one, two = (found["seconds"][key] for key in ("1", "2"))
    return (
        f"{found['trials']} trials on images took two processes {two:.0f} s, "
        f"and one {one:.0f} s, {one / two:.2f} times as long; one thread each, "
        "starting included."
    )
