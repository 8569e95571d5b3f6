"""Train the experts of a table's mixture each by itself, without the mixture.

Nobody asks the gate then, and what the experts read of a row does not change
from step to step: it is computed once, where it fits into memory.
"""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from moe_keras.asking import rows_of
from moe_keras.layers import EncodedExperts, ExpertBank
from moe_keras.losses import expert_losses
from moe_keras.training.compiling import make_slots
from moe_keras.training.finite import FiniteWeights
from moe_keras.training.input_pipeline import InputPipeline, drawn_seed

# Numbers of all features of all rows, 256 MiB; with more, rows are encoded by
# the batch.
MOST_NUMBERS = 2**26
# Rows that are encoded at once.
BATCH_SIZE = 10_000
_ON_TENSORFLOW = keras.backend.backend() == "tensorflow"


class BankTrainer:
    """Fits every expert of some banks to labels, whatever the others say.

    The loss is the sum of the experts' cross-entropies, under AdamW, whose rate
    falls to 0 along a half cosine. TensorFlow takes longer to trace a training
    than a small table takes to be learned, so banks of the same form, as of the
    folds of a table, are trained with the trace of the first. It is of the
    first banks' variables, which then change: ask them before the next `fit`.

    Args:
        epochs: int > 0.
        batch_size: int > 0.
        learning_rate: float > 0, at first.
        weight_decay: float >= 0, decoupled.
    """

    def __init__(
        self,
        epochs: int,
        batch_size: int,
        learning_rate: float,
        weight_decay: float,
    ):
        self.epochs, self.batch_size = epochs, batch_size
        self.learning_rate, self.weight_decay = learning_rate, weight_decay
        self._learner: _Alone | None = None
        self._form: Any = None
        # Of a whole training: no part of the trace, nor of the learner.
        self._steps = keras.Variable(1.0, trainable=False, name="steps")

    def fit(
        self,
        banks: Sequence[EncodedExperts],
        rows: np.ndarray,
        labels: np.ndarray,
    ) -> keras.callbacks.History:
        """Train banks.

        The order of the rows is that of `keras.utils.set_random_seed`, and new
        in each epoch.

        Args:
            banks: built; their experts return logits `(N, E, C)` of rows.
            rows: float `(N, D)`.
            labels: int `(N,)`, in 0..C-1.

        Returns:
            `keras.callbacks.History`, with the `loss` of each epoch.

        Raises:
            ValueError: when an epoch leaves weights that are not finite.
        """
        widths = [bank.prepared_shape(rows.shape[1:])[-1] for bank in banks]
        encoded = len(rows) * sum(widths) <= MOST_NUMBERS
        given = _Alone(banks, encoded)
        read = (
            tuple(_features(bank, rows) for bank in banks) if encoded else rows
        )
        batches = InputPipeline(read, labels, self.batch_size, drawn_seed(None))
        steps = self.epochs * batches.steps
        learner = self._learner_like(given, steps)
        learner.begin(given)
        data, followers = batches.for_fit(0, self.epochs)
        history = learner.fit(
            **data,
            epochs=self.epochs,
            callbacks=[*followers, FiniteWeights()],
            verbose=0,
        )
        _copy(learner, given)
        return history

    def _learner_like(self, given: "_Alone", steps: int) -> "_Alone":
        """The last one, if only the numbers differ; else this one, compiled."""
        # JAX holds on to what the number was when the step was traced.
        form = given.form if _ON_TENSORFLOW else (given.form, steps)
        self._steps.assign(steps)
        if self._learner is None or self._form != form:
            self._learner, self._form = given, form
            rate = keras.optimizers.schedules.CosineDecay(
                self.learning_rate, self._steps
            )
            given.compile(
                keras.optimizers.AdamW(rate, weight_decay=self.weight_decay),
                _summed,
            )
            make_slots(given)
        return self._learner


class _Alone(keras.Model):
    """Rows, or the features of each bank, to the logits of all experts."""

    def __init__(self, banks: Sequence[EncodedExperts], encoded: bool):
        super().__init__(name="banks_alone")
        self.all_banks = list(banks)
        self.encoded = encoded
        self.built = True

    @property
    def form(self) -> Any:
        """All that a trace depends on, but for the numbers in variables."""
        shapes = [variable.shape for variable in self.variables]
        # With rows, the edges of the encodings are part of it.
        own = [_form(bank) for all_ in self.all_banks for bank in all_.experts]
        return (shapes, own) if self.encoded else id(self)

    def begin(self, given: "_Alone") -> None:
        """Start anew, from the variables of other banks."""
        for variable in self.optimizer.variables:
            variable.assign(ops.zeros(variable.shape, variable.dtype))
        _copy(given, self)

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        if self.encoded:
            said = [
                bank.banks.run_all(features, None, training)
                for bank, features in zip(self.all_banks, inputs, strict=True)
            ]
        else:
            said = [bank(inputs, training=training) for bank in self.all_banks]
        return ops.concatenate(said, axis=1)


def _form(bank: ExpertBank) -> dict[str, Any]:
    return {**bank.get_config(), "name": type(bank).__name__}


def _copy(source: _Alone, target: _Alone) -> None:
    """All variables, also the seeds of dropout."""
    if source is not target:
        pairs = zip(source.variables, target.variables, strict=True)
        for one, other in pairs:
            other.assign(one)


def _summed(labels: Any, logits: Any) -> Any:
    return ops.sum(expert_losses(logits, labels), axis=-1)


def _features(bank: EncodedExperts, rows: np.ndarray) -> np.ndarray:
    """What the inner banks read of all rows, float `(N, F)`."""
    parts = []
    for start in range(0, len(rows), BATCH_SIZE):
        some = rows_of(rows, slice(start, start + BATCH_SIZE))
        features, _ = bank.prepare(some, None, False)
        parts.append(ops.convert_to_numpy(features))
    return np.concatenate(parts)
