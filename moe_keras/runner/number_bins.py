"""Numbers as bins, none of which hides what a column has to say."""

from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin

# A number with at most so many values has a bin for each.
FEW = 20
MISSING = -1


class NumberBins(TransformerMixin, BaseEstimator):
    """The places of numbers among bins of about as many rows.

    Quantiles alone make one bin of a column most of whose rows have one value,
    be it a flag or an amount that is mostly 0. So a value has a bin of its own
    where the column has few of them, or where it would fill a bin.

    Reads numbers `(N, D)`, NaN where missing; gives int places `(N, D)`, -1
    where missing.

    Attributes:
        bins: int > 1. Of the quantiles.
    """

    def __init__(self, bins: int = 10):
        self.bins = bins

    def fit(self, X: Any, y: Any = None) -> "NumberBins":
        """Learn the edges of the bins, by scikit-learn's names."""
        columns = np.asarray(X, dtype="float64").T
        self.edges_ = [self._find_edges(column) for column in columns]
        return self

    def transform(self, X: Any) -> np.ndarray:
        """The places."""
        table = np.asarray(X, dtype="float64")
        places = np.full(table.shape, MISSING)
        for place, edges in enumerate(self.edges_):
            column = table[:, place]
            found = np.searchsorted(edges, column, side="right")
            places[:, place] = np.where(np.isnan(column), MISSING, found)
        return places

    def _find_edges(self, column: np.ndarray) -> np.ndarray:
        values = column[~np.isnan(column)]
        distinct, counts = np.unique(values, return_counts=True)
        if len(distinct) <= FEW:
            return distinct
        shares = np.arange(1, self.bins) / self.bins
        cuts = np.quantile(values, shares, method="inverted_cdf")
        (full,) = np.nonzero(counts * self.bins >= len(values))
        after = np.minimum(full + 1, len(distinct) - 1)
        return np.unique([*cuts, *distinct[full], *distinct[after]])
