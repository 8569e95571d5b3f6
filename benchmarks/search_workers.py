"""How long eight trials take one process and two, each of one thread.

Every process that trains is on one processor: a thread that waits for another
one, of the input pipeline say, would else run on the processor that is free
where there is one process, and not where there are two.

Run by `python -m benchmarks.search --workers`, on an idle machine.
"""

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks import machine, page

TRIALS, ROWS, EPOCHS = 8, 12_000, 6


def time_workers(folder: str | None, out: Path) -> dict[str, Any]:
    """Seconds of the same search with one process and with two."""
    seconds = {}
    free = os.sched_getaffinity(0)
    for workers in (1, 2):
        command = [
            *(sys.executable, "-m", "moe_keras", "tune", "image"),
            *("--data", "tfds:fashion_mnist", "--data-dir", str(folder)),
            *("--limit", str(ROWS), "--epochs", str(EPOCHS)),
            *("--trials", str(TRIALS), "--method", "random"),
            *("--max-multiply-adds", "2e6", "--threads", "1", "--fresh"),
            *("--workers", str(workers), "--out", str(out / str(workers))),
            *(["--pin"] if workers > 1 else []),
        ]
        start = time.perf_counter()
        # What is started stays where this process is.
        os.sched_setaffinity(0, free if workers > 1 else {min(free)})
        try:
            subprocess.run(command, check=True, cwd=page.ROOT)
        finally:
            os.sched_setaffinity(0, free)
        seconds[str(workers)] = round(time.perf_counter() - start, 1)
    described = machine.describe()
    return {"trials": TRIALS, "seconds": seconds, "machine": described}


def workers_line(found: dict[str, Any]) -> str:
    """The seconds as a sentence."""
    one, two = (found["seconds"][key] for key in ("1", "2"))
    return (
        f"{found['trials']} trials on images took two processes {two:.0f} s, "
        f"and one {one:.0f} s, {one / two:.2f} times as long; each on one "
        f"processor ({found['machine']['device']}), starting included."
    )
