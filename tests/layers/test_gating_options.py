"""GatingLayer's options: each gate and each loss against the loops."""

import keras
import numpy as np
import pytest

from moe_keras.layers import GatingLayer
from tests import oracles_gating
from tests.tools import assert_close, draw, numpy_of, randomize, weights_by_name

QUIET = {"balance_loss": 0.0, "z_loss": 0.0}


def built(inputs, num_experts=5, **kwargs):
    layer = GatingLayer(num_experts, **kwargs)
    layer(inputs)
    return randomize(layer)


def logits_of(layer, rows):
    """`(N, E)` of rows `(N, D)`, in float64."""
    weights = {
        name: value.astype("float64")
        for name, value in weights_by_name(layer).items()
    }
    rows = rows.astype("float64")
    if layer.scores == "linear":
        return rows @ weights["kernel"] / layer.temperature
    one = {
        "cosine": lambda row: oracles_gating.cosine_logits(
            row,
            weights["kernel"],
            weights["expert_embeddings"],
            weights["log_scale"],
        ),
        "attention": lambda row: oracles_gating.attention_logits(
            row, weights["kernel"], weights["expert_keys"]
        ),
    }[layer.scores]
    return np.stack([one(row) for row in rows]) / layer.temperature


CHOICES = [
    {"activation": "sigmoid"},
    {"activation": "sigmoid", "normalize": False},
    {"activation": "sigmoid", "top_k": 1},
    {"activation": "sigmoid", "top_k": 3},
    {"activation": "sigmoid", "top_k": 3, "normalize": False},
    {"order": "top_k_softmax", "top_k": 2},
    {"order": "top_k_softmax", "top_k": 2, "normalize": False},
    {"order": "top_k_softmax"},
    {"top_k": 2, "normalize": False},
    {"top_p": 0.6},
    {"top_p": 0.6, "normalize": False},
    {"top_p": 0.9, "top_k": 2},
    {"top_p": 1e-6},
    {"top_p": 1.0},
    {"top_p": 0.5, "activation": "sigmoid"},
    {"top_p": 0.7, "order": "top_k_softmax", "normalize": False},
]


@pytest.mark.parametrize("scores", ["linear", "cosine", "attention"])
@pytest.mark.parametrize("kwargs", CHOICES)
def test_gates_are_those_of_the_loops(scores, kwargs):
    inputs = 2 * draw(7, 4)
    layer = built(inputs, scores=scores, score_units=3, **kwargs)
    expected = oracles_gating.gates(logits_of(layer, inputs), **kwargs)
    assert_close(layer(inputs), expected)


def test_normalize_tells_the_orders_apart():
    inputs = draw(6, 4)
    layers = [
        built(inputs, top_k=2, order=order, normalize=False)
        for order in ("softmax_top_k", "top_k_softmax")
    ]
    sums = [numpy_of(layer(inputs)).sum(axis=-1) for layer in layers]
    assert np.all(sums[0] < 0.99)
    np.testing.assert_allclose(sums[1], np.ones(6), rtol=1e-5)


@pytest.mark.parametrize("top_k", [1, 2, 3])
@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
def test_ties_go_to_the_lower_index(activation, top_k):
    layer = GatingLayer(4, top_k, activation=activation, load_bias=1e-3)
    layer.build((None, 3))
    layer.kernel.assign(np.zeros((3, 4)))
    gates = numpy_of(layer(draw(5, 3)))
    expected = [[e < top_k for e in range(4)]] * 5
    np.testing.assert_array_equal(gates > 0, expected)


def test_top_p_takes_the_lower_of_equals():
    layer = GatingLayer(4, top_p=0.4)
    layer.build((None, 3))
    layer.kernel.assign(np.zeros((3, 4)))
    np.testing.assert_array_equal(
        numpy_of(layer(draw(2, 3))), [[0.5, 0.5, 0, 0]] * 2
    )


def test_top_p_is_sparse():
    assert GatingLayer(4, top_p=0.5).is_sparse
    assert not GatingLayer(4, top_p=1.0).is_sparse
    assert GatingLayer(4, top_p=0.5).choices == 4
    assert GatingLayer(4, top_k=3, top_p=0.5).choices == 3


def test_cosine_starts_at_its_temperature_and_has_a_largest_scale():
    inputs = draw(6, 4)
    layer = GatingLayer(3, scores="cosine", score_units=5)
    layer.build(inputs.shape)
    assert float(numpy_of(layer.log_scale)) == pytest.approx(np.log(2))
    assert np.ptp(np.log(numpy_of(layer(inputs))), axis=-1).max() <= 4.001
    layer.log_scale.assign(50.0)
    clamped = numpy_of(layer(inputs))
    layer.log_scale.assign(np.log(100.0))
    assert_close(layer(inputs), clamped)


def test_score_units_are_the_width():
    for scores, name in (
        ("cosine", "expert_embeddings"),
        ("attention", "expert_keys"),
    ):
        layer = GatingLayer(3, scores=scores, score_units=7)
        layer.build((None, 4))
        weights = weights_by_name(layer)
        assert weights["kernel"].shape == (4, 7)
        assert weights[name].shape == (7, 3)
        assert layer.count_cost([(None, 4)]).total == 7 * (4 + 3)


def test_attention_logits_start_as_large_as_linear_ones():
    inputs = draw(200, 64)
    spreads = []
    for scores in ("linear", "attention"):
        layer = GatingLayer(64, scores=scores)
        layer.build(inputs.shape)
        spreads.append(np.std(np.log(numpy_of(layer(inputs)))))
    assert spreads[1] == pytest.approx(spreads[0], rel=0.15)


def test_jitter_is_a_factor_of_the_routers_input_in_training():
    inputs = np.ones((4000, 1), "float32")
    layer = GatingLayer(2, jitter=0.25, seed=3)
    layer.build(inputs.shape)
    layer.kernel.assign([[2.0, 0.0]])
    still = numpy_of(layer(inputs))
    assert_close(np.log(still[:, 0] / still[:, 1]), np.full(4000, 2.0))
    gates = numpy_of(layer(inputs, training=True))
    factors = np.log(gates[:, 0] / gates[:, 1]) / 2
    assert 0.75 <= factors.min() < 0.76
    assert 1.24 < factors.max() <= 1.2501
    assert np.std(factors) == pytest.approx(0.5 / np.sqrt(12), rel=0.05)


def test_expert_dropout_takes_experts_out_of_whole_batches():
    inputs = draw(6, 4)
    layer = built(inputs, expert_dropout=0.6, seed=1, **QUIET)
    logits, out = logits_of(layer, inputs), []
    for _ in range(40):
        gates = numpy_of(layer(inputs, training=True))
        in_service = np.any(gates > 0, axis=0)
        assert in_service.any()
        assert_close(gates, oracles_gating.gates(logits, in_service))
        out.append(5 - in_service.sum())
    # One of five always stays, which 0.6 ** 5 = 8 % of batches feel.
    assert np.mean(out) == pytest.approx(5 * 0.6 - 0.6**5, abs=0.6)
    assert_close(layer(inputs), oracles_gating.gates(logits))


def test_dropped_experts_are_those_of_the_mask_too():
    inputs = draw(6, 4)
    layer = built(inputs, top_k=2, expert_dropout=0.9, seed=1, **QUIET)
    allowed = np.asarray([False, True, False, True, False])
    for _ in range(10):
        gates = layer(inputs, training=True, expert_mask=allowed)
        used = np.any(numpy_of(gates) > 0, axis=0)
        assert used.any()
        assert not np.any(used & ~allowed)


@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
def test_load_bias_moves_the_choice_alone(activation):
    inputs = draw(3, 4, 4)
    mask = np.arange(12).reshape(3, 4) % 3 > 0
    layer = built(
        inputs, top_k=2, load_bias=0.25, activation=activation, **QUIET
    )
    rows, real = inputs.reshape(-1, 4), mask.reshape(-1)
    logits, bias = logits_of(layer, rows), np.zeros(5)
    for _ in range(5):
        gates = numpy_of(layer(inputs, mask=mask, training=True))
        expected = oracles_gating.gates(
            logits, bias=bias, top_k=2, activation=activation
        )
        assert_close(gates.reshape(-1, 5), expected * real[:, None])
        bias = bias + 0.25 * oracles_gating.load_step(expected > 0, real)
        assert_close(layer.selection_bias, bias)
    assert np.any(bias != 0)
    layer(inputs, training=False)
    layer(inputs)
    assert_close(layer.selection_bias, bias)
    assert not layer.selection_bias.trainable
    layer.trainable = False
    layer(inputs, training=True)
    assert_close(layer.selection_bias, bias)


def test_load_bias_does_not_move_where_the_load_is_even():
    layer = GatingLayer(4, top_k=1, load_bias=1.0)
    layer.build((None, 4))
    layer.kernel.assign(np.eye(4))
    layer(np.eye(4, dtype="float32"), training=True)
    np.testing.assert_array_equal(numpy_of(layer.selection_bias), np.zeros(4))


def test_load_bias_balances_in_fit():
    inputs = draw(64, 4)
    # All rows prefer expert 0, by far.
    inputs[:, 0] = 3.0
    symbols = keras.Input((4,))
    layer = GatingLayer(4, top_k=1, load_bias=0.05, **QUIET)
    model = keras.Model(symbols, layer(symbols))
    layer.kernel.assign(np.diag([1.0, 0.5, 0.5, 0.5]))
    before = np.mean(numpy_of(model(inputs)) > 0, axis=0)
    model.compile(keras.optimizers.SGD(0.0), "mse")
    model.fit(inputs, np.zeros((64, 4)), epochs=20, batch_size=64, verbose=0)
    after = np.mean(numpy_of(model(inputs)) > 0, axis=0)
    assert before[0] == 1
    # It steps to and fro around 1/4.
    assert after.max() <= 0.6
