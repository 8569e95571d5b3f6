"""Class shares found without labels, where they are known."""

import keras
import numpy as np
import pytest

from moe_keras.layers import PriorCorrection, TemperatureScaling
from moe_keras.training import (
    estimate_prior,
    fit_isotonic,
    fit_prior,
    fit_temperature,
)
from tests.tools import draw, numpy_of

TRAINED, SERVED = np.array([0.5, 0.3, 0.2]), np.array([0.2, 0.2, 0.6])
MEANS = np.array([[0.0, 0.0], [2.5, 0.0], [0.0, 2.5]])


def drawn(shares, rows=20_000, seed=0):
    """Rows of three normal classes, and the classes."""
    rng = np.random.default_rng(seed)
    classes = rng.choice(3, rows, p=shares)
    return rng.normal(size=(rows, 2)) + MEANS[classes], classes


def logits_of(rows):
    """The best that a model can say after a training with these shares."""
    distances = ((rows[:, None] - MEANS) ** 2).sum(axis=-1)
    return np.log(TRAINED) - distances / 2


def in_loops(logits, trained, steps):
    """Saerens et al., row by row."""
    shares = list(trained)
    for _ in range(steps):
        sums = [0.0] * len(shares)
        for row in logits:
            chances = np.exp(row) / np.exp(row).sum()
            joint = [
                new / old * chance
                for new, old, chance in zip(
                    shares, trained, chances, strict=True
                )
            ]
            for place, one in enumerate(joint):
                sums[place] += one / sum(joint)
        shares = [one / len(logits) for one in sums]
    return np.asarray(shares)


def test_it_finds_the_shares():
    rows, _ = drawn(SERVED)
    found = estimate_prior(logits_of(rows), TRAINED)
    # Three times the spread of 20 draws.
    np.testing.assert_allclose(found, SERVED, atol=0.015)
    # Much nearer than the mean of the uncorrected chances.
    plain = np.exp(logits_of(rows))
    plain /= plain.sum(axis=1, keepdims=True)
    assert np.abs(plain.mean(axis=0) - SERVED).max() > 0.05
    assert found.sum() == pytest.approx(1)


def test_it_is_the_loop():
    logits = logits_of(drawn(SERVED, 60)[0])
    expected = in_loops(logits, TRAINED, 400)
    found = estimate_prior(logits, TRAINED)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_no_shares_near_it_are_likelier():
    logits = logits_of(drawn(SERVED, 300)[0])
    found = estimate_prior(logits, TRAINED)
    chances = np.exp(logits)
    chances /= chances.sum(axis=1, keepdims=True)

    def likelihood(shares):
        return np.log(chances @ (shares / TRAINED)).sum()

    for step in ([1, -1, 0], [0, 1, -1], [1, 0, -1]):
        for size in (-0.01, 0.01):
            moved = found + size * np.asarray(step)
            assert likelihood(moved) < likelihood(found)


def test_the_layer_gets_them_and_the_model_is_right():
    inputs = keras.Input((3,))
    x = TemperatureScaling(name="temperature")(inputs)
    x = PriorCorrection(TRAINED.tolist(), name="prior")(x)
    model = keras.Model(inputs, keras.layers.Softmax()(x))
    rows, _ = drawn(SERVED, 4000)
    logits = logits_of(rows).astype("float32")
    found = fit_prior(model, logits)
    np.testing.assert_allclose(
        numpy_of(model.get_layer("prior").shares), found, rtol=1e-6
    )
    # By the chance of each class, as many as there are.
    means = model.predict(logits, verbose=0).mean(axis=0)
    np.testing.assert_allclose(means, found, atol=1e-4)


@pytest.mark.parametrize("shape", [(0, 3), (3,), (2, 2)])
def test_what_is_refused(shape):
    with pytest.raises(ValueError, match="estimate_prior: "):
        estimate_prior(np.zeros(shape), TRAINED)


def test_a_class_that_is_not_there_and_classes_that_are_one():
    logits = np.log([[0.9, 0.1], [0.8, 0.2], [0.9, 0.1]])
    found = estimate_prior(logits, [0.5, 0.5])
    assert 0 < found[1] < 1e-3
    equal = estimate_prior(np.zeros((5, 2)), [0.3, 0.7])
    np.testing.assert_allclose(equal.sum(), 1)


def two_outputs():
    inputs = keras.Input((2,))
    outputs = {}
    for name in ("late", "early"):
        x = TemperatureScaling(name=f"temperature_{name}")(inputs)
        x = PriorCorrection([0.5, 0.5], name=f"prior_{name}")(x)
        outputs[name] = keras.layers.Softmax(name=name)(x)
    return keras.Model(inputs, outputs)


def test_one_output_of_several_and_rows_without_a_label():
    logits = 4 * draw(600, 2)
    noise = np.random.default_rng(0).gumbel(size=logits.shape)
    labels = np.argmax(logits / 2 + noise, axis=1)
    missing = labels.copy()
    # Were they read, the temperature would be another.
    missing[:300] = -1
    model = two_outputs()
    half = fit_temperature(
        model, (logits, {"late": missing, "early": labels}), output="late"
    )
    alone = keras.Model(model.input, model.output["early"])
    assert half == pytest.approx(
        fit_temperature(alone, (logits[300:], labels[300:])), rel=1e-6
    )
    weights = {"late": (missing >= 0).astype("float32")}
    weighted = fit_temperature(
        model, (logits, {"late": labels}, weights), output="late"
    )
    assert weighted == pytest.approx(half, rel=1e-4)
    fit_prior(model, logits, output="late")
    assert numpy_of(model.get_layer("prior_early").shares)[0] == 0.5
    assert numpy_of(model.get_layer("prior_late").shares)[0] != 0.5
    with pytest.raises(ValueError, match=r"model's \[.*\].*output='no'"):
        fit_temperature(model, (logits, {"no": labels}), output="no")
    with pytest.raises(ValueError, match="one IsotonicScaling"):
        fit_isotonic(model, (logits, {"late": labels}), output="late")
    with pytest.raises(ValueError, match="one TemperatureScaling"):
        fit_temperature(model, (logits, labels))
