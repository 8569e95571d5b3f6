"""What the models of a cross-validation say of groups of people."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from moe_keras.cards.judging import Judged
from moe_keras.insight import scores_by_group

# Of all rows: those with the least P(bad).
APPROVED = 0.8
# A number with more values than this is shown in bands.
MOST_VALUES, BAND = 12, 10


def group_scores(
    judged: Sequence[Judged], protected: Sequence[str]
) -> list[dict[str, Any]]:
    """Scores of the held-out rows of all folds together, by group.

    Args:
        judged: of one contestant, one for each fold.
        protected: names of columns of the rows.

    Returns:
        The lines of `scores_by_group`; an AUC that is none is None.
    """
    if not protected:
        return []
    labels = np.concatenate([one.rows.labels for one in judged])
    bad = np.concatenate([one.probabilities[:, 1] for one in judged])
    groups = {
        name: bands(
            np.concatenate([one.rows.columns()[name] for one in judged])
        )
        for name in protected
    }
    table = scores_by_group(labels, bad, groups, np.quantile(bad, APPROVED))
    lines: list[dict[str, Any]] = table.round(4).to_dict("records")
    return [
        {key: None if value != value else value for key, value in line.items()}
        for line in lines
    ]


def bands(values: np.ndarray) -> np.ndarray:
    """Values as the names of groups; many numbers in bands of ten."""
    if values.dtype == object:
        return np.where(values == "", "missing", values).astype(str)
    known = np.unique(values[~np.isnan(values)])
    names = np.full(len(values), "missing", dtype=object)
    there = ~np.isnan(values)
    if len(known) <= MOST_VALUES:
        names[there] = [f"{one:g}" for one in values[there]]
    else:
        low = np.floor(values[there] / BAND) * BAND
        names[there] = [f"{one:g} to {one + BAND - 1:g}" for one in low]
    return names.astype(str)
