"""What `keras.ops` lacks, one file per backend, every file with the same names.

`first_rows(index, count)`
    The first `count` entries of a 1-D index, where the backend allows a shape
    that depends on data; all of them where it does not (JAX).
`split_rows(rows, sizes, num_groups)`
    A list of `num_groups` tensors: consecutive runs of rows of these sizes.
`unstack(weights)`
    The slices of a bank of weights along its first axis, without a copy.
`top_k(scores, k)`
    Values and indices of the k largest along the last axis, largest first; ties
    go to the lower index.
`grouped_matmul(rows, kernels, group_sizes)`
    `(M, D), (E, D, U), (E,) -> (M, U)`: run e of the rows times kernel e.
`run_nonempty(function, group)`
    `function(*group)` for a tuple of tensors that share their first axis; where
    they have no row, on one row of zeros, and the result has no row.
`DYNAMIC_SHAPES`
    Whether `split_rows` works inside a compiled function.
"""

import importlib

import keras

_BACKENDS = ("tensorflow", "jax", "torch")

if keras.backend.backend() not in _BACKENDS:
    raise ImportError(
        f"moe_keras runs on the Keras backends {', '.join(_BACKENDS)}. "
        f"Received: KERAS_BACKEND={keras.backend.backend()!r}"
    )

_kernels = importlib.import_module(
    f"{__name__}.{keras.backend.backend()}_kernels"
)

DYNAMIC_SHAPES: bool = _kernels.DYNAMIC_SHAPES
first_rows = _kernels.first_rows
split_rows = _kernels.split_rows
unstack = _kernels.unstack
run_nonempty = _kernels.run_nonempty
top_k = _kernels.top_k
grouped_matmul = _kernels.grouped_matmul
