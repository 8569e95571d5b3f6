"""Log-count ratios of naive Bayes, counted in NumPy before training."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from moe_keras.errors import require

# Texts that are hashed at once.
BATCH_SIZE = 1024
OWNER = "adapt"


def batches_of(ids: Any, labels: Any = None) -> Iterator[tuple[Any, Any]]:
    """Batches of texts and their labels, as arrays.

    Args:
        ids: int `(N, T)`; or, without labels, an iterable of pairs of such
            arrays and of labels.
        labels: int `(N,)` or None.
    """
    for texts, classes in ids if labels is None else [(ids, labels)]:
        texts, classes = np.asarray(texts), np.asarray(classes)
        require(
            texts.ndim == 2 and classes.shape == texts.shape[:1],
            OWNER,
            "`ids` must be (N, T) and `labels` (N,).",
            ids_shape=texts.shape,
            labels_shape=classes.shape,
        )
        for start in range(0, len(texts), BATCH_SIZE):
            place = slice(start, start + BATCH_SIZE)
            yield texts[place], classes[place]


class PresenceCounts:
    """How many texts of each class each bucket is in.

    Args:
        num_classes: int > 1. C.
        buckets: int.
    """

    def __init__(self, num_classes: int, buckets: int) -> None:
        self._num_classes, self._buckets = num_classes, buckets
        self._texts = np.zeros(num_classes)
        self._counts = np.zeros((num_classes, buckets))

    def add(self, places: Any, labels: Any) -> None:
        """Count the texts of a batch.

        Args:
            places: int `(N, P)`, a text's buckets without repeats; 0 for none.
            labels: int `(N,)`, in 0..C-1.
        """
        require(
            np.issubdtype(labels.dtype, np.integer)
            and not np.any((labels < 0) | (labels >= self._num_classes)),
            OWNER,
            f"`labels` must be integers in 0..{self._num_classes - 1}.",
            labels=np.unique(labels)[:10].tolist(),
        )
        self._texts += np.bincount(labels, minlength=self._num_classes)
        for label in range(self._num_classes):
            mine = places[labels == label].ravel()
            self._counts[label] += np.bincount(mine, minlength=self._buckets)
        self._counts[:, 0] = 0

    def log_ratios(self, alpha: float) -> np.ndarray:
        """The log-count ratios r, 0 for buckets that do not occur.

        Args:
            alpha: float > 0, added to the counts of those that do.

        Returns:
            float64: for two classes `(buckets,)`, class 1 against class 0; else
            `(buckets, C)`, each class against all others.

        Source: Wang & Manning (2012), ACL, P12-2018, eq. 2.
        """
        total = self._counts.sum(axis=0)
        seen = total > 0
        require(
            seen.any(),
            OWNER,
            "there must be a text with a word.",
            texts=int(self._texts.sum()),
        )
        ratios = np.zeros((self._buckets, self._num_classes))
        for label, counts in enumerate(self._counts):
            mine = alpha + counts[seen]
            others = alpha + (total - counts)[seen]
            ratios[seen, label] = np.log(mine / mine.sum()) - np.log(
                others / others.sum()
            )
        return ratios[:, 1] if self._num_classes == 2 else ratios

    def log_priors(self, alpha: float) -> Any:
        """The log-odds of class 1 of two, else `(C,)` log-shares of texts.

        Args:
            alpha: float > 0, added to the texts of each class.
        """
        texts = alpha + self._texts
        logs = np.log(texts / texts.sum())
        return logs[1] - logs[0] if self._num_classes == 2 else logs
