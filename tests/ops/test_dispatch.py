"""Rows to experts and back."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from keras import ops

from moe_keras.ops import kernels
from moe_keras.ops.dispatch import SortedPlan, choose, map_groups
from tests.tools import BACKEND, assert_close, draw, numpy_of, random_gates


def plan_of(experts, num_experts):
    return SortedPlan(
        ops.convert_to_tensor(np.asarray(experts, "int32")), num_experts
    )


def test_every_expert_finds_its_rows_in_one_run():
    plan = plan_of([[2, 0], [1, 2], [0, 2]], 3)
    rows = ops.convert_to_tensor(np.asarray([[10.0], [20.0], [30.0]]))
    np.testing.assert_array_equal(numpy_of(plan.group_sizes), [2, 1, 3])
    sorted_rows = numpy_of(plan.dispatch(rows))[:, 0]
    assert sorted(sorted_rows[:2]) == [10, 30]
    assert sorted_rows[2] == 20
    assert sorted(sorted_rows[3:]) == [10, 20, 30]


def test_rows_without_an_expert_are_in_no_run():
    plan = plan_of([[3, 3], [1, 3], [0, 1]], 3)  # 3 is "no expert"
    rows = ops.convert_to_tensor(np.asarray([[10.0], [20.0], [30.0]]))
    np.testing.assert_array_equal(numpy_of(plan.group_sizes), [1, 2, 0])
    sorted_rows = numpy_of(plan.dispatch(rows))
    # With static shapes, what is left stands behind the last run.
    assert len(sorted_rows) == (3 if kernels.DYNAMIC_SHAPES else 6)
    assert sorted_rows[0, 0] == 30
    assert sorted(sorted_rows[1:3, 0]) == [20, 30]


def test_combine_puts_zeros_where_there_was_no_expert():
    plan = plan_of([[3, 3], [1, 3], [0, 1]], 3)
    rows = ops.convert_to_tensor(np.asarray([[10.0], [20.0], [30.0]]))
    back = numpy_of(plan.combine(plan.dispatch(rows)))
    np.testing.assert_array_equal(back[..., 0], [[0, 0], [20, 0], [30, 30]])


def test_no_row_is_routed_at_all():
    plan = plan_of([[2], [2]], 2)
    rows = ops.convert_to_tensor(draw(2, 3, 4))
    back = numpy_of(plan.combine(plan.dispatch(rows)))
    np.testing.assert_array_equal(back, np.zeros((2, 1, 3, 4)))


@given(
    num_rows=st.integers(1, 9),
    num_experts=st.integers(1, 5),
    k=st.integers(1, 5),
    seed=st.integers(0, 1000),
    data=st.data(),
)
def test_plan_of_the_k_best(num_rows, num_experts, k, seed, data):
    k = min(k, num_experts)
    gates = np.zeros((num_rows, num_experts), "float32")
    for n in range(num_rows):
        some = data.draw(
            st.sets(st.integers(0, num_experts - 1), max_size=k), label="row"
        )
        for e in some:
            gates[n, e] = 0.1 + ((n * 7 + e * 3 + seed) % 10) / 10
    rows = draw(num_rows, 3, seed=seed)
    experts, weights = choose(ops.convert_to_tensor(gates), k)
    plan = SortedPlan(experts, num_experts)
    sorted_rows = plan.dispatch(ops.convert_to_tensor(rows))
    sizes = numpy_of(plan.group_sizes)
    np.testing.assert_array_equal(sizes, np.sum(gates > 0, axis=0))
    # Expert e adds e + 1 to its rows; the sums come back to the right rows.
    added = np.repeat(np.arange(num_experts) + 1.0, sizes)
    added = np.pad(added, (0, len(sorted_rows) - len(added)))
    outputs = sorted_rows + ops.convert_to_tensor(
        added[:, None].astype("float32")
    )
    combined = plan.combine(outputs)
    fused = numpy_of(ops.sum(combined * ops.expand_dims(weights, -1), axis=1))
    for n in range(num_rows):
        expected = np.zeros(3)
        for e in range(num_experts):
            expected += gates[n, e] * ((rows[n] + e + 1) if gates[n, e] else 0)
        np.testing.assert_allclose(fused[n], expected, atol=1e-5)


@given(
    num_rows=st.integers(1, 9),
    num_experts=st.integers(1, 5),
    share=st.floats(0, 1),
    seed=st.integers(0, 1000),
)
def test_plan_of_gates_keeps_the_expert_axis(
    num_rows, num_experts, share, seed
):
    gates = random_gates((num_rows, num_experts), seed, share)
    rows = draw(num_rows, 2, 3, seed=seed)
    plan = SortedPlan.from_gates(ops.convert_to_tensor(gates))
    combined = numpy_of(
        plan.combine(plan.dispatch(ops.convert_to_tensor(rows)))
    )
    assert combined.shape == (num_rows, num_experts, 2, 3)
    for n in range(num_rows):
        for e in range(num_experts):
            expected = rows[n] if gates[n, e] else np.zeros((2, 3))
            np.testing.assert_array_equal(combined[n, e], expected)


def test_map_groups_runs_each_expert_on_its_run():
    rows = ops.convert_to_tensor(draw(6, 2))
    marks = ops.convert_to_tensor(np.arange(6, dtype="float32"))
    seen = []

    def run(expert, group, mark):
        seen.append((expert, tuple(group.shape), tuple(numpy_of(mark))))
        return group * expert

    sizes = ops.convert_to_tensor(np.asarray([2, 0, 4], "int32"))
    result = map_groups(run, [1.0, 2.0, 3.0], (rows, marks), sizes)
    expected = [(1.0, (2, 2), (0, 1)), (3.0, (4, 2), (2, 3, 4, 5))]
    if BACKEND != "torch":  # which knows who has no rows
        expected.insert(1, (2.0, (0, 2), ()))
    assert seen == expected
    factors = np.asarray([1, 1, 3, 3, 3, 3], "float32")[:, None]
    assert_close(result, draw(6, 2) * factors)


def test_plan_compiles_with_unknown_rows():
    if BACKEND != "tensorflow":
        return
    import tensorflow as tf

    @tf.function(input_signature=[tf.TensorSpec((None, 3), tf.float32)])
    def there_and_back(gates):
        experts, weights = choose(gates, 2)
        plan = SortedPlan(experts, 3)
        return plan.combine(plan.dispatch(gates)), weights

    for num_rows in (1, 4, 7):
        gates = random_gates((num_rows, 3))
        gates[:, 0] = 0
        rows, weights = there_and_back(gates)
        assert rows.shape == (num_rows, 2, 3)
        for n in range(num_rows):
            for j in range(2):
                expected = gates[n] if weights[n, j] else np.zeros(3)
                np.testing.assert_array_equal(rows[n, j], expected)
