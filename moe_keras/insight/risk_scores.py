"""Scores of P(bad): how well it ranks, how true it is, and for whom."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from sklearn.metrics import brier_score_loss, log_loss, roc_auc_score

from moe_keras.errors import require
from moe_keras.insight.scores import BINS

OWNER = "risk_scores"


def risk_scores(labels: Any, probabilities: Any) -> dict[str, float]:
    """AUC, log-loss, Brier score and ECE of the probability of being bad.

    Args:
        labels: int `(N,)` of 0 and 1; 1 is bad. Both must occur.
        probabilities: float `(N,)`, P(bad); or `(N, 2)`, P(bad) last.

    Returns:
        `auc`: the share of pairs of a bad and a good row that are ranked right;
        `log_loss`, nats; `brier`, the mean squared error; `ece`, see
        `risk_calibration_error`.

    Raises:
        ValueError: for other shapes or labels, or where one class is missing.

    Source: Hanley & McNeil (1982), Radiology 143(1), for the AUC; Brier (1950),
        Monthly Weather Review 78(1).
    """
    labels, bad = _read(labels, probabilities)
    require(
        0 < labels.sum() < len(labels),
        OWNER,
        "`labels` must hold both classes.",
        bad=int(labels.sum()),
        rows=len(labels),
    )
    return {
        "auc": float(roc_auc_score(labels, bad)),
        "log_loss": float(log_loss(labels, bad, labels=[0, 1])),
        "brier": float(brier_score_loss(labels, bad)),
        "ece": risk_calibration_error(labels, bad),
    }


def risk_calibration_error(labels: Any, probabilities: Any) -> float:
    """Mean gap between P(bad) and the share of bad rows, in 15 equal parts.

    Rows are sorted by P(bad) and cut into 15 parts of as nearly equal size as
    can be: `ECE = sum_b (n_b / n) |mean P(bad)_b - share of bad_b|`.

    Args:
        labels: int `(N,)` of 0 and 1; 1 is bad.
        probabilities: float `(N,)`, P(bad); or `(N, 2)`, P(bad) last.

    Returns:
        float in [0, 1]. Chance alone makes it positive: of a true model too.

    Source: Nguyen & O'Connor (2015), EMNLP, D15-1182, for bins of equal mass.
    """
    labels, bad = _read(labels, probabilities)
    order = np.argsort(bad, kind="stable")
    gaps = [
        abs(float(np.sum(bad[part] - labels[part])))
        for part in np.array_split(order, min(BINS, len(order)))
    ]
    return sum(gaps) / len(labels)


def scores_by_group(
    labels: Any,
    probabilities: Any,
    groups: Mapping[str, Any],
    threshold: float,
) -> pd.DataFrame:
    """What the scores are for each group of people.

    It informs, and decides nothing: groups differ in what else the data say of
    them.

    Args:
        labels: int `(N,)` of 0 and 1; 1 is bad.
        probabilities: float `(N,)`, P(bad); or `(N, 2)`, P(bad) last.
        groups: by the name of an attribute, the group `(N,)` of each row.
        threshold: P(bad) below which a row is approved, in (0, 1].

    Returns:
        `pandas.DataFrame`, a line for each group: `attribute`, `group`, `rows`,
        `bad_rate`, `mean_probability`, `approval_rate`, and `auc`, which is NaN
        where one class is missing.

    Raises:
        ValueError: for groups that are not `(N,)`.
    """
    labels, bad = _read(labels, probabilities)
    lines = []
    for attribute, values in groups.items():
        values = np.asarray(values)
        require(
            values.shape == labels.shape,
            "scores_by_group",
            "`groups` must be (N,), as `labels` are.",
            attribute=attribute,
            groups_shape=values.shape,
            labels_shape=labels.shape,
        )
        for group in pd.unique(np.sort(values)):
            rows = values == group
            both = 0 < labels[rows].sum() < rows.sum()
            lines.append(
                {
                    "attribute": attribute,
                    "group": str(group),
                    "rows": int(rows.sum()),
                    "bad_rate": float(labels[rows].mean()),
                    "mean_probability": float(bad[rows].mean()),
                    "approval_rate": float((bad[rows] < threshold).mean()),
                    "auc": float(roc_auc_score(labels[rows], bad[rows]))
                    if both
                    else float("nan"),
                }
            )
    return pd.DataFrame(lines)


def _read(labels: Any, probabilities: Any) -> tuple[np.ndarray, np.ndarray]:
    """Labels and P(bad), both `(N,)`."""
    labels, bad = np.asarray(labels), np.asarray(probabilities, "float64")
    if bad.ndim == 2 and bad.shape[1] == 2:
        # float32 rows sum to 1 only nearly.
        bad = bad[:, 1] / bad.sum(axis=1)
    require(
        labels.ndim == 1 and labels.shape == bad.shape and len(labels) > 0,
        OWNER,
        "`labels` must be (N,) and `probabilities` (N,) or (N, 2), N above 0.",
        labels_shape=labels.shape,
        probabilities_shape=np.shape(probabilities),
    )
    require(
        bool(np.isin(labels, (0, 1)).all()),
        OWNER,
        "`labels` must be 0 or 1.",
        labels=np.unique(labels)[:5].tolist(),
    )
    require(
        bool(np.isfinite(bad).all() and bad.min() >= 0 and bad.max() <= 1),
        OWNER,
        "`probabilities` must be in [0, 1].",
        lowest=float(np.min(bad)),
        highest=float(np.max(bad)),
    )
    return labels.astype(int), bad
