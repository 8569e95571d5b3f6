"""Run a SavedModel in a fresh process that cannot import moe_keras or keras."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
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
given = np.load(inputs)
rows = given["rows"]
if "ends" in given:
    data = rows.tobytes()
    bounds = [0, *given["ends"]]
    rows = [data[a:b] for a, b in zip(bounds, bounds[1:])]
name = list(serve.structured_input_signature[1])[0]
parts = []
for start in range(0, len(rows), 256):
    batch = tf.constant(rows[start : start + 256])
    explained = explain(**{name: batch})
    part = {"explained": explained["outputs"]}
    if "gates" in explained:
        part["gates"] = explained["gates"]
    parts.append({**part, "outputs": serve(**{name: batch})["outputs"]})
np.savez(
    results,
    **{key: np.concatenate([part[key] for part in parts]) for key in parts[0]},
)
"""


def predict_without_keras(
    saved_model: Path, inputs: np.ndarray | Sequence[bytes]
) -> dict[str, np.ndarray]:
    """Predictions of a SavedModel, from a process with TensorFlow alone.

    Args:
        saved_model: folder that `export_saved_model` wrote.
        inputs: array `(N, ...)` for the model's one input, or texts as
            `bytes`; they are served in batches of 256.

    Returns:
        `outputs` of `serving_default`; `explained` and, of a model with one
        layer that gates, `gates` of `explain`.

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
        given, found = Path(folder, "inputs.npz"), Path(folder, "results.npz")
        np.savez(given, **_as_arrays(inputs))
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


def _as_arrays(inputs: np.ndarray | Sequence[bytes]) -> dict[str, np.ndarray]:
    """Texts as one array of bytes, and where each ends."""
    if isinstance(inputs, np.ndarray):
        return {"rows": inputs}
    return {
        "rows": np.frombuffer(b"".join(inputs), "uint8"),
        "ends": np.cumsum([len(text) for text in inputs]),
    }
