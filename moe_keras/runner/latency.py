"""How long one row takes, asked alone: p50 and p99."""

import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from moe_keras.data import Split
from moe_keras.export import export_saved_model

# Calls that are timed, after as many tenths to warm up; of slow ones as many as
# the seconds let, and no fewer than these.
CALLS, SECONDS, FEWEST = 200, 2.0, 30
# Rows at a time, and how often, where many are asked for.
BATCH, BATCHES = 1024, 10


def time_calls(
    call: Callable[[Any], Any], rows: Sequence[Any]
) -> dict[str, float]:
    """Milliseconds of a call with one of some rows.

    Of calls that are slow, only the first rows are timed.

    Args:
        call: what takes a row, and returns when it is done.
        rows: at least one, in the form that `call` takes.

    Returns:
        `p50` and `p99`, milliseconds, rounded to microseconds.
    """
    begin = time.perf_counter()
    for row in rows[: max(3, len(rows) // 10)]:
        call(row)
        if time.perf_counter() - begin > SECONDS:
            break
    seconds: list[float] = []
    for row in rows:
        if len(seconds) >= FEWEST and sum(seconds) > SECONDS:
            break
        start = time.perf_counter()
        call(row)
        seconds.append(time.perf_counter() - start)
    middle, slow = 1e3 * np.quantile(seconds, [0.5, 0.99])
    return {"p50": round(float(middle), 3), "p99": round(float(slow), 3)}


def single_rows(inputs: Any) -> list[Any]:
    """The first rows of inputs, each as a batch of one."""
    count = min(CALLS, len(keras.tree.flatten(inputs)[0]))
    return [
        keras.tree.map_structure(
            lambda array, place=place: array[place : place + 1], inputs
        )
        for place in range(count)
    ]


def served_speed(
    model: keras.Model, split: Split, path: Path | None = None
) -> dict[str, Any]:
    """How fast a model's SavedModel is.

    The arguments are tensors already; the answers are waited for.

    Args:
        model: `keras.Model` that `export_saved_model` takes.
        split: where the rows are from.
        path: of its SavedModel, or of one of the same model trained on other
            rows; made here if None.

    Returns:
        `latency_ms`, see `time_calls`, of one row; `rows_per_second`, an int,
        in batches of `BATCH` rows, or of all that there are.
    """
    import tensorflow as tf

    with tempfile.TemporaryDirectory() as folder:
        if path is None:
            path = export_saved_model(model, Path(folder, "served"))
        artefact = tf.saved_model.load(str(path))
        serve = artefact.signatures["serving_default"]
        specs = serve.structured_input_signature[1]

        def tensors(row: Any) -> dict[str, Any]:
            if not isinstance(row, dict):
                (name,) = specs
                row = {name: row}
            return {
                name: tf.cast(tf.convert_to_tensor(row[name]), spec.dtype)
                for name, spec in specs.items()
            }

        def call(row: dict[str, Any]) -> None:
            for tensor in serve(**row).values():
                tensor.numpy()

        batch = keras.tree.map_structure(
            lambda array: array[:BATCH], split.inputs
        )
        many = time_calls(call, [tensors(batch)] * BATCHES)
        rows = min(BATCH, len(split))
        return {
            "latency_ms": time_calls(
                call, [tensors(row) for row in single_rows(split.inputs)]
            ),
            "rows_per_second": round(1e3 * rows / many["p50"]),
        }
