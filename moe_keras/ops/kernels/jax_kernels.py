"""JAX: shapes are fixed when a function is compiled, and `fit` compiles.

So rows without an expert stay in place behind the last group, and the grouped
matmul is XLA's own ragged product, on the CPU that of `jax_tiles`. `split_rows`
needs concrete sizes and works outside of compilation only.
"""

import jax
import jax.numpy as jnp
import numpy as np

from moe_keras.ops.kernels import jax_tiles
from moe_keras.ops.kernels.traced_kernels import finite_rows as finite_rows
from moe_keras.ops.kernels.traced_kernels import gate_linear as gate_linear
from moe_keras.ops.kernels.traced_kernels import product as product

DYNAMIC_SHAPES = False


def first_rows(index, count):
    return index


def split_rows(rows, sizes, num_groups):
    if isinstance(sizes, jax.core.Tracer):
        raise ValueError(
            "split_rows: the sizes of the groups must be known when JAX "
            "compiles; use dispatch='dense', or banks with a grouped kernel "
            f"(DenseExpert). Received: sizes={sizes}"
        )
    ends = np.cumsum(np.asarray(sizes))
    return [
        rows[end - size : end]
        for end, size in zip(ends, np.asarray(sizes), strict=True)
    ]


def busy_groups(sizes):
    return None


def unstack(weights):
    return list(weights)


def fetch(weights, places):
    return list(jnp.take(jnp.asarray(weights), places, axis=0))


def count_groups(groups, num_groups):
    return jnp.bincount(groups, length=num_groups)


def sort_groups(groups, num_groups):
    return jnp.argsort(groups, stable=True)


def invert(permutation):
    return jnp.argsort(permutation)


def with_adjoint(forward, adjoint, tensor):
    return forward(tensor)


def take_or_zeros(rows, places, found):
    blank = jnp.zeros((1, *rows.shape[1:]), rows.dtype)
    padded = jnp.concatenate([rows, blank])
    return jnp.take(padded, jnp.where(found, places, len(rows)), axis=0)


def weigh(weights, values):
    # XLA makes one loop of it, and a slow one of many tiny products.
    return jnp.sum(weights[:, :, None] * values, axis=1)


def run_nonempty(function, group):
    if group[0].shape[0]:
        return function(*group)
    return function(
        *(jnp.zeros((1, *tensor.shape[1:]), tensor.dtype) for tensor in group)
    )[:0]


def require_true(condition, message):
    if not isinstance(condition, jax.core.Tracer) and not condition:
        raise ValueError(message)


def top_k(scores, k):
    return jax.lax.top_k(scores, k)


def softmax_of_few(logits):
    return jax.nn.softmax(logits, axis=-1)


def in_one_product(rows, shape):
    return True


def grouped_matmul(rows, kernels, group_sizes):
    if jax.default_backend() == "cpu":
        return jax_tiles.multiply(rows, kernels, group_sizes)
    product = jax.lax.ragged_dot(rows, kernels, group_sizes)
    # What stands behind the last group is not defined on every platform.
    routed = jnp.arange(rows.shape[0]) < jnp.sum(group_sizes)
    return jnp.where(routed[:, None], product, 0)
