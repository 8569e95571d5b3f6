"""Scores against loops and hand-computed values."""

import math

import numpy as np
import pytest

from moe_keras.insight import (
    classification_scores,
    expected_calibration_error,
    plot_calibration,
    reliability,
)


def ece_by_loop(labels, probabilities, bins=15):
    """Bin b holds the confidences in ((b-1)/15, b/15]."""
    total = 0.0
    for b in range(bins):
        low, high = b / bins, (b + 1) / bins
        members = [
            (max(row), float(np.argmax(row) == label))
            for row, label in zip(probabilities, labels, strict=True)
            if low < max(row) <= high
        ]
        if members:
            confidence = sum(c for c, _ in members) / len(members)
            accuracy = sum(a for _, a in members) / len(members)
            total += len(members) / len(labels) * abs(accuracy - confidence)
    return total


def test_ece_is_the_loop_over_bins():
    generator = np.random.default_rng(0)
    for classes in (2, 3, 10):
        probabilities = generator.dirichlet(np.ones(classes), size=300)
        labels = generator.integers(0, classes, 300)
        assert expected_calibration_error(
            labels, probabilities
        ) == pytest.approx(ece_by_loop(labels, probabilities), abs=1e-12)


def test_ece_of_a_sure_and_right_model_is_0_and_of_a_wrong_one_1():
    sure = np.eye(3)
    assert expected_calibration_error([0, 1, 2], sure) == 0
    assert expected_calibration_error([1, 2, 0], sure) == 1


def test_ece_by_hand():
    # One bin, confidence 0.8, half of them right.
    probabilities = [[0.8, 0.2]] * 4
    found = expected_calibration_error([0, 0, 1, 1], probabilities)
    assert found == pytest.approx(0.3)


def test_ece_refuses_shapes_that_do_not_fit():
    with pytest.raises(ValueError, match=r"labels_shape=\(2,\)"):
        expected_calibration_error([0, 1], [[0.5, 0.5]])


def test_scores_by_hand():
    probabilities = np.array([[0.5, 0.5, 0.0], [0.1, 0.2, 0.7]], "float32")
    scores = classification_scores([1, 2], probabilities)
    # A tie goes to the lower class, here the wrong one.
    assert scores["accuracy"] == 0.5
    expected = -(math.log(0.5) + math.log(0.7)) / 2
    assert scores["log_loss"] == pytest.approx(expected, rel=1e-6)
    assert set(scores) == {"accuracy", "log_loss", "ece"}


def test_reliability_is_the_loop_over_bins():
    generator = np.random.default_rng(5)
    probabilities = generator.dirichlet(np.ones(3), 200)
    labels = generator.integers(0, 3, 200)
    found = reliability(labels, probabilities)
    assert found.count.sum() == 200
    for number in range(15):
        members = [
            row
            for row in range(200)
            if number / 15 < probabilities[row].max() <= (number + 1) / 15
        ]
        assert found.count[number] == len(members)
        if not members:
            assert np.isnan(found.accuracy[number])
            continue
        right = [probabilities[row].argmax() == labels[row] for row in members]
        sure = [probabilities[row].max() for row in members]
        assert found.accuracy[number] == pytest.approx(np.mean(right))
        assert found.confidence[number] == pytest.approx(np.mean(sure))


def test_the_picture_shows_each_bin():
    shown = reliability([0, 1], [[0.9, 0.1], [0.45, 0.55]])
    left, right = plot_calibration(shown).axes
    heights = [bar.get_height() for bar in right.patches]
    assert heights[8] == heights[13] == 0.5
    assert sum(heights) == 1
    assert [left.patches[8].get_height(), left.patches[13].get_height()] == [
        1,
        1,
    ]
