"""The paired bootstrap, against a loop and against the normal formula."""

import math

import numpy as np
import pytest

from moe_keras.insight import paired_bootstrap


def scores(count, gap, seed=0):
    generator = np.random.default_rng(seed)
    base = generator.uniform(size=count) < 0.9
    flipped = generator.uniform(size=count) < 0.05
    better = generator.uniform(size=count) < 0.5 + gap
    other = np.where(flipped, ~better, base)
    return np.where(flipped, better, base).astype(float), other.astype(float)


def test_it_is_the_loop_over_draws():
    first, second = scores(40, 0.2)
    found = paired_bootstrap(first, second, draws=500, seed=3)
    generator = np.random.default_rng(3)
    means = []
    for places in generator.integers(0, 40, (500, 40)):
        total = sum(first[place] - second[place] for place in places)
        means.append(total / 40)
    assert found.mean == pytest.approx((first - second).mean())
    assert found.low == pytest.approx(np.quantile(means, 0.025))
    assert found.high == pytest.approx(np.quantile(means, 0.975))
    below = sum(mean <= 0 for mean in means)
    above = sum(mean >= 0 for mean in means)
    expected = min(1, (2 * min(below, above) + 2) / 501)
    assert found.p_value == pytest.approx(expected)


def test_the_interval_is_near_the_normal_one():
    first, second = scores(5000, 0.2)
    gaps = first - second
    error = gaps.std(ddof=1) / math.sqrt(len(gaps))
    found = paired_bootstrap(first, second)
    assert found.low == pytest.approx(found.mean - 1.96 * error, rel=0.1)
    assert found.high == pytest.approx(found.mean + 1.96 * error, rel=0.1)
    assert found.p_value < 0.01


def test_equal_models_are_not_told_apart():
    first, _ = scores(200, 0.0)
    assert paired_bootstrap(first, first) == (0, 0, 0, 1)
    one, other = scores(2000, 0.0, seed=1)
    assert paired_bootstrap(one, other).p_value > 0.05


def test_swapping_the_models_turns_the_sign():
    first, second = scores(300, 0.1)
    there, back = (
        paired_bootstrap(*pair) for pair in ((first, second), (second, first))
    )
    assert (there.low, there.high) == pytest.approx((-back.high, -back.low))
    assert there.p_value == back.p_value


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([1.0], [1.0, 2.0]), r"Received: first_shape=\(1,\), second_shape"),
        (([], []), "N above 0"),
        (([1.0], [1.0], 0), "Received: draws=0"),
    ],
)
def test_bad_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        paired_bootstrap(*arguments)
