"""Buffers of fixed size, against a loop that seats the choices one by one."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import ops

from moe_keras.ops.capacity import CapacityPlan, capacity, keep_mass
from tests.tools import numpy_of

pytestmark = pytest.mark.jax


def seat_by_loop(experts, num_experts, places, order):
    """First choices of all rows, then second ones; (row, choice) -> seat."""
    taken, seats = [0] * num_experts, {}
    for choice in range(experts.shape[1]):
        for row in order:
            expert = experts[row, choice]
            if expert == num_experts:
                continue
            if taken[expert] < places:
                seats[row, choice] = (expert, taken[expert])
            taken[expert] += 1
    return seats


def draw_choices(num_rows, num_experts, k, seed):
    """Experts (N, K), some of them none, and falling weights."""
    generator = np.random.default_rng(seed)
    experts = np.stack(
        [generator.permutation(num_experts)[:k] for _ in range(num_rows)]
    )
    experts[generator.uniform(size=experts.shape) < 0.2] = num_experts
    weights = generator.uniform(0.1, 1, size=experts.shape)
    weights[experts == num_experts] = 0
    return experts.astype("int32"), weights.astype("float32")


@settings(max_examples=25, deadline=None, derandomize=True)
@given(
    num_rows=st.integers(1, 9),
    num_experts=st.integers(1, 5),
    k=st.integers(1, 5),
    places=st.integers(1, 6),
    batch_priority=st.booleans(),
    seed=st.integers(0, 99),
)
def test_seats_buffers_and_the_way_back(
    num_rows, num_experts, k, places, batch_priority, seed
):
    k = min(k, num_experts)
    experts, weights = draw_choices(num_rows, num_experts, k, seed)
    order = list(range(num_rows))
    if batch_priority:
        order.sort(key=lambda row: -weights[row, 0])
    seats = seat_by_loop(experts, num_experts, places, order)
    plan = CapacityPlan(
        ops.convert_to_tensor(experts),
        ops.convert_to_tensor(weights),
        num_experts,
        places,
        batch_priority,
    )
    kept = np.zeros(experts.shape, bool)
    rows = np.random.default_rng(seed).normal(size=(num_rows, 3))
    buffers = np.zeros((num_experts, places, 3))
    back = np.zeros((num_rows, k, 3))
    for (row, choice), (expert, seat) in seats.items():
        kept[row, choice] = True
        buffers[expert, seat] = rows[row]
        back[row, choice] = rows[row] * (expert + 1)
    np.testing.assert_array_equal(numpy_of(plan.kept), kept)
    found = plan.dispatch(ops.convert_to_tensor(rows.astype("float32")))
    np.testing.assert_allclose(numpy_of(found), buffers, atol=1e-6)
    factors = np.arange(1, num_experts + 1, dtype="float32")[:, None, None]
    returned = plan.combine(found * ops.convert_to_tensor(factors))
    np.testing.assert_allclose(numpy_of(returned), back, atol=1e-5)
    chosen = (experts < num_experts).sum()
    share = 1 - kept.sum() / max(chosen, 1)
    assert float(numpy_of(plan.dropped_share)) == pytest.approx(share, abs=1e-6)


@pytest.mark.parametrize(
    ("rows", "k", "experts", "factor", "places"),
    [
        (100, 1, 10, 1.0, 10),
        (100, 2, 10, 1.25, 25),
        (7, 1, 4, 1.0, 2),
        (7, 2, 4, 99.0, 7),
        (1, 1, 64, 1.0, 1),
        (1000, 1, 3, 1.01, 337),
    ],
)
def test_capacity_by_hand(rows, k, experts, factor, places):
    assert capacity(rows, k, experts, factor) == places
    symbolic = capacity(ops.convert_to_tensor(rows), k, experts, factor)
    assert int(numpy_of(symbolic)) == places


def test_a_balanced_load_at_factor_one_drops_nothing():
    experts = np.arange(40)[:, None] % 8
    plan = CapacityPlan(
        ops.convert_to_tensor(experts.astype("int32")),
        ops.ones((40, 1)),
        8,
        capacity(40, 1, 8, 1.0),
    )
    assert float(numpy_of(plan.dropped_share)) == 0


def test_mass_goes_to_what_was_kept():
    weights = np.array([[0.6, 0.4], [0.7, 0.3], [0.5, 0.0]], "float32")
    kept = np.array([[True, False], [False, False], [True, False]])
    found = keep_mass(
        ops.convert_to_tensor(weights), ops.convert_to_tensor(kept)
    )
    np.testing.assert_allclose(
        numpy_of(found), [[1, 0], [0, 0], [0.5, 0]], atol=1e-6
    )
