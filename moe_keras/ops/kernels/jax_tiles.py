"""JAX on the CPU: a grouped matmul whose time goes by the rows.

XLA's CPU computes a ragged product as E masked products over all rows. Here
every run of rows is cut into tiles, and a loop multiplies each tile by the
kernel of its expert, in place in the result. Shapes are fixed, so a tile has
one of a few heights; what it covers of other runs is computed and not kept.
Each height has a loop of its own: a switch between heights inside of one loop
would copy the whole result in every turn.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

# Closer heights waste fewer rows and take longer to compile.
HEIGHTS = (4, 8, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512)


def multiply(rows, kernels, group_sizes):
    """Run e of the rows times kernel e; zeros behind the last run.

    Args:
        rows: float `(M, D)`.
        kernels: float `(E, D, U)`.
        group_sizes: int `(E,)`, their sum at most M.

    Returns:
        float `(M, U)`, summed in at least float32. It has reverse-mode
        derivatives of any order, and no forward-mode ones.
    """
    dtype = jnp.result_type(rows, kernels)
    if not rows.shape[0]:
        return jnp.zeros((0, kernels.shape[2]), dtype)
    return _product(
        False,
        jnp.asarray(rows, dtype),
        jnp.asarray(kernels, dtype),
        jnp.asarray(group_sizes, "int32"),
    )


def heights_for(rows, num_groups):
    """The heights of tiles, ascending: from 1/4 of the mean run to its twice.

    Args:
        rows: int > 0, M.
        num_groups: int > 0, E.
    """
    mean = min(max(rows // num_groups, HEIGHTS[0]), HEIGHTS[-1] // 2)
    heights = [h for h in HEIGHTS if mean <= 4 * h and h <= 2 * mean]
    # No tile can be higher than all rows together, or needs to be.
    lower = [height for height in heights if height < rows]
    return tuple(lower if lower == heights else [*lower, rows])


# Compiled also where it is called eagerly: there, a loop would be compiled anew
# in every call.
@partial(jax.custom_vjp, nondiff_argnums=(0,))
@partial(jax.jit, static_argnums=0)
def _product(transposed, rows, kernels, group_sizes):
    """`(M, D), (E, D, U) -> (M, U)`; transposed, `(M, U), ... -> (M, D)`."""
    summed, kept = (2, 1) if transposed else (1, 2)

    def fill(result, tile):
        kernel = lax.dynamic_index_in_dim(kernels, tile.expert, keepdims=False)
        product = _dot(tile.of(rows), kernel, 1, summed - 1)
        # Other runs keep what they have, or get it when their turn comes.
        product = jnp.where(
            tile.own, product.astype(rows.dtype), tile.of(result)
        )
        return lax.dynamic_update_slice_in_dim(result, product, tile.start, 0)

    blank = jnp.zeros((rows.shape[0], kernels.shape[kept]), rows.dtype)
    return _over_tiles(fill, blank, rows.shape[0], group_sizes)


@jax.custom_vjp
@jax.jit
def _outer(rows, others, group_sizes):
    """`(M, D), (M, U) -> (E, D, U)`: for each run, rows transposed x others."""

    def add(result, tile):
        # Both are cleared: zero times a NaN of another run would be NaN.
        left, right = (
            jnp.where(tile.own, tile.of(tensor), 0) for tensor in (rows, others)
        )
        before = lax.dynamic_index_in_dim(result, tile.expert, keepdims=False)
        return lax.dynamic_update_index_in_dim(
            result, before + _dot(left, right, 0, 0), tile.expert, 0
        )

    shape = (group_sizes.shape[0], rows.shape[1], others.shape[1])
    blank = jnp.zeros(shape, _sum_dtype(rows))
    sums = _over_tiles(add, blank, rows.shape[0], group_sizes)
    return sums.astype(rows.dtype)


def _product_and_inputs(transposed, rows, kernels, group_sizes):
    result = _product(transposed, rows, kernels, group_sizes)
    return result, (rows, kernels, group_sizes)


def _product_gradients(transposed, inputs, gradient):
    rows, kernels, group_sizes = inputs
    to_rows = _product(not transposed, gradient, kernels, group_sizes)
    pair = (gradient, rows) if transposed else (rows, gradient)
    return to_rows, _outer(*pair, group_sizes), None


def _outer_and_inputs(rows, others, group_sizes):
    return _outer(rows, others, group_sizes), (rows, others, group_sizes)


def _outer_gradients(inputs, gradient):
    rows, others, group_sizes = inputs
    return (
        _product(True, others, gradient, group_sizes),
        _product(False, rows, gradient, group_sizes),
        None,
    )


_product.defvjp(_product_and_inputs, _product_gradients)
_outer.defvjp(_outer_and_inputs, _outer_gradients)


class _Tile(NamedTuple):
    """`height` rows from `start` on; its own are those in [first, end)."""

    expert: Any
    first: Any
    end: Any
    start: Any
    height: int

    def of(self, tensor):
        return lax.dynamic_slice_in_dim(tensor, self.start, self.height)

    @property
    def own(self):
        places = self.start + jnp.arange(self.height, dtype="int32")
        return ((places >= self.first) & (places < self.end))[:, None]


def _over_tiles(update, result, rows, group_sizes):
    """`result = update(result, tile)` for the tiles of all runs.

    Args:
        update: called once for each height.
        result: array that `update` changes in place.
        rows: int > 0, M.
        group_sizes: int32 `(E,)`.
    """
    heights = heights_for(rows, group_sizes.shape[0])
    experts, firsts, ends, bounds = _cut(rows, group_sizes, heights)
    for place, height in enumerate(heights):

        def turn(i, result, height=height):
            # Near the last row a tile begins early, so as not to stick out.
            start = jnp.minimum(firsts[i], rows - height)
            tile = _Tile(experts[i], firsts[i], ends[i], start, height)
            return update(result, tile)

        result = lax.fori_loop(bounds[place], bounds[place + 1], turn, result)
    return result


def _cut(rows, group_sizes, heights):
    """Tiles of the greatest height, and at the end of a run of one that does.

    Returns:
        int32 `(J,)` each, the lowest tiles first: the expert, the first row and
        the one behind the last; and int32 `(len(heights) + 1,)`, the first tile
        of each height and the one behind the last. J is a bound.
    """
    num_groups, top = group_sizes.shape[0], heights[-1]
    counts = (group_sizes + top - 1) // top
    places = jnp.arange(min(rows, rows // top + num_groups), dtype="int32")
    experts = jnp.repeat(
        jnp.arange(num_groups, dtype="int32"),
        counts,
        total_repeat_length=len(places),
    )
    ends = jnp.cumsum(group_sizes, dtype="int32")
    earlier = (jnp.cumsum(counts, dtype="int32") - counts)[experts]
    firsts = (ends - group_sizes)[experts] + (places - earlier) * top
    ends = ends[experts]
    # Places behind the last tile point behind the end of the last run.
    lengths = jnp.where(firsts < ends, jnp.minimum(ends - firsts, top), top + 1)
    classes = jnp.sum(
        lengths[:, None] > jnp.asarray(heights), axis=1, dtype="int32"
    )
    order = jnp.argsort(classes)
    steps = jnp.arange(len(heights) + 1)
    bounds = jnp.sum(classes < steps[:, None], axis=1, dtype="int32")
    ends = jnp.minimum(firsts + lengths, ends)
    return experts[order], firsts[order], ends[order], bounds


def _dot(left, right, left_axis, right_axis):
    return lax.dot_general(
        left,
        right,
        (((left_axis,), (right_axis,)), ((), ())),
        preferred_element_type=_sum_dtype(left),
    )


def _sum_dtype(tensor):
    return jnp.promote_types(tensor.dtype, "float32")
