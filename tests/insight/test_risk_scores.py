"""Scores of P(bad) beside plain loops."""

import math

import numpy as np
import pytest

from moe_keras.insight import (
    risk_calibration_error,
    risk_scores,
    scores_by_group,
)

RNG = np.random.default_rng(0)
LABELS = RNG.integers(0, 2, 203)
BAD = np.round(np.clip(0.3 * LABELS + RNG.random(203) * 0.7, 0.001, 0.999), 2)


def test_scores_are_those_of_the_loops():
    found = risk_scores(LABELS, BAD)
    wins, pairs = 0.0, 0
    for one in BAD[LABELS == 1]:
        for other in BAD[LABELS == 0]:
            wins += 1.0 if one > other else 0.5 * (one == other)
            pairs += 1
    assert found["auc"] == pytest.approx(wins / pairs)
    losses = [
        -math.log(p if y else 1 - p) for y, p in zip(LABELS, BAD, strict=True)
    ]
    assert found["log_loss"] == pytest.approx(sum(losses) / 203)
    squares = [(p - y) ** 2 for y, p in zip(LABELS, BAD, strict=True)]
    assert found["brier"] == pytest.approx(sum(squares) / 203)
    assert found["ece"] == risk_calibration_error(LABELS, BAD)


def test_the_calibration_error_is_of_parts_of_equal_mass():
    rows = sorted(
        range(203), key=lambda row: (BAD[row], row)
    )  # 203 = 8 * 14 + 7 * 13
    total, start = 0.0, 0
    for part in range(15):
        size = 14 if part < 8 else 13
        mine = rows[start : start + size]
        start += size
        total += abs(sum(BAD[r] for r in mine) - sum(LABELS[r] for r in mine))
    assert start == 203
    assert risk_calibration_error(LABELS, BAD) == pytest.approx(total / 203)


def test_a_true_model_has_nearly_none_and_a_sure_one_much():
    bad = np.linspace(0.01, 0.99, 60_000)
    labels = (RNG.random(60_000) < bad).astype(int)
    assert risk_calibration_error(labels, bad) < 0.01
    sure = (bad > 0.5).astype(float)
    # A quarter, less what the part in the middle, of both, makes up for.
    assert risk_calibration_error(labels, sure) == pytest.approx(0.23, abs=0.02)


def test_two_columns_are_one():
    both = np.stack([1 - BAD, BAD], axis=1)
    assert risk_scores(LABELS, both) == pytest.approx(risk_scores(LABELS, BAD))


def test_groups():
    sex = np.where(RNG.random(203) < 0.5, "male", "female")
    band = np.minimum(np.arange(203) // 100, 2)
    found = scores_by_group(LABELS, BAD, {"sex": sex, "band": band}, 0.5)
    assert list(found["attribute"]) == ["sex"] * 2 + ["band"] * 3
    assert list(found["group"]) == ["female", "male", "0", "1", "2"]
    line = found.iloc[1]
    rows = sex == "male"
    assert line["rows"] == rows.sum()
    assert line["bad_rate"] == pytest.approx(LABELS[rows].mean())
    assert line["mean_probability"] == pytest.approx(BAD[rows].mean())
    assert line["approval_rate"] == pytest.approx(np.mean(BAD[rows] < 0.5))
    assert line["auc"] == risk_scores(LABELS[rows], BAD[rows])["auc"]
    alone = scores_by_group([1, 0], [0.5, 0.1], {"x": ["a", "b"]}, 0.5)
    assert alone["auc"].isna().all()
    # Approved is what is below the threshold.
    assert list(alone["approval_rate"]) == [0.0, 1.0]


@pytest.mark.parametrize(
    ("labels", "probabilities", "message"),
    [
        ([0, 1], [0.5], r"\(N,\).*probabilities_shape=\(1,\)"),
        ([0, 2], [0.5, 0.5], r"0 or 1.*\[0, 2\]"),
        ([0, 1], [0.5, np.nan], r"in \[0, 1\].*nan"),
        ([0, 1], [0.5, 1.5], r"highest=1.5"),
        ([1, 1], [0.5, 0.4], r"both classes.*bad=2"),
        ([], [], r"N above 0"),
    ],
)
def test_what_is_refused(labels, probabilities, message):
    with pytest.raises(ValueError, match=message):
        risk_scores(labels, probabilities)


def test_groups_of_other_rows_are_refused():
    with pytest.raises(ValueError, match=r"attribute='sex'.*\(3,\)"):
        scores_by_group([0, 1], [0.5, 0.4], {"sex": ["a", "b", "c"]}, 0.5)
