"""Probes of the blocks and of the dtype policies."""

import keras
import numpy as np

from moe_keras.layers import (
    DenseExpert,
    GatingLayer,
    MixtureOfExperts,
    MoEFeedForward,
    MoETransformerBlock,
)
from tests.backends.registry import Lacking, add, probe
from tests.differences import check_against
from tests.gradients import gradients_of, random_projection
from tests.layers import test_blocks, test_soft_moe
from tests.layers.test_mixture import expected_of
from tests.tools import draw, numpy_of, randomize

GROUP, POLICIES = "Blocks", "Precision"
# At the end: a causal block has nothing to attend to at padding in front.
MASK = np.arange(3) < np.asarray([[3], [2]])


@probe(GROUP, "MoEFeedForward")
def feed_forward():
    inputs = draw(2, 3, 4)
    layer = MoEFeedForward(
        4, 5, activation="silu", gated=True, shared_units=3, residual=True
    )
    layer(inputs)
    randomize(layer)

    def oracle(values):
        rows, mask = values.reshape(-1, 4), MASK.reshape(-1)
        results = test_blocks.feed_forward_of(layer, rows, mask)
        return results.reshape(values.shape)

    check_against(layer, inputs, oracle, mask=MASK)


class WithoutPadding(keras.layers.Layer):
    """A layer whose outputs at padded positions are cleared."""

    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def call(self, inputs, mask=None, training=None):
        outputs = self.inner(inputs, mask=mask, training=training)
        return outputs * keras.ops.cast(mask[..., None], outputs.dtype)


@probe(GROUP, "MoETransformerBlock")
def transformer():
    inputs = draw(2, 3, 4)
    block = MoETransformerBlock(2, 3, 4, 5, activation="tanh", causal=True)
    layer = WithoutPadding(block)
    layer(inputs, mask=MASK)
    randomize(layer)

    def oracle(values):
        results = [
            test_blocks.transformer_of(block, sample, mask)
            for sample, mask in zip(values, MASK, strict=True)
        ]
        return np.stack(results) * MASK[..., None]

    check_against(layer, inputs, oracle, mask=MASK)


@probe(GROUP, "SoftMoE")
def soft():
    inputs = draw(2, 3, 4)
    bank = DenseExpert(3, 2, hidden_units=5, activation="tanh")
    layer = test_soft_moe.built(inputs, bank, 2)

    def oracle(values):
        results = np.zeros((*values.shape[:2], 3))
        for sample, mask, result in zip(values, MASK, results, strict=True):
            result[mask], _ = test_soft_moe.expected_of(layer, sample[mask])
        return results

    check_against(layer, inputs, oracle, mask=MASK)


def mixture(inputs):
    bank = DenseExpert(3, 4, hidden_units=5, activation="tanh")
    moe = MixtureOfExperts(bank, GatingLayer(4, 2))
    moe(inputs)
    return randomize(moe)


def _add_half(policy, tolerance):
    def run():
        inputs = 2 * draw(7, 4)
        moe = mixture(inputs)
        expected = expected_of(moe, inputs)
        _, slopes, _ = gradients_of(moe, (inputs,), random_projection)
        keras.config.set_dtype_policy(policy)
        half = mixture(inputs)
        keras.config.set_dtype_policy("float32")
        outputs = half(inputs)
        dtypes = [outputs.dtype, half.gate.kernel.dtype]
        standard = [keras.backend.standardize_dtype(d) for d in dtypes]
        assert standard == [policy.removeprefix("mixed_"), "float32"]
        outputs = numpy_of(keras.ops.cast(outputs, "float32"))
        np.testing.assert_allclose(outputs, expected, atol=tolerance)
        _, found, _ = gradients_of(
            half,
            (inputs,),
            lambda y: random_projection(keras.ops.cast(y, "float32")),
        )
        for one, other in zip(found, slopes, strict=True):
            limit = 3 * tolerance * max(1.0, np.max(np.abs(other)))
            np.testing.assert_allclose(one.astype("float32"), other, atol=limit)

    add(POLICIES, policy, run)


_add_half("mixed_bfloat16", 3e-2)
_add_half("mixed_float16", 3e-3)

FLOAT32 = "the products are float32"
WHY_FLOAT32 = "Keras turns float64 into float32 on this backend."


@probe(
    POLICIES,
    "float64",
    dict.fromkeys(
        ("jax", "torch"),
        (FLOAT32, WHY_FLOAT32),
    ),
)
def double():
    inputs = 2 * draw(7, 4, dtype="float64")
    keras.config.set_dtype_policy("float64")
    moe = mixture(inputs)
    keras.config.set_dtype_policy("float32")
    gap = np.max(np.abs(numpy_of(moe(inputs)) - expected_of(moe, inputs)))
    if gap > 1e-12:
        assert gap < 1e-5
        raise Lacking(FLOAT32)
    check_against(moe, inputs, lambda rows: expected_of(moe, rows))
