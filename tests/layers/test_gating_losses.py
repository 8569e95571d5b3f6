"""The losses that GatingLayer adds by itself, against counting."""

import numpy as np
import pytest

from moe_keras.layers import GatingLayer
from tests import oracles
from tests.layers.test_gating import built, logits_of
from tests.tools import draw, numpy_of


@pytest.mark.parametrize("top_k", [1, 2])
def test_losses_of_a_sparse_gate(top_k):
    inputs = draw(9, 5)
    layer = built(
        inputs, num_experts=4, top_k=top_k, balance_loss=0.5, z_loss=0.25
    )
    layer(inputs, training=True)
    logits = logits_of(layer, inputs)
    balance, z = map(float, map(numpy_of, layer.losses))
    expected = 0.5 * oracles.switch_balance(logits, top_k)
    assert balance == pytest.approx(expected, rel=1e-5)
    assert z == pytest.approx(0.25 * oracles.z_loss(logits), rel=1e-5)


def test_losses_leave_padding_out():
    inputs, mask = draw(3, 4, 5), np.arange(12).reshape(3, 4) % 3 > 0
    layer = built(inputs, num_experts=4, top_k=2, balance_loss=1, z_loss=1)
    inputs[~mask] = 100.0
    layer(inputs, mask=mask, training=True)
    logits = logits_of(layer, inputs.reshape(-1, 5))
    balance, z = map(float, map(numpy_of, layer.losses))
    real = mask.reshape(-1)
    assert balance == pytest.approx(
        oracles.switch_balance(logits, 2, real), rel=1e-5
    )
    assert z == pytest.approx(oracles.z_loss(logits, real), rel=1e-5)


@pytest.mark.parametrize(
    ("kwargs", "training", "count"),
    [
        ({"top_k": 2}, True, 2),
        ({"top_k": 2}, False, 0),
        ({"top_k": 2}, None, 0),
        ({}, True, 0),
        ({"top_k": 4}, True, 0),
        ({"top_k": 2, "z_loss": 0.0}, True, 1),
        ({"top_k": 2, "balance_loss": 0.0}, True, 1),
        ({"top_k": 2, "balance_loss": 0.0, "z_loss": 0.0}, True, 0),
    ],
)
def test_when_there_are_losses(kwargs, training, count):
    layer = GatingLayer(4, **kwargs)
    layer(draw(6, 5), training=training)
    assert len(layer.losses) == count


@pytest.mark.parametrize("top_k", [None, 2])
def test_losses_of_the_gates(top_k):
    inputs, mask = draw(3, 4, 5), np.arange(12).reshape(3, 4) % 3 > 0
    layer = built(
        inputs,
        num_experts=4,
        top_k=top_k,
        balance_loss=0.0,
        z_loss=0.0,
        importance_loss=0.5,
        mutual_information_loss=0.25,
    )
    layer(inputs, mask=mask, training=True)
    logits, real = logits_of(layer, inputs.reshape(-1, 5)), mask.reshape(-1)
    gates = oracles.softmax_gates(logits, top_k)
    importance, information = map(float, map(numpy_of, layer.losses))
    assert importance == pytest.approx(
        0.5 * oracles.importance(gates, real), rel=1e-4
    )
    if top_k is None:
        assert information == pytest.approx(
            -0.25 * oracles.mutual_information(gates, real), rel=1e-4
        )
    layer(inputs, mask=mask, training=False)
    assert layer.losses == []


def test_mutual_information_of_a_top_1_gate_is_of_probabilities():
    # A top-1 gate keeps its probability, so its rows do not sum to 1.
    # All rows alike: knowing the row says nothing about its expert.
    inputs = np.ones((6, 5), "float32")
    layer = built(
        inputs,
        num_experts=4,
        top_k=1,
        balance_loss=0.0,
        z_loss=0.0,
        mutual_information_loss=1.0,
    )
    layer(inputs, training=True)
    (loss,) = map(float, map(numpy_of, layer.losses))
    assert loss == pytest.approx(0.0, abs=1e-5)
    inputs = np.eye(5, dtype="float32")[:4]
    layer.kernel.assign(2 * np.eye(5)[:, :4])
    layer(inputs, training=True)
    (loss,) = map(float, map(numpy_of, layer.losses))
    probabilities = np.stack([oracles.softmax(row[:4]) for row in 2 * inputs])
    expected = oracles.mutual_information(probabilities)
    assert -loss == pytest.approx(expected, rel=1e-4)


def test_z_loss_sees_logits_without_noise():
    inputs = draw(9, 5)
    layer = built(inputs, num_experts=4, top_k=2, noisy=True, z_loss=1.0)
    layer(inputs, training=True)
    expected = oracles.z_loss(logits_of(layer, inputs))
    assert float(numpy_of(layer.losses[1])) == pytest.approx(expected, rel=1e-5)
