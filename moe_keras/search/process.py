"""What one process of a search runs: `python -m moe_keras.search.process`."""

import os
import pickle
import sys
import threading
import time
from pathlib import Path

PAUSE_SECONDS = 1.0


def main(file: str) -> None:
    """Take part in the search that a file holds.

    Args:
        file: a pickled `Job`, written by `run_processes`.
    """
    threading.Thread(
        target=_end_with, args=(os.getppid(),), daemon=True
    ).start()
    job = pickle.loads(Path(file).read_bytes())
    job.tuner(job.hypermodel()).search()


def _end_with(parent: int) -> None:
    """End at once when the process that started this one is gone."""
    while os.getppid() == parent:
        time.sleep(PAUSE_SECONDS)
    os._exit(1)


if __name__ == "__main__":
    main(sys.argv[1])
