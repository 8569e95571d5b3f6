"""The auxiliary losses, against counting."""

import numpy as np
import pytest
from keras import ops

from moe_keras.ops import balance
from tests import oracles
from tests.tools import draw, numpy_of


def switch(logits, top_k, real=None):
    chosen = oracles.softmax_gates(logits, top_k) > 0
    return float(
        numpy_of(
            balance.switch_balance_loss(
                ops.softmax(ops.convert_to_tensor(logits), axis=-1),
                ops.convert_to_tensor(chosen),
                None if real is None else ops.convert_to_tensor(real),
            )
        )
    )


def z(logits, real=None):
    real = None if real is None else ops.convert_to_tensor(real)
    return float(numpy_of(balance.z_loss(ops.convert_to_tensor(logits), real)))


@pytest.mark.parametrize("top_k", [1, 2, 3])
def test_switch_loss_counts(top_k):
    logits = draw(12, 5)
    expected = oracles.switch_balance(logits, top_k)
    assert switch(logits, top_k) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("top_k", [1, 2, 3])
def test_switch_loss_leaves_padding_out(top_k):
    logits = draw(12, 5)
    real = (np.arange(12) % 3 > 0).astype("float32")
    expected = oracles.switch_balance(logits, top_k, real)
    assert switch(logits, top_k, real) == pytest.approx(expected, rel=1e-5)
    assert switch(logits[real > 0], top_k) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("top_k", [1, 2, 4])
def test_switch_loss_is_one_at_perfect_balance(top_k):
    # Row n prefers experts n, n+1, ... so that all get the same.
    logits = np.stack([np.roll([4, 3, 2, 1, 0, 0], n) for n in range(6)])
    loss = switch(logits.astype("float32"), top_k)
    assert loss == pytest.approx(1.0, abs=1e-5)


@pytest.mark.parametrize("top_k", [1, 2])
def test_switch_loss_of_a_collapsed_router(top_k):
    logits = np.full((8, 4), -50.0, "float32")
    logits[:, :top_k] = 50.0
    assert switch(logits, top_k) == pytest.approx(4 / top_k, abs=1e-5)


def test_z_loss_is_the_mean_square_of_the_log_partition():
    logits = draw(12, 5)
    assert z(logits) == pytest.approx(oracles.z_loss(logits), rel=1e-5)


def test_z_loss_leaves_padding_out():
    logits = draw(12, 5)
    real = (np.arange(12) < 7).astype("float32")
    expected = oracles.z_loss(logits[:7])
    assert z(logits, real) == pytest.approx(expected, rel=1e-5)


def test_z_loss_of_huge_logits_is_finite():
    assert z(np.full((2, 3), 300.0, "float32")) == pytest.approx(
        (300 + np.log(3)) ** 2, rel=1e-5
    )


def test_padding_may_hold_anything():
    logits = draw(6, 3)
    logits[4:] = np.nan
    real = np.asarray([1, 1, 1, 1, 0, 0], "float32")
    assert z(logits, real) == pytest.approx(
        oracles.z_loss(logits[:4]), rel=1e-5
    )


def test_nothing_but_padding_costs_nothing():
    real = np.zeros(6, "float32")
    assert z(draw(6, 3), real) == 0
    assert switch(draw(6, 3), 1, real) == 0


def test_mean_over_rows_of_any_rank():
    values = draw(5, 2, 3)
    real = np.asarray([1, 0, 1, 0, 1], "float32")
    actual = balance.mean_over_rows(
        ops.convert_to_tensor(values), ops.convert_to_tensor(real)
    )
    expected = (values[0] + values[2] + values[4]) / 3
    np.testing.assert_allclose(numpy_of(actual), expected, rtol=1e-5)


LOSSES = {
    balance.importance_loss: oracles.importance,
    balance.mutual_information: oracles.mutual_information,
}


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("top_k", [None, 2])
def test_losses_of_the_gates(loss, top_k):
    gates = oracles.softmax_gates(2 * draw(12, 5), top_k).astype("float32")
    real = (np.arange(12) % 3 > 0).astype("float32")
    oracle, tensors = LOSSES[loss], ops.convert_to_tensor(gates)
    actual = float(numpy_of(loss(tensors)))
    assert actual == pytest.approx(oracle(gates), rel=1e-4)
    actual = float(numpy_of(loss(tensors, ops.convert_to_tensor(real))))
    assert actual == pytest.approx(oracle(gates, real), rel=1e-4)


@pytest.mark.parametrize("loss", LOSSES)
def test_losses_of_the_gates_are_finite_on_padding_alone(loss):
    gates = ops.convert_to_tensor(np.zeros((4, 3), "float32"))
    real = ops.convert_to_tensor(np.zeros(4, "float32"))
    assert float(numpy_of(loss(gates, real))) == 0


def test_mutual_information_at_its_ends():
    same = ops.convert_to_tensor(np.full((6, 3), 1 / 3, "float32"))
    sure = ops.convert_to_tensor(np.tile(np.eye(3, dtype="float32"), (2, 1)))
    assert float(numpy_of(balance.mutual_information(same))) == pytest.approx(
        0, abs=1e-6
    )
    assert float(numpy_of(balance.mutual_information(sure))) == pytest.approx(
        np.log(3), rel=1e-5
    )


@pytest.mark.parametrize(
    ("real", "experts", "expected"),
    [
        (None, None, [-1, 1, 1, 1]),
        ([1, 1, 1, 0], None, [-1, 1, 0, 1]),
        ([1, 1, 1, 0], [1, 1, 0, 1], [-1, 1, 0, 1]),
    ],
)
def test_load_step_goes_towards_the_mean(real, experts, expected):
    chosen = np.asarray(
        [[1, 0, 0, 0], [1, 0, 1, 0], [1, 0, 0, 0], [0, 0, 0, 1]], bool
    )
    real, experts = (
        None if x is None else ops.convert_to_tensor(np.float32(x))
        for x in (real, experts)
    )
    step = balance.load_step(ops.convert_to_tensor(chosen), real, experts)
    np.testing.assert_array_equal(numpy_of(step), expected)
