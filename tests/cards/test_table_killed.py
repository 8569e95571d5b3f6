"""`kill -9` while a table's training is published, exported or carded."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from moe_keras.cards import write_cards
from moe_keras.cards.card import make_card
from moe_keras.prediction import load_trained
from moe_keras.runner.files import read_result
from tests.runner.folds import make_table

ROOT = Path(__file__).resolve().parents[2]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(3600),
    pytest.mark.skipif(
        not Path("/proc/self/fd").exists(), reason="needs Linux' /proc"
    ),
]


def run(moment, part, count, *arguments):
    """One process, as in `tests.runner.killed`; its exit code."""
    command = [sys.executable, "-m", "tests.runner.killed", moment, part]
    done = subprocess.run(
        [*command, str(count), *map(str, arguments)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)}
        | {"KERAS_BACKEND": "tensorflow", "MPLBACKEND": "agg"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode in (0, -signal.SIGKILL), done.stderr[-3000:]
    return done.returncode


# In the order in which they are written: the parts of a path, how often it was
# written before.
KILLS = [
    (".run.json.", 0),
    (".recipe.yaml.", 0),
    ("/1/.opinions.npz.", 0),
    ("all_rows/0/.model.keras.", 0),
    (".saved_model.", 0),
    (".weights.npz.", 0),
    (".preset.json.", 0),
    (".results.json.", 0),
    (".card.md.", 0),
    ("out/.model.keras.", 0),
]


def test_killed_in_each_step(tmp_path):
    table, out = tmp_path / "loans.csv", tmp_path / "out"
    make_table().to_csv(table, index=False)
    for part, count in KILLS:
        killed = run("write", part, count, "table", table, out)
        assert killed == -signal.SIGKILL, part
        # Before the request is written down, there is only a folder.
        begun = (
            "is not done, and the model" if part != KILLS[0][0] else "neither a"
        )
        with pytest.raises(ValueError, match=begun):
            load_trained(out)
    assert run("never", "", 0, "table", table, out) == 0
    assert not list(out.rglob(".*.part"))
    # The model is that of all rows, and the card is of what is there.
    assert read_result(out / "runs/all_rows/0")["rows"] == 240
    whole = load_trained(out / "runs/all_rows/0").model
    frame = make_table()
    columns = {
        name: frame[name].to_numpy(object if name == "home" else float)
        for name in ("income", "late", "home", "age")
    }
    np.testing.assert_array_equal(
        load_trained(out).model.predict(columns, verbose=0),
        whole.predict(columns, verbose=0),
    )
    assert (out / "card.md").read_text() == make_card(out)

    # `cards`, killed in the middle of a card: the one before stays.
    zoo = tmp_path / "zoo"
    shutil.copytree(out, zoo / "risk" / "out")
    (zoo / "risk" / "out" / "card.md").write_text("before")
    killed = run("write", ".card.md.", 0, "cards", zoo)
    assert killed == -signal.SIGKILL
    assert (zoo / "risk" / "out" / "card.md").read_text() == "before"
    assert write_cards(zoo) == [zoo / "risk" / "out" / "card.md"]
    assert (zoo / "risk" / "out" / "card.md").read_text() == make_card(out)
    assert not list(zoo.rglob(".*.part"))
