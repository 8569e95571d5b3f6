"""Word vectors, against loops over pairs of words and a plain SVD."""

import numpy as np
import pytest

from moe_keras.ops.word_vectors import cooccurrence_vectors

SIZE = 9
IDS = np.random.default_rng(0).integers(0, 12, (30, 7))


def loops(ids, size, window):
    """C of every two places that are near and hold a known word."""
    counts = np.zeros((size, size))
    for text in ids:
        for one in range(len(text)):
            for other in range(len(text)):
                away = abs(one - other)
                known = all(2 <= text[i] < size for i in (one, other))
                if known and 0 < away <= window:
                    counts[text[one], text[other]] += 1 / away
    return counts


def information(counts):
    smooth = counts.sum(axis=0) ** 0.75
    smooth /= smooth.sum()
    found = np.zeros_like(counts)
    for i, j in np.argwhere(counts > 0):
        value = counts[i, j] / (counts[i].sum() * smooth[j])
        found[i, j] = max(0.0, np.log(value))
    return found


def expected_vectors(ids, size, dim, window):
    left, values, _ = np.linalg.svd(information(loops(ids, size, window)))
    vectors = left[:, :dim] * np.sqrt(values[:dim])
    return vectors * 0.1 / np.sqrt(np.mean(vectors[2:] ** 2))


@pytest.mark.parametrize(("dim", "window"), [(3, 2), (5, 5), (2, 20)])
def test_vectors_are_those_of_the_loops(dim, window):
    found = cooccurrence_vectors(IDS, SIZE, dim, window)
    expected = expected_vectors(IDS, SIZE, dim, window)
    # Each column has one of two signs.
    np.testing.assert_allclose(
        found @ found.T, expected @ expected.T, atol=1e-5
    )
    assert found.dtype == "float32"
    np.testing.assert_array_equal(found[:2], 0)


def test_batches_are_read_as_the_whole():
    whole = cooccurrence_vectors(IDS, SIZE, 3)
    batches = [(IDS[:11], np.zeros(11)), (IDS[11:], np.zeros(19))]
    np.testing.assert_array_equal(whole, cooccurrence_vectors(IDS, SIZE, 3))
    np.testing.assert_allclose(
        cooccurrence_vectors(batches, SIZE, 3), whole, atol=1e-6
    )


def test_words_among_the_same_words_are_near():
    # 2 and 3 stand between 4 and 5; 6 and 7 between 8 and 9.
    texts = np.array([[4, 2, 5], [4, 3, 5], [8, 6, 9], [8, 7, 9]] * 5)
    vectors = cooccurrence_vectors(texts, 10, 4)
    products = vectors @ vectors.T
    assert products[2, 3] > products[2, 6] + 0.01
    assert products[6, 7] > products[3, 7] + 0.01


def test_what_cannot_be_told_is_zero():
    # More columns than words, a word that is alone, one that is not there.
    texts = np.array([[2, 3, 0, 0], [4, 0, 0, 0]])
    vectors = cooccurrence_vectors(texts, 6, 8)
    assert vectors.shape == (6, 8)
    assert np.abs(vectors[2:4]).sum() > 0
    np.testing.assert_array_equal(vectors[4:], 0)
    np.testing.assert_array_equal(
        cooccurrence_vectors(texts[:0], 6, 8), np.zeros((6, 8))
    )


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ((0, 3), "vocabulary_size=0"),
        ((9, 0), "dim=0"),
        ((9, 3, 0), "window=0"),
    ],
)
def test_errors_name_the_argument(given, message):
    with pytest.raises(ValueError, match="^cooccurrence_vectors: .*" + message):
        cooccurrence_vectors(IDS, *given)
