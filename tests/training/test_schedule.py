"""Learning rates, step by step."""

import math

import keras
import pytest

from moe_keras.training.schedule import RecipeSchedule

STEPS = 20


def rates(name, warmup):
    schedule = RecipeSchedule(name, 0.4, STEPS, warmup)
    return [float(schedule(step)) for step in range(STEPS + 3)]


def between(start, end, share):
    return end + (start - end) * 0.5 * (1 + math.cos(math.pi * share))


def expected(name, warmup, step):
    if step < warmup:
        if name == "one_cycle":
            return between(0.4 / 25, 0.4, step / warmup)
        return 0.4 * (step + 1) / warmup
    if name == "constant":
        return 0.4
    end = 0.4 / 250_000 if name == "one_cycle" else 0.0
    return between(0.4, end, min(1, (step - warmup) / (STEPS - warmup)))


@pytest.mark.parametrize("name", ["constant", "cosine", "one_cycle"])
@pytest.mark.parametrize("warmup", [0, 1, 6])
def test_by_loop(name, warmup):
    loop = [expected(name, warmup, step) for step in range(STEPS + 3)]
    assert rates(name, warmup) == pytest.approx(loop, abs=1e-7)


def test_cosine_is_that_of_keras():
    theirs = keras.optimizers.schedules.CosineDecay(0.4, STEPS)
    assert rates("cosine", 0) == pytest.approx(
        [float(theirs(step)) for step in range(STEPS + 3)], abs=1e-6
    )


def test_the_peak_is_reached_and_nothing_is_above_it():
    for name in ("constant", "cosine", "one_cycle"):
        assert max(rates(name, 5)) == pytest.approx(0.4)


def test_it_is_saved_with_an_optimizer():
    schedule = RecipeSchedule("one_cycle", 0.4, STEPS, 5)
    config = keras.optimizers.serialize(keras.optimizers.SGD(schedule))
    again = keras.optimizers.deserialize(config)
    assert again._learning_rate.get_config() == schedule.get_config()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("linear", 0.1, 5), "`name` must be in"),
        (("cosine", 0.0, 5), "`peak` must be above 0. Received: peak=0.0"),
        (("cosine", 0.1, 0), "`steps` must be an int > 0. Received: steps=0"),
        (("cosine", 0.1, 5, 5), "`warmup` must be in"),
        (("cosine", 0.1, 5, -1), "`warmup` must be in"),
    ],
)
def test_what_is_wrong_is_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        RecipeSchedule(*arguments)
