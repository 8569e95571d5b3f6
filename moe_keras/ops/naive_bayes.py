"""In how many texts of each class each n-gram is, counted in NumPy.

Of these counts: which n-grams are worth a number, log-count ratios of naive
Bayes, and inverse document frequencies.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from moe_keras.errors import require

# Texts that are read at once.
BATCH_SIZE = 1024
# Keys of 8 bytes that wait to be merged: with what merging needs, 200 MB.
PENDING = 4_000_000
OWNER = "adapt"


def batches_of(ids: Any, labels: Any = None) -> Iterator[tuple[Any, Any]]:
    """Batches of texts and their labels, as arrays.

    Args:
        ids: int array `(N, T)`; or, without labels, an iterable of such arrays,
            or of pairs (tuples) of one and of its labels.
        labels: int `(N,)` or None.

    Yields:
        int `(n, T)`, n at most BATCH_SIZE, and int `(n,)` or None.
    """
    whole = labels is not None or hasattr(ids, "shape")
    for batch in [(ids, labels)] if whole else ids:
        pair = batch if isinstance(batch, tuple) else (batch, None)
        require(
            len(pair) == 2,
            OWNER,
            "a batch must be ids or a pair (ids, labels).",
            batch_length=len(pair),
        )
        texts = np.asarray(pair[0])
        classes = None if pair[1] is None else np.asarray(pair[1])
        require(
            texts.ndim == 2
            and (classes is None or classes.shape == texts.shape[:1]),
            OWNER,
            "`ids` must be (N, T) and `labels` (N,).",
            ids_shape=texts.shape,
            labels_shape=None if classes is None else classes.shape,
        )
        for start in range(0, len(texts), BATCH_SIZE):
            place = slice(start, start + BATCH_SIZE)
            yield texts[place], None if classes is None else classes[place]


class PresenceCounts:
    """How many texts of each class each n-gram is in.

    The memory is that of the different n-grams, however many texts there are.

    Args:
        num_classes: int > 1. C.
        needs_labels: bool. Whether texts without labels are refused.
    """

    def __init__(self, num_classes: int, needs_labels: bool = True) -> None:
        self._num_classes = num_classes
        self._texts = np.zeros(num_classes)
        self._labelled = True if needs_labels else None
        # A key times C plus a class, ascending, and in how many texts it is.
        self._codes = np.zeros(0, "int64")
        self._counts = np.zeros(0, "int64")
        self._pending: list[np.ndarray] = []

    @property
    def num_texts(self) -> int:
        """How many texts have been counted."""
        return int(self._texts.sum())

    @property
    def class_sizes(self) -> list[int]:
        """How many texts of each class have been counted."""
        return [int(size) for size in self._texts]

    def add(self, keys: Any, labels: Any = None) -> None:
        """Count the texts of a batch.

        Args:
            keys: int `(N, P)`, a text's n-grams without repeats; 0 for none.
            labels: int `(N,)`, in 0..C-1; None for texts without, if all are.
        """
        labelled = labels is not None
        require(
            self._labelled in (None, labelled),
            OWNER,
            "`labels` are needed for all texts (or, for inverse frequencies, "
            "for none).",
            labels=labels,
        )
        self._labelled = labelled
        labels = np.zeros(len(keys), "int64") if labels is None else labels
        require(
            np.issubdtype(labels.dtype, np.integer)
            and not np.any((labels < 0) | (labels >= self._num_classes)),
            OWNER,
            f"`labels` must be integers in 0..{self._num_classes - 1}; of more "
            "classes, `num_classes` says how many.",
            labels=np.unique(labels)[:10].tolist(),
        )
        self._texts += np.bincount(labels, minlength=self._num_classes)
        codes = keys.astype("int64") * self._num_classes + labels[:, None]
        self._pending.append(codes[keys != 0])
        if sum(map(len, self._pending)) >= PENDING:
            self._merge()

    def _merge(self) -> None:
        """Put the keys that wait among those that are counted."""
        codes, counts = np.unique(
            np.concatenate([np.zeros(0, "int64"), *self._pending]),
            return_counts=True,
        )
        self._pending = []
        codes = np.concatenate([self._codes, codes])
        counts = np.concatenate([self._counts, counts])
        order = np.argsort(codes, kind="stable")
        self._codes, self._counts = _sum_runs(codes[order], counts[order])

    def frequent(
        self, min_texts: int, most: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """The n-grams that are in enough texts, and their counts.

        Args:
            min_texts: int > 0, in how many, of whatever class.
            most: int > 0. Of more n-grams than this, the most frequent are
                taken; of equally frequent ones, those of the smallest keys.

        Returns:
            int64 `(F,)`, their keys, ascending; float64 `(F, C)`, the counts.

        Raises:
            ValueError: if there is none.
        """
        self._merge()
        keys, totals = _sum_runs(self._codes // self._num_classes, self._counts)
        enough = totals >= min_texts
        require(
            enough.any(),
            OWNER,
            "there must be an n-gram that is in `min_texts` texts.",
            min_texts=min_texts,
            texts=self.num_texts,
        )
        require(
            not self._labelled or np.count_nonzero(self._texts) > 1,
            OWNER,
            "`labels` must be of two classes or more: there is nothing to tell "
            "apart.",
            labels=np.flatnonzero(self._texts).tolist(),
        )
        keys, totals = keys[enough], totals[enough]
        keys = np.sort(keys[np.lexsort((keys, -totals))[:most]])
        owners, classes = np.divmod(self._codes, self._num_classes)
        places = np.minimum(np.searchsorted(keys, owners), len(keys) - 1)
        taken = keys[places] == owners
        counts = np.zeros((len(keys), self._num_classes))
        counts[places[taken], classes[taken]] = self._counts[taken]
        return keys, counts

    def log_priors(self, alpha: float) -> Any:
        """The log-odds of class 1 of two, else `(C,)` log-shares of texts.

        Args:
            alpha: float > 0, added to the texts of each class. Without labels,
                classes are equal.
        """
        if not self._labelled:
            return (
                0.0 if self._num_classes == 2 else np.zeros(self._num_classes)
            )
        texts = alpha + self._texts
        logs = np.log(texts / texts.sum())
        return logs[1] - logs[0] if self._num_classes == 2 else logs


def _sum_runs(
    keys: np.ndarray, counts: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The different ones of ascending keys, and the sums of their counts."""
    if not keys.size:
        return keys, counts
    starts = np.flatnonzero(np.diff(keys, prepend=keys[0] - 1))
    return keys[starts], np.add.reduceat(counts, starts)


def log_ratios(counts: np.ndarray, alpha: float) -> np.ndarray:
    """The log-count ratios r = log((p / |p|) / (q / |q|)).

    Args:
        counts: float `(F, C)`, texts of each class that each n-gram is in.
        alpha: float > 0, added to them: p is alpha + those of a class, q alpha
            + those of all others. The norms are sums over the n-grams.

    Returns:
        float64: for two classes `(F,)`, class 1 against class 0; else `(F, C)`,
        each class against all others.

    Source: Wang & Manning (2012), ACL, P12-2018, eq. 2.
    """
    mine = alpha + counts
    others = alpha + counts.sum(axis=1, keepdims=True) - counts
    ratios = np.log(mine / mine.sum(axis=0)) - np.log(
        others / others.sum(axis=0)
    )
    return np.asarray(ratios[:, 1] if counts.shape[1] == 2 else ratios)


def inverse_frequencies(counts: np.ndarray, num_texts: int) -> np.ndarray:
    """log(N / df): N texts, of which df have the n-gram; 0 if all of them do.

    Args:
        counts: float `(F, C)`, texts of each class that each n-gram is in.
        num_texts: int > 0. N.

    Returns:
        float64: for two classes `(F,)`, else `(F, C)`, C times the same.

    Source: Sparck Jones (1972), A statistical interpretation of term
        specificity, J. Documentation 28 (1), 11-21.
    """
    logs = np.log(num_texts / counts.sum(axis=1, keepdims=True))
    every = np.broadcast_to(logs, counts.shape)
    return np.asarray(every[:, 1] if counts.shape[1] == 2 else every)
