"""A model that shows its gates, at the speed of `predict`."""

from collections.abc import Iterator
from typing import Any

import keras
import numpy as np

from moe_keras.asking import ask_batch, asks_few, rows_of
from moe_keras.data.lengths import text_lengths
from moe_keras.layers import record_gates


class GatedModel(keras.Model):
    """A model that returns its outputs and the gates of its layers.

    As a model of Keras, it is traced once and then runs as fast as `predict`.

    Args:
        model: `keras.Model`, built.
    """

    def __init__(self, model: keras.Model):
        super().__init__()
        self._asked = model
        # On TensorFlow, XLA would compile each new number of rows anew.
        on_tensorflow = keras.backend.backend() == "tensorflow"
        self.compile(
            run_eagerly=model.run_eagerly,
            jit_compile=False if on_tensorflow else "auto",
        )

    def call(self, inputs: Any) -> tuple[Any, dict[str, Any]]:
        with record_gates() as record:
            outputs = self._asked(inputs, training=False)
        return outputs, dict(record)

    def batches(
        self, inputs: Any, batch_size: int
    ) -> Iterator[tuple[np.ndarray, Any, dict[str, np.ndarray]]]:
        """Outputs and gates of a data set, texts in the order of their lengths.

        Args:
            inputs: array `(N, ...)`, or a dict of them.
            batch_size: int > 0.

        Yields:
            The places `(B,)` of a batch's rows, its outputs, and by the layer's
            name its gates, float `(B, ..., E)`; each row is in one batch.
        """
        lengths = text_lengths(inputs)
        rows = len(keras.tree.flatten(inputs)[0])
        order = np.arange(rows)
        if lengths is not None:
            order = np.argsort(lengths, kind="stable")
        few = asks_few(rows, batch_size)
        for start in range(0, rows, batch_size):
            place = slice(start, start + batch_size)
            # A slice where it will do, since that is no copy.
            cut = place if lengths is None else order[place]
            outputs, gates = ask_batch(self, rows_of(inputs, cut), few)
            yield order[place], outputs, gates
