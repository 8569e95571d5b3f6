"""A table of hundreds of megabytes, in memory that does not grow."""

import subprocess
import sys

import pytest

from tests.prediction.tiny_tables import make_model, make_rows
from tests.tools import only_tensorflow

pytestmark = [only_tensorflow, pytest.mark.slow]

# Prints the rows, and the megabytes of the process before and at most.
CODE = """
import sys, threading
from pathlib import Path
from moe_keras.prediction import score_table

def resident():
    line = [l for l in open("/proc/self/status") if l.startswith("VmRSS")][0]
    return int(line.split()[1]) / 1024

model, small, large, out = sys.argv[1:]
score_table(model, small, out)
before, done, most = resident(), threading.Event(), 0.0

def watch():
    global most
    while not done.wait(0.05):
        most = max(most, resident())

thread = threading.Thread(target=watch)
thread.start()
scores = score_table(model, large, out)
done.set()
thread.join()
print(scores.rows, before, most)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_resident_memory_does_not_grow_with_the_file(tmp_path):
    make_model().save(tmp_path / "model.keras")
    frame = make_rows(20_000).assign(note="x" * 400)
    frame.to_csv(tmp_path / "small.csv", index=False)
    header, _, rows = (tmp_path / "small.csv").read_text().partition("\n")
    times = 35
    with (tmp_path / "large.csv").open("w") as file:
        file.write(header + "\n")
        for _ in range(times):
            file.write(rows)
    megabytes = (tmp_path / "large.csv").stat().st_size / 2**20
    assert megabytes > 250
    names = ["model.keras", "small.csv", "large.csv", "out.csv"]
    found = subprocess.run(
        [sys.executable, "-c", CODE, *(str(tmp_path / one) for one in names)],
        capture_output=True,
        text=True,
        check=True,
    )
    count, before, most = map(float, found.stdout.split())
    assert count == 20_000 * times
    # A new trace of the model takes some 60; as rows, the file took gigabytes.
    assert most - before < megabytes / 2
    assert (tmp_path / "out.csv").read_bytes().count(b"\n") == count + 1
