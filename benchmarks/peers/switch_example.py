"""The layer of the Keras example on Switch Transformers, written anew.

Written from the description of the method, in our own code: top-1 routing, a
buffer of fixed capacity per expert, one-hot dispatch and combine tensors, one
dense network per expert in a Python loop. Rows past the capacity are dropped.
"""

import keras
from keras import ops

from benchmarks.contestants import HIDDEN, WIDTH, draw, mixture

TOP_KS = (1,)
NOTE = (
    "our own re-implementation of its method: top-1, capacity rows/E, one-hot "
    "dispatch; rows past the capacity are dropped, so it may compute less"
)


class SwitchLayer(keras.layers.Layer):
    """Top-1 routing through buffers of `capacity` rows."""

    def __init__(self, num_experts: int, capacity: int):
        super().__init__()
        self.num_experts, self.capacity = num_experts, capacity
        self.router = keras.layers.Dense(num_experts, use_bias=False)
        self.experts = [
            keras.Sequential(
                [
                    keras.layers.Dense(HIDDEN, activation="relu"),
                    keras.layers.Dense(WIDTH),
                ]
            )
            for _ in range(num_experts)
        ]

    def build(self, input_shape):
        self.router.build(input_shape)
        for expert in self.experts:
            expert.build((self.capacity, input_shape[-1]))

    def call(self, inputs):
        probabilities = ops.softmax(self.router(inputs))
        gate = ops.max(probabilities, axis=-1)
        chosen = ops.one_hot(
            ops.argmax(probabilities, axis=-1), self.num_experts
        )
        place = ops.cumsum(chosen, axis=0) * chosen - 1
        # A place outside 0..C-1 is a row of zeros: not chosen, or dropped.
        dispatch = ops.one_hot(ops.cast(place, "int32"), self.capacity)
        buffers = ops.einsum("nec,nd->ecd", dispatch, inputs)
        outputs = ops.stack(
            [expert(buffers[e]) for e, expert in enumerate(self.experts)]
        )
        combine = dispatch * ops.reshape(gate, (-1, 1, 1))
        return ops.einsum("nec,ecd->nd", combine, outputs)


def make(rows: int, experts: int, top_k: int) -> dict:
    """See `benchmarks.peers`."""
    capacity = max(1, rows // experts)
    layer = SwitchLayer(experts, capacity)
    layer.build((rows, WIDTH))
    return {
        "layer": layer,
        "inputs": draw(rows),
        "ours": mixture(rows, experts, top_k),
        "gated": False,
        "comparable": False,
    }
