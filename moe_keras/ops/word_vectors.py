"""Word vectors of texts without labels: which words stand near which.

With C_ij the sum over places of words i and j, at most `window` apart, of one
over their distance, and C_i the sum of row i:

    q_j = C_j^0.75 / sum_k C_k^0.75,  P_ij = max(0, log(C_ij / (C_i q_j)))
    P ~ U S V^T, the `dim` largest singular values;  vectors = U S^0.5
"""

from collections.abc import Iterable
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.utils.extmath import randomized_svd

from moe_keras.errors import require_counts
from moe_keras.ops.naive_bayes import batches_of

# Rarer words are taken for more frequent than they are.
SMOOTHING = 0.75
# The power of the singular values.
EIGENVALUE_WEIGHTING = 0.5
# Passes over the matrix that the singular vectors are refined in.
ITERATIONS = 5
# The first id of a word: 0 is padding and 1 an unknown word.
FIRST = 2


def cooccurrence_vectors(
    ids: Iterable[Any],
    vocabulary_size: int,
    dim: int,
    window: int = 5,
    scale: float = 0.1,
) -> np.ndarray:
    """Vectors of words that stand among the same words are near each other.

    Args:
        ids: int `(N, T)`, or batches of such arrays or of pairs of one and its
            labels, which are not read. 0 is padding, and 1, as all from
            `vocabulary_size` on, an unknown word; neither is near anything.
        vocabulary_size: int > 1. V.
        dim: int > 0. D, width of the vectors.
        window: int > 0. The farthest that two words are near, in places.
        scale: float > 0, the root mean square of the words that are near one.

    Returns:
        float32 `(V, D)`. Zeros for padding, for the unknown word, for words
        that are near no other, and in columns that V words cannot fill.

    Source: Levy & Goldberg (2014), Neural word embedding as implicit matrix
        factorization, NeurIPS, sections 3 and 4 (the matrix, and its singular
        vectors); Levy, Goldberg & Dagan (2015), TACL 3, Q15-1016, sections 3.2
        and 3.3 (the constants SMOOTHING and EIGENVALUE_WEIGHTING); Pennington
        et al. (2014), GloVe, D14-1162, section 4.2 (one over the distance).

    Example:
    >>> ids = np.array([[2, 3, 2, 3, 4, 0]])
    >>> cooccurrence_vectors(ids, vocabulary_size=5, dim=2).shape
    (5, 2)
    """
    require_counts(
        "cooccurrence_vectors",
        vocabulary_size=vocabulary_size,
        dim=dim,
        window=window,
    )
    near = _count_near(ids, vocabulary_size, window)
    vectors = np.zeros((vocabulary_size, dim), "float32")
    information = _positive_information(near)
    if not information.nnz:
        return vectors
    left, values, _ = randomized_svd(
        information,
        min(dim, vocabulary_size),
        n_iter=ITERATIONS,
        random_state=0,
    )
    found = left * values**EIGENVALUE_WEIGHTING
    seen = np.asarray(near.sum(axis=1)).ravel() > 0
    size = np.sqrt(np.mean(found[seen] ** 2))
    vectors[:, : found.shape[1]] = found * (scale / size)
    vectors[~seen] = 0
    return vectors


def _count_near(ids: Any, size: int, window: int) -> sparse.csr_matrix:
    """C, `(V, V)`, symmetric."""
    total = sparse.csr_matrix((size, size))
    for texts, _ in batches_of(ids):
        words = np.where(texts < size, texts, 0).astype("int64")
        pairs = []
        for distance in range(1, window + 1):
            first = words[:, :-distance].ravel()
            second = words[:, distance:].ravel()
            both = (first >= FIRST) & (second >= FIRST)
            pairs.append((first[both], second[both], distance))
        rows = np.concatenate([first for first, _, _ in pairs])
        columns = np.concatenate([second for _, second, _ in pairs])
        shares = np.concatenate(
            [np.full(len(first), 1 / away) for first, _, away in pairs]
        )
        total = total + sparse.csr_matrix(
            (shares, (rows, columns)), shape=(size, size)
        )
    return total + total.T


def _positive_information(near: sparse.csr_matrix) -> sparse.csr_matrix:
    """P: pointwise mutual information, where it is above 0."""
    of_word = np.asarray(near.sum(axis=1)).ravel()
    context = of_word**SMOOTHING
    context /= max(context.sum(), 1e-30)
    found = near.tocoo()
    values = np.log(found.data / (of_word[found.row] * context[found.col]))
    above = values > 0
    return sparse.csr_matrix(
        (values[above], (found.row[above], found.col[above])), shape=near.shape
    )
