"""What `keras.ops` lacks: the same on every backend."""

import importlib

import keras
import numpy as np
import pytest
from keras import ops

from moe_keras.ops import kernels
from tests.tools import BACKEND, assert_close, draw, numpy_of

pytestmark = pytest.mark.jax


def sizes_of(*sizes):
    return ops.convert_to_tensor(np.asarray(sizes, "int32"))


def test_split_rows_gives_consecutive_runs():
    rows = draw(6, 3)
    parts = kernels.split_rows(
        ops.convert_to_tensor(rows), sizes_of(1, 0, 5), 3
    )
    assert len(parts) == 3
    for part, expected in zip(
        parts, (rows[:1], rows[1:1], rows[1:]), strict=True
    ):
        assert_close(part, expected)


def test_unstack_gives_the_slices():
    bank = draw(3, 2, 4)
    slices = kernels.unstack(ops.convert_to_tensor(bank))
    assert len(slices) == 3
    for actual, expected in zip(slices, bank, strict=True):
        assert_close(actual, expected)


def test_first_rows_cuts_where_shapes_may_depend_on_data():
    index = ops.convert_to_tensor(np.asarray([4, 2, 0, 1], "int32"))
    first = numpy_of(kernels.first_rows(index, sizes_of(3)[0]))
    expected = [4, 2, 0] if kernels.DYNAMIC_SHAPES else [4, 2, 0, 1]
    np.testing.assert_array_equal(first, expected)


@pytest.mark.parametrize("sizes", [(2, 3, 1), (0, 6, 0), (6, 0, 0), (0, 0, 6)])
def test_grouped_matmul_is_one_product_per_run(sizes):
    rows, matrices = draw(6, 4), draw(3, 4, 5, seed=1)
    actual = kernels.grouped_matmul(
        ops.convert_to_tensor(rows),
        ops.convert_to_tensor(matrices),
        sizes_of(*sizes),
    )
    experts = np.repeat(np.arange(3), sizes)
    expected = [row @ matrices[e] for row, e in zip(rows, experts, strict=True)]
    assert_close(actual, np.stack(expected))


def test_grouped_matmul_clears_what_is_behind_the_last_run():
    if kernels.DYNAMIC_SHAPES:
        return  # there, rows behind the last run do not exist
    rows, matrices = draw(6, 4), draw(2, 4, 5, seed=1)
    rows[4:] = np.nan
    actual = numpy_of(
        kernels.grouped_matmul(
            ops.convert_to_tensor(rows),
            ops.convert_to_tensor(matrices),
            sizes_of(1, 3),
        )
    )
    np.testing.assert_array_equal(actual[4:], np.zeros((2, 5)))
    assert_close(actual[1:4], rows[1:4] @ matrices[1])


@pytest.mark.parametrize("num_rows", [0, 1, 3])
def test_run_nonempty_never_runs_on_nothing(num_rows):
    seen = []

    def run(rows, marks):
        seen.append((tuple(rows.shape), tuple(marks.shape)))
        return rows[:, :2] + 1.0

    rows, marks = draw(num_rows, 3), draw(num_rows, 4)
    result = kernels.run_nonempty(
        run, (ops.convert_to_tensor(rows), ops.convert_to_tensor(marks))
    )
    at_least = max(num_rows, 1)
    assert seen == [((at_least, 3), (at_least, 4))]
    assert_close(result, rows[:, :2] + 1)


def test_jax_says_what_it_cannot_compile():
    if BACKEND != "jax":
        return
    import jax

    @jax.jit
    def split(rows, sizes):
        return kernels.split_rows(rows, sizes, 2)

    with pytest.raises(ValueError, match="split_rows: the sizes of the groups"):
        split(draw(4, 2), np.asarray([1, 3], "int32"))


def test_a_backend_without_kernels_is_refused(monkeypatch):
    monkeypatch.setattr(keras.backend, "backend", lambda: "numpy")
    with pytest.raises(ImportError, match="Received: KERAS_BACKEND='numpy'"):
        importlib.reload(kernels)


@pytest.mark.parametrize(
    ("sizes", "busy"), [((2, 0, 1), [0, 2]), ((0, 0), [0])]
)
def test_busy_groups_are_those_with_rows_where_known(sizes, busy):
    assert kernels.busy_groups(sizes_of(*sizes)) in (None, busy)
    if BACKEND == "torch":
        assert kernels.busy_groups(sizes_of(*sizes)) == busy


@pytest.mark.parametrize("count", [0, 1, 7])
def test_sort_groups_keeps_equal_numbers_in_order(count):
    groups = np.random.default_rng(count).integers(0, 4, count).astype("int32")
    order = numpy_of(kernels.sort_groups(ops.convert_to_tensor(groups), 3))
    np.testing.assert_array_equal(order, np.argsort(groups, kind="stable"))


@pytest.mark.parametrize("rows", [0, 5, 70])
def test_weigh_sums_each_rows_weighted_values(rows):
    weights, values = draw(rows, 3), draw(rows, 3, 4, seed=1)
    actual = kernels.weigh(*map(ops.convert_to_tensor, (weights, values)))
    expected = np.zeros((rows, 4))
    for row in range(rows):
        for choice in range(3):
            expected[row] += weights[row, choice] * values[row, choice]
    assert_close(actual, expected)


@pytest.mark.parametrize("columns", [1, 2, 8])
def test_softmax_of_few_is_a_softmax(columns):
    logits = 30 * draw(6, columns)
    logits[0], logits[1, 0] = 2e4, -1e30
    shifted = logits.astype("float64") - logits.max(axis=1, keepdims=True)
    powers = np.exp(shifted)
    actual = kernels.softmax_of_few(ops.convert_to_tensor(logits))
    assert_close(actual, powers / powers.sum(axis=1, keepdims=True))


@pytest.mark.parametrize("count", [0, 1, 6])
def test_invert_says_where_each_number_stands(count):
    order = np.random.default_rng(count).permutation(count).astype("int32")
    places = numpy_of(kernels.invert(ops.convert_to_tensor(order)))
    np.testing.assert_array_equal(order[places], np.arange(count))


@pytest.mark.parametrize("found", [(1, 1, 1, 1), (1, 0, 1, 0), (0, 0, 0, 0)])
def test_take_or_zeros(found):
    rows, places = draw(5, 3), np.asarray([4, 9, 0, 2], "int32")
    found = np.asarray(found, "bool")
    places = np.where(found, np.minimum(places, 4), places)
    actual = kernels.take_or_zeros(
        *map(ops.convert_to_tensor, (rows, places, found))
    )
    expected = [
        rows[place] if there else np.zeros(3)
        for place, there in zip(places, found, strict=True)
    ]
    assert_close(actual, np.asarray(expected))


LARGE = np.finfo("float32").max


@pytest.mark.parametrize("shape", [(0, 3), (4, 3), (2, 4, 3)])
def test_finite_rows(shape):
    rows = draw(*shape)
    expected = np.ones(shape[:-1], bool)
    if rows.size:
        # Large values are finite, and so is their row.
        rows[..., 0, :] = LARGE, LARGE, -LARGE
        for place, broken in enumerate((np.nan, np.inf, -np.inf)):
            rows[..., place + 1, place] = broken
            expected[..., place + 1] = False
    actual = numpy_of(kernels.finite_rows(ops.convert_to_tensor(rows)))
    assert actual.dtype == bool
    np.testing.assert_array_equal(actual, expected)


@pytest.mark.parametrize("dtypes", [("float32",) * 2, ("float32", "bfloat16")])
@pytest.mark.parametrize("shape", [(4,), (5, 4), (2, 5, 4)])
def test_product(shape, dtypes):
    # Small integers, which bfloat16 holds.
    rows, kernel = np.round(draw(*shape)), np.round(draw(4, 3, seed=1))
    actual = kernels.product(
        *(
            ops.cast(ops.convert_to_tensor(tensor), dtype)
            for tensor, dtype in zip((rows, kernel), dtypes, strict=True)
        )
    )
    assert keras.backend.standardize_dtype(actual.dtype) == "float32"
    assert_close(actual, rows @ kernel)


@pytest.mark.parametrize("shape", [(1, 8), (3, 8), (2, 3, 8), (0, 8)])
def test_gate_linear(shape):
    values = draw(*shape)
    actual = kernels.gate_linear(ops.convert_to_tensor(values), ops.tanh)
    assert_close(actual, np.tanh(values[..., :4]) * values[..., 4:])
