"""Pools, attention over experts, and experts that fail, against the loops."""

import keras
import numpy as np
import pytest

from moe_keras.layers import (
    AttentionFusion,
    LogitFusion,
    WeightedFusion,
)
from tests import oracles_blocks
from tests.gradients import gradients_of, random_projection
from tests.tools import (
    assert_close,
    draw,
    numpy_of,
    random_gates,
    randomize,
    weights_by_name,
)

KINDS = {
    "weighted": lambda **kwargs: WeightedFusion(**kwargs),
    "linear": lambda **kwargs: LogitFusion(**kwargs),
    "log": lambda **kwargs: LogitFusion("logarithmic", **kwargs),
    "attention": lambda **kwargs: AttentionFusion(3, **kwargs),
    "learned": lambda **kwargs: AttentionFusion(3, "learned", **kwargs),
}
SHAPES = [((6,), (4,)), ((2, 3), (4,)), ((5,), (2, 3, 4)), ((2, 3), (2, 4))]


def built(kind, inputs, **kwargs):
    layer = KINDS[kind](**kwargs)
    layer(inputs)
    return randomize(layer)


def fused_row(layer, outputs, gates):
    """One row, by the loops."""
    outputs = outputs.astype("float64")
    if layer.drop_non_finite:
        gates = oracles_blocks.finite_gates(outputs, gates)
    if isinstance(layer, AttentionFusion):
        weights = weights_by_name(layer)
        return oracles_blocks.attention(
            outputs,
            gates,
            weights["key_kernel"],
            weights.get("query_kernel"),
            weights.get("query_vector"),
        )
    if isinstance(layer, LogitFusion):
        pool = "linear_pool" if layer.pool == "linear" else "log_pool"
        return getattr(oracles_blocks, pool)(outputs, gates)
    return oracles_blocks.weighted(outputs, gates)


def expected_of(layer, outputs, gates):
    leading = gates.shape[:-1]
    results = [
        fused_row(layer, outputs[row], gates[row].astype("float64"))
        for row in np.ndindex(leading)
    ]
    return np.stack(results).reshape(
        *leading, *outputs.shape[len(leading) + 1 :]
    )


@pytest.mark.parametrize(("leading", "trailing"), SHAPES)
@pytest.mark.parametrize("kind", KINDS)
def test_fusions_are_the_loops(kind, leading, trailing):
    outputs = draw(*leading, 3, *trailing)
    gates = random_gates((*leading, 3), share=0.4)
    gates.reshape(-1, 3)[1] = 0  # a row of padding
    layer = built(kind, [outputs, gates])
    expected = expected_of(layer, outputs, gates)
    assert_close(layer([outputs, gates]), expected)
    # Banks are joined in their order.
    axis = len(leading)
    one, two = np.split(outputs, [1], axis=axis)
    assert_close(layer([one, two, gates]), expected)
    # An expert whose gate is 0 has no say, whatever it holds.
    outputs[gates == 0] = np.nan
    assert_close(layer([outputs, gates]), expected)


@pytest.mark.parametrize(("leading", "trailing"), SHAPES)
@pytest.mark.parametrize("kind", KINDS)
def test_broken_experts_are_left_out(kind, leading, trailing):
    outputs = draw(*leading, 3, *trailing)
    rows = outputs.reshape(-1, 3, *trailing)
    rows[0, 1].flat[0] = np.nan
    rows[1, 0].flat[-1] = np.inf
    rows[1, 2].flat[1] = -np.inf
    rows[2] = np.nan  # nobody is left
    gates = random_gates((*leading, 3), share=0)
    gates.reshape(-1, 3)[3, 1] = 0
    layer = built(kind, [outputs, gates], drop_non_finite=True)
    fused = numpy_of(layer([outputs, gates]))
    assert_close(fused, expected_of(layer, outputs, gates))
    nobody = fused.reshape(-1, *trailing)[2]
    alone = -np.log(4) if kind in ("linear", "log") else 0.0
    assert_close(nobody, np.full(trailing, alone))
    # The gradients stay finite: of the outputs, the gates and the weights.
    _, weights, (outputs_gradient, gates_gradient) = gradients_of(
        layer, ([outputs, gates],), random_projection
    )
    for gradient in (*weights, outputs_gradient, gates_gradient):
        assert np.all(np.isfinite(gradient))
    broken = ~np.isfinite(outputs)
    assert np.all(outputs_gradient[broken] == 0)


def test_without_dropping_a_broken_expert_is_seen():
    outputs, gates = draw(2, 3, 4), random_gates((2, 3), share=0)
    outputs[1, 1] = np.nan
    for kind in KINDS:
        fused = numpy_of(built(kind, [outputs, gates])([outputs, gates]))
        assert np.all(np.isfinite(fused[0]))
        assert np.any(np.isnan(fused[1]))


def test_gates_keep_their_sum():
    outputs, gates = np.ones((4, 3, 2), "float32"), random_gates((4, 3))
    total = np.repeat(np.sum(gates, axis=1)[:, None], 2, axis=1)
    for kind in ("attention", "learned"):
        layer = built(kind, [outputs, gates])
        assert_close(layer([outputs, gates]), total)
    outputs[:, 1] = np.nan
    layer = WeightedFusion(drop_non_finite=True)
    alive = np.any(gates[:, [0, 2]] > 0, axis=1)
    assert_close(layer([outputs, gates]), total * alive[:, None])


@pytest.mark.parametrize("seed", [None, 3])
def test_attention_kernels_start_different(seed):
    initializer = keras.initializers.GlorotUniform(seed=seed)
    layer = AttentionFusion(3, kernel_initializer=initializer)
    layer.build([(None, 2, 5), (None, 2)])
    weights = weights_by_name(layer)
    assert np.all(weights["key_kernel"] != weights["query_kernel"])


def test_attention_with_equal_scores_is_the_weighted_sum():
    outputs, gates = draw(6, 3, 4), random_gates((6, 3))
    layer = AttentionFusion(5, kernel_initializer="zeros")
    assert_close(
        layer([outputs, gates]), numpy_of(WeightedFusion()([outputs, gates]))
    )


@pytest.mark.parametrize("kind", ["linear", "log"])
def test_pools_are_stable_and_sum_to_one(kind):
    logits = 1e3 * draw(6, 3, 4)
    gates = random_gates((6, 3), share=0)
    gates /= np.sum(gates, axis=-1, keepdims=True)
    layer = KINDS[kind]()
    fused = numpy_of(layer([logits, gates]))
    assert np.all(np.isfinite(fused))
    assert_close(np.sum(np.exp(fused), axis=-1), np.ones(6), atol=1e-4)
    _, _, gradients = gradients_of(layer, ([logits, gates],), random_projection)
    assert all(np.all(np.isfinite(gradient)) for gradient in gradients)


def test_one_sure_expert_rules_a_class_in_or_out():
    logits = np.asarray([[[20.0, 0, 0], [0, 0, 0]]], "float32")
    gates = np.asarray([[0.5, 0.5]], "float32")
    linear, product = (
        np.exp(numpy_of(LogitFusion(pool)([logits, gates])))[0]
        for pool in ("linear", "logarithmic")
    )
    assert_close(linear, [2 / 3, 1 / 6, 1 / 6], atol=1e-4)
    assert product[1] < 1e-4


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
@pytest.mark.parametrize("kind", KINDS)
def test_half_policies_are_close(kind, policy):
    outputs, gates = draw(6, 3, 4), random_gates((6, 3), share=0.2)
    outputs[2, 1, 0] = np.nan
    layer = built(kind, [outputs, gates], drop_non_finite=True)
    expected = numpy_of(layer([outputs, gates]))
    keras.config.set_dtype_policy(policy)
    half = built(kind, [outputs, gates], drop_non_finite=True)
    fused = half([outputs, gates])
    assert keras.backend.standardize_dtype(fused.dtype) == half.compute_dtype
    fused = numpy_of(keras.ops.cast(fused, "float32"))
    np.testing.assert_allclose(fused, expected, atol=0.05)


# Half a unit in the last place: the result is rounded once, at the end.
@pytest.mark.parametrize(
    ("policy", "error"), [("mixed_bfloat16", 2**-8), ("mixed_float16", 2**-11)]
)
@pytest.mark.parametrize("kind", ["linear", "log"])
def test_pools_are_rounded_once(kind, policy, error):
    dtype = policy.removeprefix("mixed_")
    half = [
        keras.ops.cast(tensor, dtype)
        for tensor in (9 * draw(6, 5, 4), random_gates((6, 5), share=0))
    ]
    outputs, gates = (numpy_of(keras.ops.cast(x, "float32")) for x in half)
    layer = KINDS[kind](dtype=policy)
    fused = numpy_of(keras.ops.cast(layer(half), "float32"))
    expected = expected_of(layer, outputs, gates)
    np.testing.assert_allclose(fused, expected, rtol=1.01 * error, atol=1e-5)


def test_an_unheard_expert_sets_no_scale():
    # Three classes: 200 below what an expert of equal logits would say.
    logits = np.asarray([[[0.0, -200, -200], [0, 0, 0]]], "float32")
    gates = np.asarray([[1.0, 0.0]], "float32")
    assert_close(LogitFusion()([logits, gates]), logits[:, 0])


def test_costs_are_the_products():
    shapes = [(None, 7, 2, 4), (None, 7, 1, 4), (None, 7, 3)]
    load = [0.5, 0.25, 0.25]
    assert WeightedFusion().count_cost(shapes).total == 7 * 3 * 4
    assert WeightedFusion().count_cost(shapes, load).active == 7 * 4
    for query, by_row, by_expert in (
        ("mean", 4 * 5, 4 * 5 + 5 + 4 + 4),
        ("learned", 0, 4 * 5 + 5 + 4),
    ):
        layer = AttentionFusion(5, query)
        layer.build(shapes)
        cost = layer.count_cost(shapes, load)
        assert cost.total == 7 * (by_row + 3 * by_expert)
        assert cost.active == 7 * (by_row + by_expert)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: LogitFusion("geometric"), "LogitFusion: `pool` must be one of "
         "('linear', 'logarithmic'). Received: pool='geometric'"),
        (lambda: LogitFusion().build([(2, 3, 1), (2, 3)]), "LogitFusion: "
         "experts must return the logits of two classes or more. Received: "
         "row_shape=(1,)"),
        (lambda: LogitFusion().build([(2, 3), (2, 3)]), "LogitFusion: experts "
         "must return the logits of two classes or more. Received: "
         "row_shape=()"),
        (lambda: AttentionFusion(0), "AttentionFusion: `units` must be an "
         "integer above 0. Received: units=0"),
        (lambda: AttentionFusion(2, "max"), "AttentionFusion: `query` must be "
         "one of ('mean', 'learned'). Received: query='max'"),
        (lambda: AttentionFusion(2).build([(2, 3), (2, 3)]), "AttentionFusion: "
         "experts must return vectors or maps (..., U) with a known U. "
         "Received: row_shape=()"),
        (lambda: AttentionFusion(2).build([(2, 3, 4), (2, 4)]),
         "AttentionFusion: `gates` must have one column for each of the 3 "
         "experts. Received: gates_shape=(2, 4)"),
    ],
)  # fmt: skip
def test_errors_name_the_argument(make, message):
    with pytest.raises(ValueError, match=r"Fusion: ") as error:
        make()
    assert str(error.value) == message
