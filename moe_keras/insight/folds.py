"""Two models beside each other over the folds of a cross-validation."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import stats

from moe_keras.errors import require

OWNER = "paired_folds"


class FoldDifference(NamedTuple):
    """One model's score minus another's, fold by fold.

    Attributes:
        mean: over the folds.
        sd: of the folds (n - 1); NaN for one fold.
        folds: how many.
        p_value: of no difference, both sides; NaN for one fold.
    """

    mean: float
    sd: float
    folds: int
    p_value: float


def paired_folds(
    ours: Sequence[float], theirs: Sequence[float], parts: int
) -> FoldDifference:
    """Compare two models by a score of each fold.

    The training rows of two folds are largely the same, so that the folds'
    scores are not independent: with the usual t-test, chance looks like a
    difference far too often. The corrected one takes the variance of the mean
    as `(1 / n + 1 / (parts - 1)) * sd^2`.

    Args:
        ours: n scores, one for each fold.
        theirs: n scores of the same folds.
        parts: int > 1. Of the cross-validation, one of which is held out.

    Returns:
        `FoldDifference`.

    Raises:
        ValueError: for scores of different numbers of folds, or of none.

    Source: Nadeau & Bengio (2003), Inference for the generalization error,
        Machine Learning 52, section 5.1; Bouckaert & Frank (2004), PAKDD, for
        repeats.
    """
    gaps = np.asarray(ours, "float64") - np.asarray(theirs, "float64")
    count = len(gaps)
    require(
        count > 0 and len(ours) == len(theirs) and parts > 1,
        OWNER,
        "there must be as many scores of one as of the other, at least one, "
        "and more than one part.",
        ours=len(ours),
        theirs=len(theirs),
        parts=parts,
    )
    mean = float(gaps.mean())
    if count < 2:
        return FoldDifference(mean, float("nan"), count, float("nan"))
    sd = float(gaps.std(ddof=1))
    if sd == 0:
        return FoldDifference(mean, sd, count, float(mean == 0))
    error = sd * float(np.sqrt(1 / count + 1 / (parts - 1)))
    p_value = 2 * float(stats.t.sf(abs(mean) / error, count - 1))
    return FoldDifference(mean, sd, count, p_value)
