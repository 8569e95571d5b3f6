"""Probes of every gate, against the loops."""

import keras
import numpy as np
from keras import ops

from moe_keras.layers import (
    DenseExpert,
    ExpertChoiceGating,
    Gate,
    GatingLayer,
    HashGating,
    HierarchicalGating,
    MixtureOfExperts,
    UniformGating,
)
from tests import oracles, oracles_gating
from tests.backends.registry import add, probe
from tests.differences import check_against
from tests.layers.test_dense_expert import functions_of
from tests.layers.test_gating_options import logits_of
from tests.tools import (
    assert_close,
    draw,
    numpy_of,
    randomize,
    weights_by_name,
)

GROUP = "Gates"
QUIET = {"balance_loss": 0.0, "z_loss": 0.0}
MASK = np.asarray([1, 1, 0, 1, 1, 1, 1], bool)
SEED = 5


def built(layer, inputs):
    layer(inputs)
    return randomize(layer)


# Feature -> arguments of the layer, those of the oracle among them.
OPTIONS = {
    "softmax over all experts": {},
    "top-k": {"top_k": 2},
    "top-1": {"top_k": 1},
    "top-k before the softmax": {
        "top_k": 2,
        "order": "top_k_softmax",
        "normalize": False,
    },
    "sigmoid": {"top_k": 2, "activation": "sigmoid"},
    "cosine scores": {"top_k": 2, "scores": "cosine", "score_units": 3},
    "attention scores": {"top_k": 2, "scores": "attention", "score_units": 3},
    "top-p": {"top_p": 0.6},
}
OF_ORACLE = ("top_k", "order", "normalize", "activation", "top_p")


def _add_option(feature, kwargs):
    def run():
        inputs = 2 * draw(7, 4)
        layer = built(GatingLayer(5, **kwargs), inputs)
        known = {k: v for k, v in kwargs.items() if k in OF_ORACLE}

        def oracle(rows):
            gates = oracles_gating.gates(logits_of(layer, rows), **known)
            return gates * MASK[:, None]

        check_against(layer, inputs, oracle, mask=MASK)

    add(GROUP, feature, run)


for _feature, _kwargs in OPTIONS.items():
    _add_option(_feature, _kwargs)


def draws_of(shape, normal=False, low=0.0, high=1.0):
    """What a layer with this seed draws first."""
    seed = keras.random.SeedGenerator(SEED)
    if normal:
        return numpy_of(keras.random.normal(shape, seed=seed))
    return numpy_of(keras.random.uniform(shape, low, high, seed=seed))


def noisy_logits(layer, rows, normal):
    noise = rows @ weights_by_name(layer)["noise_kernel"].astype("float64")
    scale = np.log1p(np.exp(noise)) + 0.01
    return logits_of(layer, rows) + normal * scale, scale


@probe(GROUP, "noisy top-k")
def noisy():
    inputs = 2 * draw(7, 4)
    layer = GatingLayer(5, 2, noisy=True, seed=SEED, **QUIET)
    layer.build(inputs.shape)
    randomize(layer)
    normal = draws_of((7, 5), normal=True).astype("float64")

    def oracle(rows):
        logits, _ = noisy_logits(layer, rows, normal)
        return oracles_gating.gates(logits, top_k=2)

    check_against(layer, inputs, oracle, training=True)


@probe(GROUP, "jitter")
def jitter():
    inputs = 2 * draw(7, 4)
    layer = GatingLayer(5, jitter=0.25, seed=SEED)
    layer.build(inputs.shape)
    randomize(layer)
    factors = draws_of((7, 4), low=0.75, high=1.25).astype("float64")

    def oracle(rows):
        return oracles_gating.gates(logits_of(layer, rows * factors))

    check_against(layer, inputs, oracle, training=True)


@probe(GROUP, "expert dropout")
def expert_dropout():
    inputs = 2 * draw(7, 4)
    layer = GatingLayer(5, expert_dropout=0.5, seed=SEED, **QUIET)
    layer.build(inputs.shape)
    randomize(layer)
    uniform = draws_of((5,))
    kept = (uniform >= 0.5) | (uniform == uniform.max())

    def oracle(rows):
        return oracles_gating.gates(logits_of(layer, rows), kept)

    check_against(layer, inputs, oracle, training=True)


@probe(GROUP, "load bias")
def load_bias():
    inputs = 2 * draw(7, 4)
    layer = built(GatingLayer(5, 2, load_bias=0.25, **QUIET), inputs)
    bias = np.asarray([0.5, -0.5, 0.25, 0.0, -0.25])
    layer.selection_bias.assign(bias)

    def oracle(rows):
        return oracles_gating.gates(logits_of(layer, rows), bias=bias, top_k=2)

    check_against(layer, inputs, oracle)
    chosen = oracle(inputs) > 0
    layer(inputs, training=True)
    bias = bias + 0.25 * oracles_gating.load_step(chosen)
    assert_close(layer.selection_bias, bias)


@probe(GROUP, "one gate per sample")
def by_sample():
    inputs = 2 * draw(4, 3, 5)
    mask = np.arange(12).reshape(4, 3) % 5 != 4
    layer = built(GatingLayer(4, 2, level="sample"), inputs)

    def oracle(samples):
        means = [s[m].mean(axis=0) for s, m in zip(samples, mask, strict=True)]
        return oracles_gating.gates(logits_of(layer, np.stack(means)), top_k=2)

    check_against(layer, inputs, oracle, mask=mask)


@probe(GROUP, "uniform")
def uniform():
    expected = np.asarray([1, 0, 2, 5]) / 8 * MASK[:, None]
    layer = UniformGating(4, [1, 0, 2, 5])
    check_against(layer, draw(7, 3), lambda rows: expected, mask=MASK)


@probe(GROUP, "hash")
def hashed():
    ids = np.asarray([[3, 77, -5], [2**31 - 1, 0, 3]], "int32")
    found = numpy_of(HashGating(7)(ids))
    # By integers in Python; the constants are those of salt 0.
    from moe_keras.ops import hashing

    factor, shift = hashing._mix(0)
    experts = [
        oracles_gating.hash_expert(int(i), 7, factor, shift) for i in ids.flat
    ]
    np.testing.assert_array_equal(found.reshape(-1, 7), np.eye(7)[experts])


@probe(GROUP, "expert choice")
def expert_choice():
    inputs = 2 * draw(7, 4)
    layer = built(ExpertChoiceGating(3, 1.5), inputs)

    def oracle(rows):
        logits = rows @ weights_by_name(layer)["kernel"]
        return oracles_gating.expert_choice(logits, 1.5, MASK)

    check_against(layer, inputs, oracle, mask=MASK)


@probe(GROUP, "hierarchical")
def hierarchical():
    inputs = 2 * draw(7, 4)
    layer = built(HierarchicalGating(3, 3, 2, 2), inputs)

    def oracle(rows):
        weights = weights_by_name(layer)
        outer = rows @ weights["group_kernel"]
        inner = (rows @ weights["kernel"]).reshape(-1, 3, 3)
        gates = oracles_gating.hierarchical(outer, inner, 2, 2)
        return gates * MASK[:, None]

    check_against(layer, inputs, oracle, mask=MASK)


class SquareGate(Gate):
    """A gate of a user's own: squares of x W, divided by their sum."""

    def build(self, input_shape):
        width = self.check_width(input_shape)
        self.kernel = self.add_router_weight(
            (width, self.num_experts), "glorot_uniform", "kernel"
        )

    def gate_rows(self, rows, real, in_service, training):
        squares = ops.square(ops.matmul(rows, self.kernel))
        return squares / ops.sum(squares, axis=-1, keepdims=True)


@probe(GROUP, "a user's subclass of Gate")
def subclass():
    inputs = draw(7, 4)
    layer = built(SquareGate(3), inputs)

    def oracle(rows):
        squares = (rows @ weights_by_name(layer)["kernel"]) ** 2
        return squares / squares.sum(axis=-1, keepdims=True) * MASK[:, None]

    check_against(layer, inputs, oracle, mask=MASK)


@probe(GROUP, "any layer as a gate")
def any_layer():
    inputs = draw(6, 5)
    gate = keras.layers.Dense(3, activation="tanh")
    moe = MixtureOfExperts(DenseExpert(2, 3, activation="tanh"), gate)
    built(moe, inputs)

    def oracle(rows):
        kernel, bias = map(numpy_of, gate.weights)
        gates = np.tanh(rows @ kernel + bias)
        return oracles.mixture(rows, gates, functions_of(moe.experts[0]))

    check_against(moe, inputs, oracle)
