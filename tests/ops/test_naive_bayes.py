"""Counts of n-grams, against counts by hand and against scikit-learn."""

import numpy as np
import pytest

from moe_keras.ops import naive_bayes
from moe_keras.ops.naive_bayes import (
    PresenceCounts,
    batches_of,
    inverse_frequencies,
    log_ratios,
)

# N-grams of four texts; 0 for none.
KEYS = np.asarray([[10, 20, 0], [20, 0, 0], [20, 30, 0], [30, 0, 0]], "int32")


def counted(keys, labels, num_classes, **kwargs):
    counts = PresenceCounts(num_classes, **kwargs)
    for start in range(0, len(keys), 3):
        place = slice(start, start + 3)
        some = None if labels is None else np.asarray(labels)[place]
        counts.add(keys[place], some)
    return counts


def test_two_classes_by_hand():
    counts = counted(KEYS, [0, 0, 1, 1], 2)
    keys, found = counts.frequent(1, 9)
    assert keys.tolist() == [10, 20, 30]
    assert found.tolist() == [[1, 0], [2, 1], [0, 2]]
    # With alpha = 1, class 1 has 1, 2, 3 of the keys and class 0 has 2, 3, 1:
    # both sums are 6.
    expected = [np.log(1 / 2), np.log(2 / 3), np.log(3)]
    np.testing.assert_allclose(log_ratios(found, 1.0), expected)
    assert counts.log_priors(1.0) == 0
    # With alpha = 1/2, the same less 1/2, of 4.5.
    expected = [np.log(0.5 / 1.5), np.log(1.5 / 2.5), np.log(2.5 / 0.5)]
    np.testing.assert_allclose(log_ratios(found, 0.5), expected)


def test_classes_against_the_rest_by_hand():
    counts = counted(KEYS, [0, 1, 2, 2], 3)
    # Class 2 has 1, 2, 3 of 6, as above, and so have the others 2, 3, 1.
    ratios = log_ratios(counts.frequent(1, 9)[1], 1.0)
    assert ratios.shape == (3, 3)
    expected = [np.log(1 / 2), np.log(2 / 3), np.log(3)]
    np.testing.assert_allclose(ratios[:, 2], expected)
    # Class 0 has 2, 2, 1 of 5, and the others 1, 3, 3 of 7.
    expected = np.log([2 / 5 * 7, 2 / 5 * 7 / 3, 1 / 5 * 7 / 3])
    np.testing.assert_allclose(ratios[:, 0], expected)
    np.testing.assert_allclose(
        counts.log_priors(1.0), np.log(np.asarray([2, 2, 3]) / 7)
    )


def test_inverse_frequencies_by_hand():
    for labels in ([0, 0, 1, 1], None):
        counts = counted(KEYS, labels, 2, needs_labels=False)
        assert counts.num_texts == 4
        _, found = counts.frequent(1, 9)
        expected = np.log([4, 4 / 3, 2])
        np.testing.assert_allclose(inverse_frequencies(found, 4), expected)
        assert counts.log_priors(1.0) == 0
    counts = counted(KEYS, None, 3, needs_labels=False)
    every = inverse_frequencies(counts.frequent(1, 9)[1], 4)
    np.testing.assert_allclose(every, np.repeat(expected[:, None], 3, 1))
    np.testing.assert_array_equal(counts.log_priors(1.0), np.zeros(3))


def test_the_frequent_ones_and_of_equals_the_smallest():
    counts = counted(KEYS, [0, 0, 1, 1], 2)
    keys, found = counts.frequent(2, 9)
    assert keys.tolist() == [20, 30]
    assert found.tolist() == [[2, 1], [0, 2]]
    assert counts.frequent(1, 2)[0].tolist() == [20, 30]
    same = counted(np.asarray([[9, 4, 7, 5], [5, 0, 0, 0]]), [0, 1], 2)
    assert same.frequent(1, 3)[0].tolist() == [4, 5, 7]


def present(rng):
    flags = rng.uniform(size=(40, 12)) < 0.3
    flags[np.arange(12), np.arange(12)] = True  # every key occurs
    return flags, np.where(flags, 100 * np.arange(1, 13), 0)


def test_scores_are_those_of_scikit_learn():
    bayes = pytest.importorskip("sklearn.naive_bayes", exc_type=ImportError)
    rng = np.random.default_rng(0)
    flags, keys = present(rng)
    labels = rng.integers(0, 2, 40)
    ratios = log_ratios(counted(keys, labels, 2).frequent(1, 99)[1], 0.7)
    model = bayes.MultinomialNB(alpha=0.7, fit_prior=False)
    logs = model.fit(flags, labels).predict_joint_log_proba(flags)
    np.testing.assert_allclose(flags @ ratios, logs[:, 1] - logs[:, 0])


def test_frequencies_are_those_of_scikit_learn():
    text = pytest.importorskip(
        "sklearn.feature_extraction.text", exc_type=ImportError
    )
    flags, keys = present(np.random.default_rng(0))
    _, found = counted(keys, None, 2, needs_labels=False).frequent(1, 99)
    # Without smoothing, theirs is 1 more.
    theirs = text.TfidfTransformer(smooth_idf=False).fit(flags).idf_ - 1
    np.testing.assert_allclose(inverse_frequencies(found, 40), theirs)


def test_keys_are_merged_as_they_come(monkeypatch):
    monkeypatch.setattr(naive_bayes, "PENDING", 50)
    rng = np.random.default_rng(1)
    # The largest keys too, whose codes need more than 32 bits.
    keys = np.stack([rng.permutation(59)[:4] for _ in range(300)])
    keys = np.where(keys < 9, 0, keys + 2**31 - 60)
    labels = rng.integers(0, 3, 300)
    counts = counted(keys, labels, 3)
    assert sum(map(len, counts._pending)) < 50
    found, per_class = counts.frequent(1, 10**6)
    assert found.tolist() == np.unique(keys).tolist()[1:]
    expected = [
        [np.sum((keys == key).any(axis=1) & (labels == c)) for c in range(3)]
        for key in found
    ]
    np.testing.assert_array_equal(per_class, expected)


def test_texts_come_in_batches():
    ids, labels = np.arange(5000).reshape(2500, 2), np.arange(2500)
    parts = list(batches_of(ids, labels))
    assert max(len(texts) for texts, _ in parts) <= 1024
    np.testing.assert_array_equal(np.concatenate([p[0] for p in parts]), ids)
    np.testing.assert_array_equal(np.concatenate([p[1] for p in parts]), labels)
    # Of an iterable, each with a length of its own.
    parts = list(batches_of([(ids[:3], labels[:3]), (ids[:2, :1], labels[:2])]))
    assert [texts.shape for texts, _ in parts] == [(3, 2), (2, 1)]
    # Without labels, from an array or an iterable of them.
    for given in (ids, [ids[:9], ids[9:]]):
        parts = list(batches_of(given))
        assert {classes for _, classes in parts} == {None}
        np.testing.assert_array_equal(
            np.concatenate([p[0] for p in parts]), ids
        )


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([0, 1, 2, 0], "`labels` must be integers in 0..1; of more "
         "classes, `num_classes` says how many. Received: labels=[0, 1, 2]"),
        ([0, -1, 0, 0], "Received: labels=[-1, 0]"),
        ([0.0, 1.0, 0.0, 1.0], "Received: labels=[0.0, 1.0]"),
        (None, "`labels` are needed for all texts"),
    ],
)  # fmt: skip
def test_other_labels_are_refused(labels, message):
    with pytest.raises(ValueError, match=r"^adapt: ") as error:
        counted(KEYS, labels, 2)
    assert message in str(error.value)


def test_labels_of_some_texts_are_refused():
    for labels in ([np.zeros(4, int), None], [None, np.zeros(4, int)]):
        counts = PresenceCounts(2, needs_labels=False)
        counts.add(KEYS, labels[0])
        with pytest.raises(ValueError, match="for all texts"):
            counts.add(KEYS, labels[1])


def test_nothing_to_count_is_refused():
    for keys, min_texts in ((0 * KEYS, 1), (KEYS, 4), (KEYS[:0], 1)):
        with pytest.raises(ValueError, match=f"min_texts={min_texts}, texts="):
            counted(keys, [0, 1, 0, 1][: len(keys)], 2).frequent(min_texts, 9)
    message = r"`ids` must be \(N, T\) and `labels` \(N,\). Received: "
    for given in ((KEYS, [0, 1]), ([[1, 2]],), ([(KEYS[0], [0, 1, 0])],)):
        with pytest.raises(ValueError, match=message):
            list(batches_of(*given))
    with pytest.raises(ValueError, match=r"a pair .* batch_length=3"):
        list(batches_of([(KEYS, [0] * 4, [1] * 4)]))
