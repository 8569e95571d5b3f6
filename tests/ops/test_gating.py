"""Gates from logits, against the loops."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from keras import ops

from moe_keras.ops import gating
from tests import oracles
from tests.tools import assert_close, draw, numpy_of


@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize("top_k", [None, 1, 2, 3, 4])
def test_choose_gates_are_those_of_the_loops(top_k, normalize):
    logits = draw(9, 4)
    found = gating.choose_gates(ops.convert_to_tensor(logits), top_k, normalize)
    expected = oracles.softmax_gates(logits, top_k, normalize)
    assert_close(found.gates, expected)
    np.testing.assert_array_equal(numpy_of(found.chosen), expected > 0)


def test_choose_gates_take_any_rank():
    logits = draw(2, 3, 5, 4)
    found = gating.choose_gates(ops.convert_to_tensor(logits), 2)
    expected = oracles.softmax_gates(logits.reshape(-1, 4), 2)
    assert_close(found.gates, expected.reshape(2, 3, 5, 4))


def test_rows_sum_to_one_for_k_above_one():
    found = gating.choose_gates(ops.convert_to_tensor(draw(9, 5)), 3)
    assert_close(ops.sum(found.gates, axis=-1), np.ones(9))


def test_top_1_keeps_its_probability():
    logits = draw(9, 4)
    found = gating.choose_gates(ops.convert_to_tensor(logits), 1)
    largest = [np.max(oracles.softmax(row)) for row in logits]
    assert_close(ops.max(found.gates, axis=-1), largest)
    assert np.all(np.asarray(largest) < 0.99)


def test_ties_go_to_the_lower_index():
    chosen = gating.choose_top_k(ops.zeros((3, 5)), 2)
    expected = [[True, True, False, False, False]] * 3
    np.testing.assert_array_equal(numpy_of(chosen), expected)


@given(
    rows=st.lists(
        st.lists(st.integers(-2, 2), min_size=5, max_size=5),
        min_size=1,
        max_size=6,
    ),
    k=st.integers(1, 5),
)
def test_exactly_k_are_chosen_whatever_ties(rows, k):
    scores = ops.convert_to_tensor(np.asarray(rows, "float32"))
    chosen = numpy_of(gating.choose_top_k(scores, k))
    for row, marks in zip(rows, chosen, strict=True):
        best = oracles.best(np.asarray(row, "float64"), k)
        assert sorted(best) == list(np.flatnonzero(marks))


def test_noise_has_a_scale_of_its_own_per_logit():
    logits, scale, normal = draw(4, 3), draw(4, 3, seed=1), draw(4, 3, seed=2)
    noisy = gating.add_noise(
        *map(ops.convert_to_tensor, (logits, scale, normal))
    )
    expected = logits + normal * (np.log1p(np.exp(scale)) + 0.01)
    assert_close(noisy, expected)


def test_noise_never_dies_out():
    noisy = gating.add_noise(
        ops.zeros((1, 2)), ops.full((1, 2), -50.0), ops.ones((1, 2))
    )
    assert_close(noisy, np.full((1, 2), 0.01))


def test_huge_logits_give_finite_gates():
    logits = ops.convert_to_tensor(
        np.asarray([[1e4, 0.0, -1e4], [-1e4, -1e4, -1e4]], "float32")
    )
    found = gating.choose_gates(logits, 2)
    assert_close(found.gates, [[1, 0, 0], [0.5, 0.5, 0]])
