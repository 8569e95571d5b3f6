"""Run a SavedModel in a fresh process that cannot import moe_keras or keras."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from moe_keras.errors import require

# A name that maps to None in sys.modules cannot be imported.
_PROGRAM = """
import sys
sys.modules["keras"] = sys.modules["moe_keras"] = None
import numpy as np
import tensorflow as tf

saved_model, inputs, results = sys.argv[1:]
artefact = tf.saved_model.load(saved_model)
explain = artefact.signatures["explain"]
serve = artefact.signatures["serving_default"]
images = tf.constant(np.load(inputs))
name = list(serve.structured_input_signature[1])[0]
explained = explain(**{name: images})
served = serve(**{name: images})
np.savez(
    results,
    outputs=served["outputs"],
    explained=explained["outputs"],
    gates=explained["gates"],
)
"""


def predict_without_keras(
    saved_model: Path, inputs: np.ndarray
) -> dict[str, np.ndarray]:
    """Predictions of a SavedModel, from a process with TensorFlow alone.

    Args:
        saved_model: folder that `export_saved_model` wrote.
        inputs: array `(N, ...)` for the model's one input.

    Returns:
        `outputs` of `serving_default`; `explained` and `gates` of `explain`.

    Raises:
        RuntimeError: when the process fails, with the end of what it printed.
    """
    require(
        saved_model.is_dir(),
        "predict_without_keras",
        "no such folder.",
        path=saved_model,
    )
    with tempfile.TemporaryDirectory() as folder:
        given, found = Path(folder, "inputs.npy"), Path(folder, "results.npz")
        np.save(given, inputs)
        process = subprocess.run(
            [
                sys.executable,
                "-c",
                _PROGRAM,
                str(saved_model),
                str(given),
                str(found),
            ],
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "2"},
        )
        if process.returncode:
            raise RuntimeError(
                "the SavedModel failed in a fresh process:\n"
                f"{process.stderr[-2000:]}"
            )
        with np.load(found) as results:
            return dict(results)
