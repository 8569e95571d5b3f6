"""Losses of mixtures of classifiers, against loops and differences."""

import math

import keras
import numpy as np
import pytest

from moe_keras.losses import averaged_loss, expert_losses, mixture_likelihood
from tests.gradients import gradients_of, random_projection
from tests.tools import assert_close, draw, numpy_of, random_gates

STEP = 1e-6
OF_MIXTURES = {
    "likelihood": mixture_likelihood,
    "averaged": averaged_loss,
}
WEIGHTS = [0.5, 0.0, 2.0]


def probability(logits, label):
    top = max(logits)
    powers = [math.exp(value - top) for value in logits]
    return powers[label] / sum(powers)


def row_of(kind, logits, gates, label):
    """One row, expert by expert; those whose gate is 0 are not looked at."""
    heard = [e for e, gate in enumerate(gates) if gate > 0]
    if not heard:
        return 0.0
    found = {e: probability(logits[e], label) for e in heard}
    if kind == "likelihood":
        return -math.log(sum(gates[e] * found[e] for e in heard))
    return -sum(gates[e] * math.log(found[e]) for e in heard)


def by_loop(kind, logits, gates, labels):
    losses = np.zeros(labels.shape)
    for place in np.ndindex(labels.shape):
        losses[place] = row_of(
            kind,
            logits[place].astype("float64"),
            gates[place].astype("float64"),
            labels[place],
        )
    return losses


def examples(*leading, dtype="float32"):
    """Logits of 3 experts and 4 classes, sparse gates, labels."""
    logits = 2 * draw(*leading, 3, 4, dtype=dtype)
    gates = random_gates((*leading, 3), share=0.3).astype(dtype)
    labels = np.random.default_rng(1).integers(0, 4, size=leading)
    return logits, gates, labels


@pytest.mark.jax
@pytest.mark.parametrize("leading", [(6,), (2, 3)])
@pytest.mark.parametrize("kind", OF_MIXTURES)
def test_losses_of_mixtures_are_the_loops(kind, leading):
    logits, gates, labels = examples(*leading)
    gates.reshape(-1, 3)[1] = 0  # a row that is routed nowhere
    losses = OF_MIXTURES[kind](logits, gates, labels)
    assert_close(losses, by_loop(kind, logits, gates, labels))
    # An expert whose gate is 0 has no say, whatever it holds.
    logits[gates == 0] = np.nan
    losses = OF_MIXTURES[kind](logits, gates, labels)
    assert_close(losses, by_loop(kind, logits, gates, labels))


@pytest.mark.jax
@pytest.mark.parametrize("leading", [(6,), (2, 3)])
def test_losses_of_experts_are_the_loops(leading):
    logits, _, labels = examples(*leading)
    expected = np.zeros((*leading, 3))
    for place in np.ndindex(leading):
        for e, row in enumerate(logits[place]):
            expected[place][e] = -math.log(probability(row, labels[place]))
    assert_close(expert_losses(logits, labels), expected)
    weighted = expert_losses(logits, labels, WEIGHTS)
    assert_close(weighted, expected * WEIGHTS)


@pytest.mark.parametrize("kind", [*OF_MIXTURES, "experts"])
def test_weights_and_masks_of_rows(kind):
    logits, gates, labels = examples(6)

    def run(**options):
        if kind == "experts":
            return numpy_of(expert_losses(logits, labels, **options))
        return numpy_of(OF_MIXTURES[kind](logits, gates, labels, **options))

    plain = run()
    weights = np.array([0.5, 0, 1, 2, 0, 3], "float32")
    mask = np.array([1, 1, 0, 1, 1, 0], bool)
    rows = (6, 1) if kind == "experts" else (6,)
    expected = plain * weights.reshape(rows) * mask.reshape(rows)
    # What does not count may hold anything.
    logits[~mask], logits[weights == 0] = np.nan, np.inf
    labels[~mask] = -1
    found = run(sample_weight=weights, mask=mask)
    np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize("kind", OF_MIXTURES)
def test_sure_and_wrong_experts_have_finite_losses(kind):
    # Their probability of the label, exp(-2000), is 0 in every float.
    logits = np.array([[[0.0, 2000.0], [0.0, 1000.0]]], "float32")
    gates = np.array([[0.25, 0.75]], "float32")
    labels = np.array([0])
    expected = {
        "likelihood": 1000 - math.log(0.75),
        "averaged": 0.25 * 2000 + 0.75 * 1000,
    }[kind]
    found = OF_MIXTURES[kind](logits, gates, labels)
    assert_close(found, np.array([expected], "float32"), rtol=1e-6)


def test_half_precision_is_widened():
    logits, gates, labels = examples(6)
    half = keras.ops.cast(logits, "bfloat16")
    for losses in (
        mixture_likelihood(half, gates, labels),
        averaged_loss(half, keras.ops.cast(gates, "bfloat16"), labels),
        expert_losses(half, labels),
    ):
        assert keras.backend.standardize_dtype(losses.dtype) == "float32"


class LossLayer(keras.layers.Layer):
    """A loss of logits and gates, for what differentiates layers."""

    def __init__(self, loss):
        super().__init__(autocast=False)
        self._loss = loss
        self.built = True

    def call(self, inputs):
        return self._loss(*inputs)


def loss_layer(kind, labels, mask):
    if kind == "experts":
        return LossLayer(
            lambda logits, gates: expert_losses(
                logits, labels, WEIGHTS, mask=mask
            )
        )
    return LossLayer(
        lambda logits, gates: OF_MIXTURES[kind](
            logits, gates, labels, mask=mask
        )
    )


@pytest.mark.parametrize("kind", [*OF_MIXTURES, "experts"])
def test_gradients_are_the_finite_differences(kind, float64):
    logits, gates, labels = examples(5, dtype="float64")
    gates[1] = 0
    mask = np.arange(5) != 3
    layer = loss_layer(kind, labels, mask)

    def loss():
        return float(numpy_of(random_projection(layer([logits, gates]))))

    _, _, gradients = gradients_of(layer, ([logits, gates],), random_projection)
    for values, gradient in zip([logits, gates], gradients, strict=True):
        if gradient is None:
            assert kind == "experts"
            continue
        for place in np.ndindex(values.shape):
            value = values[place]
            # A gate of 0 is a switch, not a value to move.
            if values is gates and value == 0:
                assert gradient[place] == 0
                continue
            ends = []
            for sign in (1, -1):
                values[place] = value + sign * STEP
                ends.append(loss())
            values[place] = value
            slope = (ends[0] - ends[1]) / (2 * STEP)
            assert gradient[place] == pytest.approx(slope, abs=1e-6)


@pytest.mark.parametrize("kind", [*OF_MIXTURES, "experts"])
def test_who_does_not_count_has_no_gradient(kind):
    logits, gates, labels = examples(5)
    mask = np.arange(5) != 3
    silent = gates == 0
    if kind == "experts":
        silent = np.zeros_like(gates) + WEIGHTS == 0
    silent[~mask] = True
    logits[silent] = np.nan
    layer = loss_layer(kind, labels, mask)
    _, _, (gradient, _) = gradients_of(
        layer, ([logits, gates],), random_projection
    )
    assert np.all(gradient[silent] == 0)
    assert np.all(np.abs(gradient[~silent]).sum(axis=-1) > 1e-6)


def test_the_likelihood_favours_who_did_well():
    """Each expert's share of the gradient is its posterior, not its gate."""
    logits, labels = draw(1, 2, 3), np.array([0])
    logits[0, 0], logits[0, 1] = [4, 0, 0], [0, 0, 4]
    gates = np.array([[0.5, 0.5]], "float32")

    def gradient_of(kind):
        layer = loss_layer(kind, labels, None)
        found = gradients_of(layer, ([logits, gates],), keras.ops.sum)[2][0]
        return found[0]

    alone = 2 * gradient_of("averaged")  # each gate is a half
    odds = [probability(row, 0) for row in logits[0]]
    posterior = np.array(odds) / sum(odds)
    expected = posterior[:, None] * alone
    np.testing.assert_allclose(
        gradient_of("likelihood"), expected, rtol=1e-4, atol=1e-6
    )


def test_weights_are_one_for_each_expert():
    logits, _, labels = examples(3)
    with pytest.raises(ValueError, match=r"expert_weights=\[1\.0\]"):
        expert_losses(logits, labels, [1.0])
