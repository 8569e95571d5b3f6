"""`kill -9` at any moment: the same command goes on, to the same bits."""

import json
import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from moe_keras.training import Recipe, load_recipe
from moe_keras.training.checkpoint import find_checkpoints

ROOT = Path(__file__).resolve().parents[2]
EPOCHS, STEPS = 8, 21
KILLS = 5

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(
        not Path("/proc/self/fd").exists(), reason="needs Linux' /proc"
    ),
]


def train(recipe, out, moment="never", epoch=0, step=0):
    """One process on one thread; its exit code."""
    command = [sys.executable, "-m", "tests.runner.killed"]
    command += [moment, str(epoch), str(step)]
    command += ["train", str(recipe), "--seed", "0", "--threads", "1"]
    done = subprocess.run(
        [*command, "--out", str(out)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)}
        | {"KERAS_BACKEND": "tensorflow"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode in (0, -signal.SIGKILL), done.stderr[-3000:]
    return done.returncode


def files_of(out):
    folder = out / "0"
    return (
        json.loads((folder / "result.json").read_text()),
        json.loads((folder / "history.json").read_text()),
        keras.saving.load_model(folder / "model.keras").get_weights(),
    )


def moments():
    """Five kills, each within two epochs of where the one before was."""
    rng = random.Random(20)
    done = 0
    for number in range(KILLS):
        epoch = rng.randint(done, min(done + 1, EPOCHS - 1))
        if number == 2:
            yield "save", epoch + 1, 0
        else:
            yield "step", epoch, rng.randrange(STEPS)
        done = epoch


def test_killed_five_times(tmp_path):
    recipe = load_recipe(ROOT / "zoo" / "image" / "digits_moe")
    values = {**recipe.model_dump(), "epochs": EPOCHS, "monitor": "val_loss"}
    file = tmp_path / "recipe.yaml"
    file.write_text(Recipe.model_validate(values).to_yaml())
    assert train(file, tmp_path / "whole") == 0

    out, begun = tmp_path / "parts", []
    for moment, epoch, step in moments():
        assert train(file, out, moment, epoch, step) == -signal.SIGKILL
        # All epochs before the one in which it was killed are kept.
        kept = find_checkpoints(out / "0" / "checkpoints")
        finished = epoch if moment == "step" else epoch - 1
        newest = int(kept[-1].stem.removeprefix("epoch-")) if kept else 0
        assert newest == finished
        if finished:
            begun.append(finished)
    assert train(file, out) == 0

    (one, history, weights), (two, again, others) = map(
        files_of, (tmp_path / "whole", out)
    )
    # Saved as often as an epoch was finished after a restart.
    assert set(two["restarts"]) <= set(begun)
    assert two["restarts"]
    for name in ("accuracy", "log_loss", "ece", "best_epoch", "epochs"):
        assert one[name] == two[name]
    assert history == again
    for left, right in zip(weights, others, strict=True):
        np.testing.assert_array_equal(left, right)
