"""The log-loss of class probabilities, or of logits."""

from typing import Any, NamedTuple

import numpy as np
from scipy.special import log_softmax

from moe_keras.errors import require

# As Keras has it for probabilities.
TINY = 1e-7


class Data(NamedTuple):
    """Labelled rows.

    Attributes:
        inputs: what the model reads.
        labels: int `(...)`, as the outputs without their last axis.
        weights: float `(...)`, the same shape, or None.
    """

    inputs: Any
    labels: np.ndarray
    weights: np.ndarray | None


def read_data(data: Any, owner: str) -> Data:
    """Labelled rows of whatever holds them.

    Args:
        data: `(x, y)`, `(x, y, sample_weight)`, or what has such `arrays`.
        owner: whom to name in errors.
    """
    arrays = getattr(data, "arrays", data)
    require(
        isinstance(arrays, tuple | list) and len(arrays) in (2, 3),
        owner,
        "`data` must be (x, y), (x, y, sample_weight), or a Split.",
        data=type(data).__name__,
    )
    labels = np.asarray(arrays[1])
    require(
        labels.size > 0 and np.issubdtype(labels.dtype, np.number),
        owner,
        "`data` must have labels, the numbers of classes.",
        shape=labels.shape,
        dtype=str(labels.dtype),
    )
    weights = arrays[2] if len(arrays) == 3 else None
    return Data(
        arrays[0],
        labels,
        None if weights is None else np.asarray(weights, "float64"),
    )


def log_loss(
    outputs: np.ndarray, data: Data, from_logits: bool, owner: str
) -> float:
    """Mean of -log p(label), in nats.

    Args:
        outputs: float `(..., C)`; with C = 1, or without the last axis, those
            of class 1 of two.
        data: labels, and their weights.
        from_logits: whether the outputs are logits, or log-probabilities.
        owner: whom to name in errors.

    Raises:
        ValueError: for labels that do not fit.
    """
    values = np.asarray(outputs, "float64")
    if values.ndim == 1 or values.shape == data.labels.shape:
        values = values[..., None]
    labels = data.labels.reshape(-1).astype("int64")
    classes = values.shape[-1]
    values = values.reshape(-1, classes)
    require(
        len(values) == len(labels)
        and 0 <= labels.min()
        and labels.max() < max(2, classes),
        owner,
        "`data` must have a label in 0..C-1 for each output.",
        output_shape=np.shape(outputs),
        labels_shape=data.labels.shape,
        largest_label=int(labels.max()),
    )
    if classes == 1:
        other = np.zeros_like(values) if from_logits else 1 - values
        values = np.concatenate([other, values], axis=1)
    if from_logits:
        logs = log_softmax(values, axis=-1)
    else:
        logs = np.log(np.clip(values, TINY, 1.0))
    losses = -logs[np.arange(len(labels)), labels]
    if data.weights is None:
        return float(losses.mean())
    return float(np.average(losses, weights=data.weights.reshape(-1)))
