"""Log-count ratios, against counts by hand and against scikit-learn."""

import numpy as np
import pytest

from moe_keras.ops.naive_bayes import PresenceCounts, batches_of

# Buckets of four texts; 0 for none.
PLACES = np.asarray([[1, 2, 0], [2, 0, 0], [2, 3, 0], [3, 0, 0]])


def counted(places, labels, num_classes, buckets=5):
    counts = PresenceCounts(num_classes, buckets)
    for start in range(0, len(places), 3):
        place = slice(start, start + 3)
        counts.add(places[place], np.asarray(labels)[place])
    return counts


def test_two_classes_by_hand():
    counts = counted(PLACES, [0, 0, 1, 1], 2)
    # With alpha = 1, class 1 has 1, 2, 3 of buckets 1, 2, 3 and class 0 has 2,
    # 3, 1: both sums are 6.
    expected = [0, np.log(1 / 2), np.log(2 / 3), np.log(3), 0]
    np.testing.assert_allclose(counts.log_ratios(1.0), expected)
    assert counts.log_priors(1.0) == 0
    # With alpha = 1/2, the same less 1/2, of 4.5.
    expected = [0, np.log(0.5 / 1.5), np.log(1.5 / 2.5), np.log(2.5 / 0.5), 0]
    np.testing.assert_allclose(counts.log_ratios(0.5), expected)


def test_classes_against_the_rest_by_hand():
    counts = counted(PLACES, [0, 1, 2, 2], 3)
    # Class 2 has 1, 2, 3 of 6, as above, and so have the others 2, 3, 1.
    ratios = counts.log_ratios(1.0)
    assert ratios.shape == (5, 3)
    expected = [0, np.log(1 / 2), np.log(2 / 3), np.log(3), 0]
    np.testing.assert_allclose(ratios[:, 2], expected)
    # Class 0 has 2, 2, 1 of 5, and the others 1, 3, 3 of 7.
    expected = np.log([2 / 5 * 7, 2 / 5 * 7 / 3, 1 / 5 * 7 / 3])
    np.testing.assert_allclose(ratios[1:4, 0], expected)
    np.testing.assert_allclose(
        counts.log_priors(1.0), np.log(np.asarray([2, 2, 3]) / 7)
    )


def test_scores_are_those_of_scikit_learn():
    bayes = pytest.importorskip("sklearn.naive_bayes", exc_type=ImportError)
    rng = np.random.default_rng(0)
    present = rng.uniform(size=(40, 12)) < 0.3
    present[np.arange(12), np.arange(12)] = True  # every bucket occurs
    labels = rng.integers(0, 2, 40)
    places = np.where(present, np.arange(1, 13), 0)
    ratios = counted(places, labels, 2, 13).log_ratios(0.7)
    model = bayes.MultinomialNB(alpha=0.7, fit_prior=False)
    logs = model.fit(present, labels).predict_joint_log_proba(present)
    np.testing.assert_allclose(present @ ratios[1:], logs[:, 1] - logs[:, 0])


def test_texts_come_in_batches():
    ids, labels = np.arange(5000).reshape(2500, 2), np.arange(2500)
    parts = list(batches_of(ids, labels))
    assert max(len(texts) for texts, _ in parts) <= 1024
    np.testing.assert_array_equal(np.concatenate([p[0] for p in parts]), ids)
    np.testing.assert_array_equal(np.concatenate([p[1] for p in parts]), labels)
    # Of an iterable, each with a length of its own.
    parts = list(batches_of([(ids[:3], labels[:3]), (ids[:2, :1], labels[:2])]))
    assert [texts.shape for texts, _ in parts] == [(3, 2), (2, 1)]


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([0, 1, 2, 0], "`labels` must be integers in 0..1. Received: "
         "labels=[0, 1, 2]"),
        ([0, -1, 0, 0], "Received: labels=[-1, 0]"),
        ([0.0, 1.0, 0.0, 1.0], "Received: labels=[0.0, 1.0]"),
    ],
)  # fmt: skip
def test_other_labels_are_refused(labels, message):
    with pytest.raises(ValueError, match=r"^adapt: ") as error:
        counted(PLACES, labels, 2)
    assert message in str(error.value)


def test_nothing_to_count_is_refused():
    with pytest.raises(ValueError, match="there must be a text with a word"):
        counted(0 * PLACES, [0, 1, 0, 1], 2).log_ratios(1.0)
    message = r"`ids` must be \(N, T\) and `labels` \(N,\). Received: "
    with pytest.raises(ValueError, match=message):
        list(batches_of(PLACES, [0, 1]))
