"""Scores of predicted class probabilities."""

from typing import Any, NamedTuple

import numpy as np
from sklearn.metrics import accuracy_score, log_loss

from moe_keras.errors import require

# 15 bins of equal width, as in Guo et al. (2017), section 5.
BINS = 15


class Reliability(NamedTuple):
    """Figures of 15 bins of equal width of confidence.

    Attributes:
        count: int `(15,)`, rows in the bin.
        confidence: float `(15,)`, their mean probability of the predicted
            class; NaN for an empty bin.
        accuracy: float `(15,)`, the share predicted right; NaN likewise.
    """

    count: np.ndarray
    confidence: np.ndarray
    accuracy: np.ndarray


def reliability(
    labels: Any, probabilities: Any, event: int | None = None
) -> Reliability:
    """Confidence and accuracy by bins of confidence, ((b-1)/15, b/15].

    Args:
        labels: int `(N,)`, in 0..C-1.
        probabilities: float `(N, C)`, rows sum to 1.
        event: int in 0..C-1: the probability of this class is taken for the
            confidence, and its share for the accuracy. None for the predicted
            class.

    Returns:
        `Reliability`.

    Raises:
        ValueError: when the shapes do not fit.

    Source: Guo et al. (2017), arXiv:1706.04599, section 2.
    """
    labels, probabilities = (
        np.asarray(labels),
        np.asarray(probabilities, "float64"),
    )
    require(
        probabilities.ndim == 2
        and labels.shape == probabilities.shape[:1]
        and len(labels) > 0,
        "reliability",
        "`labels` must be (N,) and `probabilities` (N, C), N above 0.",
        labels_shape=labels.shape,
        probabilities_shape=probabilities.shape,
    )
    if event is None:
        confidence = probabilities.max(axis=1)
        correct = probabilities.argmax(axis=1) == labels
    else:
        confidence, correct = probabilities[:, event], labels == event
    bins = np.clip(np.ceil(confidence * BINS).astype(int) - 1, 0, BINS - 1)
    count = np.bincount(bins, minlength=BINS)
    with np.errstate(invalid="ignore"):
        return Reliability(
            count,
            np.bincount(bins, weights=confidence, minlength=BINS) / count,
            np.bincount(bins, weights=correct, minlength=BINS) / count,
        )


def expected_calibration_error(labels: Any, probabilities: Any) -> float:
    """Mean gap between confidence and accuracy over 15 bins of equal width.

    `ECE = sum_b (n_b / n) |accuracy_b - confidence_b|`, where the confidence is
    the probability of the predicted class and bin b is ((b-1)/15, b/15].

    Args:
        labels: int `(N,)`, in 0..C-1.
        probabilities: float `(N, C)`, rows sum to 1.

    Returns:
        float in [0, 1]; 0 is perfectly calibrated.

    Raises:
        ValueError: when the shapes do not fit.

    Source: Guo et al. (2017), arXiv:1706.04599, eq. 3.
    """
    count, confidence, accuracy = reliability(labels, probabilities)
    filled = count > 0
    gaps = np.abs(accuracy[filled] - confidence[filled])
    return float(count[filled] @ gaps / count.sum())


def classification_scores(labels: Any, probabilities: Any) -> dict[str, float]:
    """Accuracy, log-loss and ECE of class probabilities.

    Args:
        labels: int `(N,)`, in 0..C-1.
        probabilities: float `(N, C)`, rows sum to 1.

    Returns:
        `{"accuracy": share in [0, 1], "log_loss": nats, "ece": in [0, 1]}`.
    """
    probabilities = np.asarray(probabilities, "float64")
    # float32 rows sum to 1 only nearly.
    probabilities = probabilities / probabilities.sum(axis=1, keepdims=True)
    classes = np.arange(probabilities.shape[1])
    return {
        "accuracy": float(accuracy_score(labels, probabilities.argmax(axis=1))),
        "log_loss": float(log_loss(labels, probabilities, labels=classes)),
        "ece": expected_calibration_error(labels, probabilities),
    }
