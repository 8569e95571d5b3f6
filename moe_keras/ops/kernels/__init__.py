"""What `keras.ops` lacks, one file per backend, every file with the same names.

`first_rows(index, count)`
    The first `count` entries of a 1-D index, where the backend allows a shape
    that depends on data; all of them where it does not (JAX).
`split_rows(rows, sizes, num_groups)`
    A list of `num_groups` tensors: consecutive runs of rows of these sizes.
`busy_groups(sizes)`
    The numbers of the groups that have rows, at least one; None where they are
    not known before the program runs.
`unstack(weights)`
    The slices of a bank of weights along its first axis, without a copy.
`top_k(scores, k)`
    Values and indices of the k largest along the last axis, largest first; ties
    go to the lower index.
`softmax_of_few(logits)`
    Softmax over a last axis of a few values.
`grouped_matmul(rows, kernels, group_sizes)`
    `(M, D), (E, D, U), (E,) -> (M, U)`: run e of the rows times kernel e; zeros
    behind the last run.
`in_one_product(rows, shape)`
    Whether `grouped_matmul` of such rows and kernels of this shape is one
    operation, not a product for each group.
`fetch(weights, places)`
    A list with `weights[p]` for each of a 1-D int tensor of known length.
`count_groups(groups, num_groups)`
    int `(num_groups,)`: how often each of 0..num_groups-1 occurs; the rest does
    not count.
`sort_groups(groups, num_groups)`
    The order that sorts numbers in 0..num_groups, equal ones as they stood.
`invert(permutation)`
    Where each number stands in a permutation of 0..M-1.
`with_adjoint(forward, adjoint, tensor)`
    `forward(tensor)`, a linear map whose gradient is `adjoint`; where the
    backend's own gradient is as good, `adjoint` is left aside.
`take_or_zeros(rows, places, found)`
    `rows[p]` for each place, zeros where bool `found` is False.
`weigh(weights, values)`
    `(N, K), (N, K, U) -> (N, U)`: each row's values times weights, summed.
`finite_rows(rows)`
    Bool `(...)`: which rows of `(..., D)` hold finite numbers only.
`product(rows, kernel)`
    `rows @ kernel`, with what eager calls of `keras.ops` cost left out.
`gate_linear(values, activation)`
    `(..., 2H) -> (..., H)`: the first half of the last axis, activated, times
    the second. It may overwrite the values, and what the activation made.
`run_nonempty(function, group)`
    `function(*group)` for a tuple of tensors that share their first axis; where
    they have no row, on one row of zeros, and the result has no row.
`require_true(condition, message)`
    Raise with this message where a bool tensor is False. Inside a function that
    JAX or XLA has compiled nothing can be raised, and nothing is.
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
busy_groups = _kernels.busy_groups
unstack = _kernels.unstack
fetch = _kernels.fetch
count_groups = _kernels.count_groups
invert = _kernels.invert
sort_groups = _kernels.sort_groups
weigh = _kernels.weigh
take_or_zeros = _kernels.take_or_zeros
with_adjoint = _kernels.with_adjoint
run_nonempty = _kernels.run_nonempty
require_true = _kernels.require_true
finite_rows = _kernels.finite_rows
product = _kernels.product
gate_linear = _kernels.gate_linear
top_k = _kernels.top_k
softmax_of_few = _kernels.softmax_of_few
grouped_matmul = _kernels.grouped_matmul
in_one_product = _kernels.in_one_product
