"""Our layer and its limit, on whichever backend Keras runs.

The limit is one dense network of the same active multiply-adds: N*K rows
through one D -> hidden -> D block (gated, where the experts are).
"""

import inspect
from collections.abc import Callable

import keras
import numpy as np
from keras import ops

from moe_keras.layers import DenseExpert, GatingLayer, MixtureOfExperts

WIDTH, HIDDEN = 256, 1024
BACKEND = keras.backend.backend()
CAN_GATE = "gated" in inspect.signature(DenseExpert.__init__).parameters


class GatedBlock(keras.layers.Layer):
    """(a(x W) * (x V)) U, the dense twin of a gated expert."""

    def __init__(self, hidden: int, activation: str):
        super().__init__()
        self.both = keras.layers.Dense(2 * hidden, use_bias=False)
        self.activation = keras.activations.get(activation)
        self.hidden = hidden

    def build(self, input_shape):
        self.both.build(input_shape)
        self.out = keras.layers.Dense(input_shape[-1], use_bias=False)
        self.out.build((*input_shape[:-1], self.hidden))

    def call(self, inputs):
        first, second = ops.split(self.both(inputs), 2, axis=-1)
        return self.out(self.activation(first) * second)


class Reading(keras.layers.Layer):
    """The sum of a bank's weights: each is read once, and nothing is made."""

    def __init__(self, bank: keras.layers.Layer):
        super().__init__()
        self.bank = bank
        self.built = True

    def call(self, inputs, training=None):
        return sum(ops.sum(weight) for weight in self.bank.trainable_weights)


class Products(keras.layers.Layer):
    """A bank's products alone: as many rows for every expert, sorted.

    Args:
        bank: a `DenseExpert`.
        rounds: how often its experts come in turn; what few kernels do in many
            rounds, they do from the cache.
    """

    def __init__(self, bank: keras.layers.Layer, rounds: int = 1):
        super().__init__()
        self.bank = bank
        self.rounds = rounds
        self.built = True

    def call(self, inputs, training=None):
        experts = self.bank.num_experts
        each = inputs.shape[0] // (experts * self.rounds)
        sizes = ops.full((experts,), each, dtype="int32")
        parts = ops.split(inputs, self.rounds)
        done = [self.bank.run_groups(part, sizes) for part in parts]
        return ops.concatenate(done)


def draw(rows: int, seed: int = 0) -> np.ndarray:
    """Standard normal rows `(rows, WIDTH)`."""
    random = np.random.default_rng(seed)
    return random.standard_normal((rows, WIDTH), dtype="float32")


def limit(rows: int, top_k: int, activation: str, gated: bool = False):
    """The dense block, and as many rows as the experts see together."""
    if gated:
        block: keras.layers.Layer = GatedBlock(HIDDEN, activation)
    else:
        block = keras.Sequential(
            [
                keras.layers.Dense(HIDDEN, activation=activation),
                keras.layers.Dense(WIDTH),
            ]
        )
    block.build((rows * top_k, WIDTH))
    return block, draw(rows * top_k)


def mixture(
    rows: int,
    experts: int,
    top_k: int,
    activation: str = "relu",
    dispatch: str = "auto",
    **bank,
) -> keras.layers.Layer:
    """Our layer, built."""
    layer = MixtureOfExperts(
        DenseExpert(
            WIDTH, experts, hidden_units=HIDDEN, activation=activation, **bank
        ),
        GatingLayer(experts, top_k=top_k),
        dispatch=dispatch,
    )
    layer.build((rows, WIDTH))
    return layer


def runner(layer, inputs, backward: bool) -> Callable[[], object]:
    """A compiled pass, forward or forward and backward, waited for."""
    make = {"tensorflow": _tensorflow, "jax": _jax, "torch": _torch}[BACKEND]
    return make(layer, inputs, backward)


def _tensorflow(layer, inputs, backward):
    import tensorflow as tf

    x = tf.convert_to_tensor(inputs)
    weights = [weight.value for weight in layer.trainable_weights]

    @tf.function
    def forward():
        return _first(layer(x, training=False))

    @tf.function
    def both(place):
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(tf.square(_first(layer(x, training=False))))
        gradients = tape.gradient(loss, weights)
        # One number of each leaves. Which one is not known to the graph, so
        # that the gradients are made in full.
        return [tf.reshape(g, [-1])[place] for g in gradients]

    first = tf.constant(0)
    step = (lambda: both(first)) if backward else forward
    return lambda: tf.nest.map_structure(lambda t: t.numpy(), step())


def _jax(layer, inputs, backward):
    import jax

    x = jax.numpy.asarray(inputs)
    trained = [weight.value for weight in layer.trainable_variables]
    other = [weight.value for weight in layer.non_trainable_variables]

    def outputs(weights):
        result, _ = layer.stateless_call(weights, other, x, training=False)
        return _first(result)

    step = jax.jit(
        jax.grad(lambda weights: (outputs(weights) ** 2).sum())
        if backward
        else outputs
    )
    return lambda: jax.block_until_ready(step(trained))


def _torch(layer, inputs, backward):
    import torch

    x = torch.as_tensor(inputs)
    if isinstance(layer, keras.layers.Layer):
        weights = [w.value for w in layer.trainable_weights]
        call = lambda: _first(layer(x, training=False))  # noqa: E731
    else:
        weights = list(layer.parameters())
        call = lambda: _first(layer(x))  # noqa: E731

    def forward():
        with torch.no_grad():
            return call()

    def both():
        return torch.autograd.grad(
            call().square().sum(), weights, allow_unused=True
        )

    return both if backward else forward


def _first(result):
    """Peers return a tuple whose first part is the output."""
    return result[0] if isinstance(result, tuple) else result


def difference(ours, theirs) -> float:
    """Largest distance of two outputs, over our largest value."""
    one, other = (
        ops.convert_to_numpy(ops.reshape(_first(t), (-1, WIDTH)))
        for t in (ours, theirs)
    )
    return float(np.abs(one - other).max() / np.abs(one).max())
