"""Routing: where a trained model sends its inputs."""

from typing import Any

import keras
import numpy as np

from moe_keras.errors import require
from moe_keras.layers import record_gates


def collect_gates(
    model: keras.Model, inputs: Any, batch_size: int = 256
) -> dict[str, np.ndarray]:
    """The gates of every gating layer over a data set, in inference.

    Args:
        model: `keras.Model` of any kind with one input.
        inputs: array `(N, ...)`.
        batch_size: int > 0.

    Returns:
        By the layer's name, float `(N, ..., E)`; empty where no layer gates.
    """
    batches: dict[str, list[np.ndarray]] = {}
    for start in range(0, len(inputs), batch_size):
        with record_gates() as record:
            model(inputs[start : start + batch_size], training=False)
        for name, gates in record.items():
            batches.setdefault(name, []).append(
                keras.ops.convert_to_numpy(gates)
            )
    return {name: np.concatenate(parts) for name, parts in batches.items()}


def expert_by_class(gates: Any, labels: Any, num_classes: int) -> np.ndarray:
    """Mean gate of each expert for the rows of each class.

    Args:
        gates: float `(N, E)`.
        labels: int `(N,)`, in 0..num_classes-1.
        num_classes: int > 0.

    Returns:
        float `(num_classes, E)`; NaN for a class without rows.
    """
    gates, labels = np.asarray(gates, "float64"), np.asarray(labels)
    require(
        gates.ndim == 2 and labels.shape == gates.shape[:1],
        "expert_by_class",
        "`gates` must be (N, E) and `labels` (N,).",
        gates_shape=gates.shape,
        labels_shape=labels.shape,
    )
    members = labels[:, None] == np.arange(num_classes)
    counts = members.sum(axis=0)
    with np.errstate(invalid="ignore"):
        table: np.ndarray = (members.T @ gates) / counts[:, None]
    return table
