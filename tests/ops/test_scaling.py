"""Sums and lengths of numbers of every size, against NumPy's logarithms.

The oracle never leaves float64: where a number is too small for the dtype that
is tested, its logarithm is an ordinary one.
"""

import keras
import numpy as np
import pytest
from keras import ops
from scipy.special import log_softmax, logsumexp

from moe_keras.layers import UniformGating
from moe_keras.ops import balance, gating
from moe_keras.ops.capacity import keep_mass
from moe_keras.ops.fusion import attention_gates, drop_non_finite, linear_pool
from moe_keras.ops.router_scores import cosine_logits
from moe_keras.ops.scaling import scale_to_sum, scale_to_unit
from moe_keras.ops.soft_moe import soft_weights
from tests.gradients import gradients_of
from tests.tools import BACKEND, numpy_of

# Of a sum of a few numbers near 1.
ROUNDING = {
    "float64": 1e-12,
    "float32": 3e-6,
    "float16": 2e-3,
    "bfloat16": 2e-2,
}
HALVES = ("float16", "bfloat16")


@pytest.fixture(params=ROUNDING)
def dtype(request):
    if request.param == "float64" and BACKEND == "jax":
        pytest.skip("JAX has no float64 unless it is asked")
    return request.param


def tensor(values, dtype="float32"):
    return ops.convert_to_tensor(np.asarray(values, "float64"), dtype)


def wide(values):
    """As float64, which NumPy has and bfloat16 is not."""
    return numpy_of(ops.cast(values, "float32")).astype("float64")


def rounded(values, dtype):
    return wide(tensor(values, dtype)) if dtype in HALVES else values


def check(found, expected, dtype):
    assert keras.backend.standardize_dtype(found.dtype) == dtype
    limit = ROUNDING[dtype]
    found = wide(found) if dtype != "float64" else numpy_of(found)
    np.testing.assert_allclose(found, expected, atol=limit, rtol=limit)


LOGITS = np.asarray(
    [
        [-104.0, -105, -106, -107],
        [-200.0, -202, -1000, -200],
        [-6e4, -6e4, -6e4, -5e4],
        [-500.0, 3, 2, -1],
        [500.0, 400, 300, 200],
        [0.3, -0.2, 0.1, -1.5],
    ]
)


def log_sigmoid(logits):
    return -np.logaddexp(0.0, -logits)


def sigmoid_gates(logits, kept):
    """Sigmoids over the sum of those that are kept, by their logarithms."""
    logs = np.where(kept, log_sigmoid(logits), -np.inf)
    shares = np.exp(log_softmax(logs, axis=-1))
    alone = kept.sum(-1, keepdims=True) == 1
    return np.where(alone & kept, np.exp(log_sigmoid(logits)), shares)


def best_of(logits, k):
    order = np.argsort(-logits, axis=-1, kind="stable")[:, :k]
    kept = np.zeros(logits.shape, bool)
    np.put_along_axis(kept, order, True, axis=-1)
    return kept


@pytest.mark.parametrize("top_k", [None, 3, 2])
def test_sigmoids_over_their_sum(top_k, dtype):
    logits = rounded(LOGITS, dtype)
    found = gating.choose_gates(tensor(LOGITS, dtype), top_k, True, "sigmoid")
    check(
        found.gates, sigmoid_gates(logits, best_of(logits, top_k or 4)), dtype
    )


@pytest.mark.parametrize("top_k", [None, 2])
def test_sigmoids_of_the_experts_in_service(top_k, dtype):
    logits = rounded(LOGITS, dtype)
    for serving in ([True, False, True, True], [False, False, True, False]):
        serving = np.asarray(serving)
        hidden = np.where(serving, logits, -np.inf)
        kept = best_of(hidden, top_k or 4) & serving
        found = gating.choose_gates(
            tensor(LOGITS, dtype),
            top_k,
            True,
            "sigmoid",
            in_service=ops.convert_to_tensor(serving),
        )
        check(found.gates, sigmoid_gates(logits, kept), dtype)


def test_a_share_is_reached_by_sigmoids_that_are_tiny():
    logits = np.asarray([[-200.0, -201, -202, -203]])
    found = gating.choose_gates(tensor(logits), 4, True, "sigmoid", top_p=0.8)
    kept = np.asarray([[True, True, False, False]])
    check(found.gates, sigmoid_gates(logits, kept), "float32")
    check(
        gating.shares_of(tensor(logits), "sigmoid"),
        sigmoid_gates(logits, kept | True),
        "float32",
    )


def test_a_choice_by_bias_may_fall_on_shares_that_are_tiny():
    logits = np.asarray([[0.0, -200, -201, -300]])
    found = gating.choose_gates(
        tensor(logits),
        2,
        bias=tensor([0.0, 5, 5, 0]),
        in_service=ops.ones((4,), "bool"),
    )
    check(
        found.gates, [[0, 1 / (1 + np.exp(-1)), 1 / (1 + np.e), 0]], "float32"
    )


def slopes(function, values, loss):
    """The gradient of a function of one tensor."""

    class Layer(keras.layers.Layer):
        def build(self, _):
            """Nothing."""

        def call(self, tensor):
            return function(tensor)

    layer, values = Layer(), np.asarray(values, "float32")
    layer(values)
    return gradients_of(layer, (values,), loss)[2]


@pytest.mark.jax
def test_the_gradient_of_tiny_sigmoids():
    first = slopes(
        lambda logits: gating.choose_gates(logits, 2, True, "sigmoid").gates,
        [[-300.0, -301, -302]],
        lambda gates: ops.sum(gates[:, 0]),
    )
    share = 1 / (1 + np.exp(-1))
    expected = share * (1 - share)
    np.testing.assert_allclose(first, [[expected, -expected, 0]], atol=1e-6)


WEIGHTS = np.asarray([[1e-7, 3e-7, 0], [0.25, 0.5, 0], [0, 0, 0], [1, 1, 2]])


def sums_of(weights, total=1.0):
    sums = weights.sum(-1, keepdims=True)
    return total * weights / np.where(sums > 0, sums, 1)


def test_weights_are_scaled_to_a_sum(dtype):
    # The least that the half types have is 6e-8.
    weights = rounded(WEIGHTS, dtype)
    check(
        scale_to_sum(tensor(weights, dtype), 0.5), sums_of(weights, 0.5), dtype
    )


@pytest.mark.jax
def test_weights_at_both_ends_of_float32():
    weights = np.asarray([[2e-38, 6e-38], [2e37, 6e37]])
    check(scale_to_sum(tensor(weights)), [[0.25, 0.75]] * 2, "float32")


def test_a_broken_row_stays_broken():
    found = wide(scale_to_sum(tensor([[np.nan, 1], [1, 1]])))
    np.testing.assert_array_equal(np.isnan(found), [[True, True], [False] * 2])
    kept = ops.convert_to_tensor(np.asarray([[False, False], [True, True]]))
    found = wide(keep_mass(tensor([[np.nan, np.nan], [1, 1]]), kept))
    np.testing.assert_array_equal(np.isnan(found), [[True, True], [False] * 2])


def test_the_gradient_of_tiny_weights():
    # By hand, of a / (a + b): b / (a + b)^2 by a, and -a / (a + b)^2 by b.
    first = slopes(
        scale_to_sum, [[1e-25, 3e-25, 0]], lambda y: ops.sum(y[:, 0])
    )
    np.testing.assert_allclose(first / 1e25, [[3 / 16, -1 / 16, 0]], rtol=1e-5)


def test_the_mass_of_what_was_dropped_goes_to_a_tiny_weight(dtype):
    weights = rounded(np.asarray([[1.0, 1e-7], [0.5, 0.5]]), dtype)
    kept = np.asarray([[False, True], [True, True]])
    found = keep_mass(tensor(weights, dtype), ops.convert_to_tensor(kept))
    check(found, [[0, weights[0].sum()], [0.5, 0.5]], dtype)


def test_the_gate_of_a_broken_expert_goes_to_a_tiny_one(dtype):
    gates = rounded(np.asarray([[1.0, 1e-7]]), dtype)
    outputs = tensor([[np.inf, 1.0]], dtype)
    _, left = drop_non_finite(outputs, tensor(gates, dtype))
    check(left, [[0, gates.sum()]], dtype)


def test_a_score_may_outweigh_a_tiny_gate(dtype):
    gates = rounded(np.asarray([[1e-7, 1.0, 0], [1e-7, 0, 1e-7]]), dtype)
    scores = np.asarray([[30.0, 0, 99], [-200.0, 500, -201]])
    with np.errstate(divide="ignore"):
        logs = np.log(gates) + scores
    expected = gates.sum(-1, keepdims=True) * np.exp(log_softmax(logs, -1))
    found = attention_gates(tensor(scores, dtype), tensor(gates, dtype))
    check(found, expected, dtype)


def test_no_expert_is_lost_in_a_linear_pool(dtype):
    gates = rounded(np.asarray([[1e-7, 1.0], [1.0, 0]]), dtype)
    logits = np.asarray([[[0.0, 90], [20.0, 0]], [[3.0, 1], [0.0, 0]]])
    with np.errstate(divide="ignore"):
        logs = np.log(gates)[..., None] + log_softmax(logits, -1)
    check(
        linear_pool(tensor(logits, dtype), tensor(gates, dtype)),
        logsumexp(logs, axis=1),
        dtype,
    )


@pytest.mark.parametrize("size", [1e-30, 1e-9, 1.0, 1e15, 1e30])
def test_losses_of_balance_do_not_depend_on_the_size_of_gates(size):
    gates = size * np.asarray([[0.1, 0.9, 0.2], [0.5, 0.4, 0.3]])
    sums = gates.sum(0) / size
    expected = np.var(sums) / np.mean(sums) ** 2
    check(balance.importance_loss(tensor(gates)), expected, "float32")
    some = tensor([1.0, 0, 1])
    sums = sums[[0, 2]]
    expected = np.var(sums) / np.mean(sums) ** 2
    check(balance.load_loss(tensor(gates), None, some), expected, "float32")


# The shortest that has a direction is 1e-12 long.
@pytest.mark.parametrize("size", [1e-10, 1.0, 1e25])
def test_the_length_of_a_vector_may_be_anything(size):
    vectors = np.asarray([[3.0, 4], [0, 0], [-1, 1]])
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    units = vectors / np.where(lengths > 0, lengths, 1)
    check(scale_to_unit(tensor(size * vectors), -1), units, "float32")
    check(scale_to_unit(tensor(size * vectors.T), 0), units.T, "float32")
    kernel, ones = np.eye(2), np.asarray([[1.0, 0], [0, size]])
    cosines = cosine_logits(
        tensor(size * vectors), tensor(kernel), tensor(ones), tensor(0.0)
    )
    check(cosines, units, "float32")
    tokens = tensor(size * vectors[None])
    weights = soft_weights(tokens, tensor(kernel), tensor(1.0))
    expected = np.exp(log_softmax(units, axis=0)), np.exp(log_softmax(units, 1))
    for found, right in zip(weights, expected, strict=True):
        check(found[0], right, "float32")


@pytest.mark.jax
def test_the_gradient_of_a_length():
    first = slopes(
        lambda vectors: scale_to_unit(vectors, -1),
        [[3e20, 4e20], [0, 0]],
        lambda y: y[0, 0],
    )
    # d(x / |x|)_0 = (1 - u0^2, -u0 u1) / |x|
    np.testing.assert_allclose(
        first * 5e20, [[0.64, -0.48], [0, 0]], rtol=1e-5, atol=1e-6
    )


def test_weights_of_a_uniform_gate_may_be_of_any_size():
    assert UniformGating(2, [1e308, 1e308]).shares == [0.5, 0.5]
    shares = UniformGating(2, [3e-308, 1e-308]).shares
    assert shares == pytest.approx([0.75, 0.25])
    gate = UniformGating(3, [1.0, 3e-60, 1e-60])
    found = gate(np.ones((2, 4), "float32"), expert_mask=[False, True, True])
    check(found, [[0, 0.75, 0.25]] * 2, "float32")
