"""Masks of experts, broken rows and smooth loads, as functions."""

import numpy as np
import pytest
from keras import ops

from moe_keras.ops import balance, gating, service
from tests import oracles_gating
from tests.tools import assert_close, draw, numpy_of

tensor = ops.convert_to_tensor


@pytest.mark.parametrize("k", [1, 2, 4])
def test_top_k_probability_is_that_of_the_loops(k):
    logits, normal = draw(7, 5), draw(7, 5, seed=1)
    scale = np.exp(draw(7, 5, seed=2)).astype("float32")
    noisy = logits + normal * scale
    odds = gating.top_k_probability(*map(tensor, (logits, noisy, scale)), k)
    expected = oracles_gating.top_k_probability(logits, noisy, scale, k)
    assert_close(odds, expected)
    loss = float(numpy_of(balance.load_loss(odds)))
    assert loss == pytest.approx(oracles_gating.load_loss(expected), rel=1e-4)


def test_top_k_probability_is_how_often_a_new_draw_is_among_the_best():
    rng = np.random.default_rng(0)
    logits, scale = draw(1, 4), np.exp(draw(1, 4, seed=2)).astype("float32")
    noisy = (logits + rng.normal(size=(1, 4)) * scale).astype("float32")
    odds = gating.top_k_probability(*map(tensor, (logits, noisy, scale)), 2)
    for e in range(4):
        again = np.repeat(noisy, 20000, axis=0)
        again[:, e] = logits[0, e] + rng.normal(size=20000) * scale[0, e]
        rank = np.sum(again > again[:, e : e + 1], axis=1)
        share = np.mean(rank < 2)
        assert numpy_of(odds)[0, e] == pytest.approx(share, abs=0.02)


def test_finite_rows():
    rows = np.ones((4, 3), "float32")
    rows[1, 2], rows[2, 0], rows[3, 1] = np.nan, np.inf, -np.inf
    good = service.finite_rows(tensor(rows))
    np.testing.assert_array_equal(numpy_of(good), [True, False, False, False])
    cleared = numpy_of(service.clear_rows(tensor(rows), good))
    np.testing.assert_array_equal(cleared, [[1, 1, 1]] + [[0, 0, 0]] * 3)


def test_dropped_experts_are_those_below_the_rate_but_never_all():
    uniform = tensor(np.asarray([0.1, 0.6, 0.3, 0.5], "float32"))
    kept = numpy_of(service.drop_experts(uniform, 0.4))
    np.testing.assert_array_equal(kept, [False, True, False, True])
    kept = numpy_of(service.drop_experts(uniform, 0.9))
    np.testing.assert_array_equal(kept, [False, True, False, False])
    mask = tensor(np.asarray([[1, 0, 1, 0], [1, 1, 1, 1]], bool))
    kept = numpy_of(service.drop_experts(uniform, 0.9, mask))
    np.testing.assert_array_equal(kept, [[0, 0, 1, 0], [0, 1, 0, 0]])


@pytest.mark.parametrize("k", [1, 2, 3])
def test_choice_without_enough_experts(k):
    logits = draw(6, 4)
    mask = np.asarray([False, True, False, True])
    found = gating.choose_gates(tensor(logits), k, in_service=tensor(mask))
    assert_close(found.gates, oracles_gating.gates(logits, mask, top_k=k))
    np.testing.assert_array_equal(
        np.sum(numpy_of(found.chosen), axis=-1), [min(k, 2)] * 6
    )


def test_nobody_in_service_has_gates_of_zero():
    nobody = tensor(np.zeros(4, bool))
    for activation in gating.ACTIVATIONS:
        for k in (None, 1, 2):
            found = gating.choose_gates(
                tensor(draw(3, 4)), k, activation=activation, in_service=nobody
            )
            assert not np.any(numpy_of(found.gates))
            assert not np.any(numpy_of(found.chosen))


def test_losses_count_the_experts_in_service():
    values = np.abs(draw(6, 5))
    mask = np.asarray([1, 0, 1, 1, 0], "float32")
    chosen = (values > 0.5) * mask
    shares = values * mask / np.sum(values * mask, axis=1, keepdims=True)
    kept = mask > 0
    for loss, args in (
        (balance.importance_loss, (values * mask,)),
        (balance.load_loss, (values * mask,)),
        (balance.switch_balance_loss, (shares, chosen)),
    ):
        one = loss(*(tensor(arg) for arg in args), experts=tensor(mask))
        other = loss(*(tensor(arg[:, kept]) for arg in args))
        assert_close(one, numpy_of(other))
    step = numpy_of(balance.load_step(tensor(chosen), experts=tensor(mask)))
    assert_close(step[kept], oracles_gating.load_step(chosen[:, kept]))
    assert np.all(step[~kept] == 0)


def test_experts_at_work_are_those_of_real_rows():
    mask = np.asarray([[1, 0, 0], [0, 1, 0], [0, 0, 1]], bool)
    real = np.asarray([1, 0, 1], "float32")
    work = balance.experts_at_work(tensor(mask), tensor(real), "float32")
    assert_close(work, [1, 0, 1])
    work = balance.experts_at_work(tensor(mask), None, "float32")
    assert_close(work, [1, 1, 1])
    work = balance.experts_at_work(tensor(mask[0]), tensor(real), "float32")
    assert_close(work, [1, 0, 0])


def test_values_of_a_graph_are_not_known():
    assert service.known_values(tensor([1, 2])).tolist() == [1, 2]
    assert service.known_values([1, 2]).tolist() == [1, 2]
