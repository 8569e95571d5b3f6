"""The grouped matmul of JAX on the CPU: products, gradients, and its tiles."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.tools import BACKEND, draw

pytestmark = [
    pytest.mark.jax,
    pytest.mark.skipif(BACKEND != "jax", reason="about JAX"),
]
if BACKEND == "jax":
    import jax
    import jax.numpy as jnp
    from jax import test_util

    from moe_keras.ops.kernels import jax_tiles
    from moe_keras.ops.kernels.jax_kernels import grouped_matmul

    cut_once = jax.jit(jax_tiles._cut, static_argnums=(0, 2))


def compiled(*tensors):
    return jax.jit(differentiate)(*tensors)


def runs_of(sizes):
    ends = np.cumsum(sizes)
    return [slice(e - s, e) for e, s in zip(ends, sizes, strict=True)]


def products(rows, kernels, sizes):
    result = np.zeros((len(rows), kernels.shape[2]))
    for kernel, run in zip(kernels, runs_of(sizes), strict=True):
        result[run] = rows[run] @ kernel
    return result


def gradients(rows, kernels, sizes, weights):
    to_rows, to_kernels = np.zeros_like(rows), np.zeros_like(kernels)
    for e, run in enumerate(runs_of(sizes)):
        to_rows[run] = weights[run] @ kernels[e].T
        to_kernels[e] = rows[run].T @ weights[run]
    return to_rows, to_kernels


def differentiate(rows, kernels, sizes, weights):
    """The products, and the gradients of sum(weights * products)."""
    result, pull = jax.vjp(
        lambda x, w: grouped_matmul(x, w, sizes), rows, kernels
    )
    return result, *pull(weights)


@st.composite
def some_sizes(draw_value, shapes):
    """Sizes of E runs with at most M rows, for one of a few (M, E)."""
    total, count = draw_value(st.sampled_from(shapes))
    cuts = draw_value(
        st.lists(st.integers(0, total), min_size=count, max_size=count)
    )
    sizes = np.diff([0, *sorted(cuts)]).tolist()
    return sizes, total - sum(sizes)


def check(sizes, behind, dtype="float64", atol=1e-12):
    """Against numpy, with NaN in the rows that no run has."""
    routed, total = sum(sizes), sum(sizes) + behind
    rows, weights = (draw(total, width, seed=width) for width in (5, 3))
    rows[routed:] = weights[routed:] = np.nan
    kernels = draw(len(sizes), 5, 3)
    with jax.enable_x64(dtype == "float64"):
        tensors = [
            jnp.asarray(values, dtype) for values in (rows, kernels, weights)
        ]
        rows, kernels, weights = (
            np.asarray(tensor).astype("float64") for tensor in tensors
        )
        sizes = np.asarray(sizes, "int32")
        found = compiled(*tensors[:2], sizes, tensors[2])
    expected = products(rows, kernels, sizes)
    expected = expected, *gradients(rows, kernels, sizes, weights)
    for one, other in zip(found, expected, strict=True):
        assert one.dtype == dtype
        np.testing.assert_allclose(
            np.asarray(one).astype("float64"), other, atol=atol, rtol=atol
        )


@example(case=([0, 0, 0], 0))
@example(case=([0, 0, 0], 60))
@example(case=([0, 60, 0], 0))
@example(case=([30, 1, 29], 0))
@example(case=([700], 0))
@settings(max_examples=40)
@given(case=some_sizes([(60, 3), (1, 2), (90, 16)]))
def test_products_and_gradients_are_those_of_a_loop(case):
    check(*case)


@pytest.mark.parametrize(
    ("dtype", "atol"),
    [("float32", 1e-5), ("bfloat16", 3e-2), ("float16", 4e-3)],
)
def test_every_float_dtype_is_kept(dtype, atol):
    check([9, 0, 17, 2], 3, dtype, atol)


def test_sums_over_tiles_of_half_precision_are_wider():
    # 8 tiles, 513 each; in float16 their sum, one by one, would be 4100.
    rows = jnp.ones((4096, 1), "float16")
    others = rows.at[::512].set(2)
    sizes = np.asarray([4096], "int32")
    total = jax.jit(jax_tiles._outer)(rows, others, sizes)
    assert float(total[0, 0, 0]) == 4104


def test_eager_calls_share_a_compilation(monkeypatch):
    traced = []
    original = jax_tiles._over_tiles

    def trace(*arguments):
        traced.append(arguments)
        return original(*arguments)

    monkeypatch.setattr(jax_tiles, "_over_tiles", trace)
    rows, kernels = draw(11, 5), draw(2, 5, 4)
    for sizes in ([1, 5], [3, 4], [0, 0]):
        grouped_matmul(rows, kernels, np.asarray(sizes, "int32"))
    assert len(traced) == 1


def test_compiled_is_eager():
    rows, kernels, weights = draw(7, 5), draw(2, 5, 4), draw(7, 4)
    sizes = np.asarray([1, 5], "int32")
    eager = differentiate(rows, kernels, sizes, weights)
    both = zip(eager, compiled(rows, kernels, sizes, weights), strict=True)
    for one, other in both:
        np.testing.assert_allclose(one, other, atol=1e-6)


def test_gradients_of_gradients_are_finite_differences():
    sizes = jnp.asarray([2, 0, 1])
    with jax.enable_x64(True):
        arrays = [
            jnp.asarray(draw(*shape), "float64")
            for shape in ((4, 3), (3, 3, 2))
        ]
        product = jax.jit(lambda x, w: grouped_matmul(x, w, sizes))
        test_util.check_grads(product, arrays, 2, ["rev"])


def test_a_broken_kernel_or_row_stays_in_its_run():
    rows, kernels = draw(12, 5), draw(3, 5, 4)
    rows[0] = kernels[1] = np.nan
    sizes = np.asarray([4, 3, 5], "int32")
    found = compiled(rows, kernels, sizes, np.ones((12, 4), "float32"))
    result, to_rows, to_kernels = map(np.asarray, found)
    assert np.all(np.isfinite(result[[1, 2, 3, 7, 8, 9, 10, 11]]))
    assert np.all(np.isfinite(to_rows[[0, 1, 2, 3, 7, 8, 9, 10, 11]]))
    assert np.all(np.isfinite(to_kernels[1:]))


@settings(max_examples=40)
@given(case=some_sizes([(5000, 9), (300, 20), (6, 3)]))
def test_tiles_have_every_row_once_and_little_else(case):
    sizes, behind = case
    rows = sum(sizes) + behind
    heights = jax_tiles.heights_for(rows, len(sizes))
    cut = cut_once(rows, np.asarray(sizes, "int32"), heights)
    experts, firsts, ends, bounds = map(np.asarray, cut)
    assert bounds[0] == 0
    seen, covered = [], 0
    for height, start, stop in zip(
        heights, bounds[:-1], bounds[1:], strict=True
    ):
        for i in range(start, stop):
            run = runs_of(sizes)[experts[i]]
            assert run.start <= firsts[i] < ends[i] <= run.stop
            assert ends[i] - firsts[i] <= height <= rows
            seen += range(firsts[i], ends[i])
            covered += height
    assert sorted(seen) == list(range(sum(sizes)))
    # A run's last tile is the lowest that holds it: at most twice as high,
    # where it is not the lowest of all.
    runs = sum(size > 0 for size in sizes)
    assert covered <= 2 * sum(sizes) + runs * heights[0]


@pytest.mark.parametrize(
    ("rows", "num_groups", "heights"),
    [
        (8192, 32, (64, 96, 128, 192, 256, 384, 512)),
        (8192, 1, (64, 96, 128, 192, 256, 384, 512)),
        (2048, 64, (8, 16, 24, 32, 48, 64)),
        (16, 32, (4, 8)),
        (6, 3, (4, 6)),
        (1, 8, (1,)),
    ],
)
def test_heights_are_about_the_mean_run(rows, num_groups, heights):
    assert jax_tiles.heights_for(rows, num_groups) == heights
