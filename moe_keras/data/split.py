"""Inputs and labels of one split, as arrays, as batches, as a table."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from moe_keras.errors import is_count, require

if TYPE_CHECKING:
    import pandas as pd

Inputs = np.ndarray | dict[str, np.ndarray]


@dataclass(frozen=True, eq=False)
class Split:
    """Inputs and labels of one split, ready for `model.fit`.

    Attributes:
        inputs: one of three, by the task of the data set.
            Images: array `(N, H, W, C)`.
            Text: object array `(N,)` of `str`.
            Tables: number array `(N, D)`, or a dict of arrays `(N,)` by column,
            of numbers (NaN where missing) or of `str` ("" where missing).
        labels: int array `(N,)`, places in `Dataset.classes`.
        names: the D columns' names, where `inputs` is an array of a table.
        probability: float array `(N,)`, P(label 1 | inputs) in [0, 1], where
            the data were made by a known rule; else None.
    """

    inputs: Inputs
    labels: np.ndarray
    names: tuple[str, ...] = ()
    probability: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def arrays(self) -> tuple[Inputs, np.ndarray]:
        """`(inputs, labels)`, as `validation_data` of `fit` wants them."""
        return self.inputs, self.labels

    def take(self, rows: Any) -> "Split":
        """The split of some rows, in their order.

        Args:
            rows: int positions, a bool mask `(N,)`, or a slice.
        """
        given = self.probability
        return Split(
            _take(self.inputs, rows),
            self.labels[rows],
            self.names,
            None if given is None else given[rows],
        )

    def columns(self) -> dict[str, np.ndarray]:
        """The inputs of a table as one array per column.

        Raises:
            ValueError: for images and text.
        """
        if isinstance(self.inputs, dict):
            return dict(self.inputs)
        require(
            self.inputs.ndim == 2,
            "Split.columns",
            "only a table has columns.",
            inputs_shape=self.inputs.shape,
        )
        names = self.names or map(str, range(self.inputs.shape[1]))
        return dict(zip(names, self.inputs.T, strict=True))

    def frame(self) -> "pd.DataFrame":
        """The inputs of a table as a data frame, missing values as pandas'.

        Raises:
            ValueError: for images and text.
        """
        import pandas as pd

        columns = self.columns()
        for name, column in columns.items():
            if column.dtype == object:
                columns[name] = column.copy()
                columns[name][column == ""] = None
        return pd.DataFrame(columns)

    def batches(
        self,
        batch_size: int,
        shuffle_seed: int | None = None,
        epoch: int = 0,
        drop_remainder: bool = False,
    ) -> Iterator[tuple[Inputs, np.ndarray]]:
        """One pass over the rows in batches of arrays, on any backend.

        Args:
            batch_size: int > 0.
            shuffle_seed: int >= 0, or None to keep the rows' order.
            epoch: int >= 0; with a seed, every epoch has an order of its own,
                the same whenever it is asked for.
            drop_remainder: whether to leave out a last, smaller batch.

        Yields:
            `(inputs, labels)` of up to `batch_size` rows.
        """
        order = np.arange(len(self))
        if shuffle_seed is not None:
            order = np.random.default_rng([shuffle_seed, epoch]).permutation(
                order
            )
        for start in _starts(len(self), batch_size, drop_remainder):
            rows = order[start : start + batch_size]
            yield _take(self.inputs, rows), self.labels[rows]

    def as_tf_dataset(
        self,
        batch_size: int,
        shuffle_seed: int | None = None,
        drop_remainder: bool = False,
    ) -> Any:
        """A batched `tf.data.Dataset` of `(inputs, labels)`.

        Args:
            batch_size: int > 0.
            shuffle_seed: int, or None to keep the rows' order. With a seed
                every pass has an order of its own.
            drop_remainder: whether to leave out a last, smaller batch.

        Returns:
            `tf.data.Dataset`, with batches prepared ahead. Hand it to `fit`
            with `shuffle=False`, or Keras warns that it will not shuffle.
        """
        import tensorflow as tf

        _starts(len(self), batch_size, drop_remainder)
        # Batches are made on the CPU: a GPU should not hold the whole split.
        with tf.device("CPU"):
            inputs, labels = tf.nest.map_structure(tf.constant, self.arrays)
        rows = tf.data.Dataset.range(len(self))
        if shuffle_seed is not None:
            rows = rows.shuffle(len(self), seed=shuffle_seed)
        # Rows are gathered a batch at a time: one by one is much slower.
        return (
            rows.batch(batch_size, drop_remainder=drop_remainder)
            .map(
                lambda some: tf.nest.map_structure(
                    lambda array: tf.gather(array, some), (inputs, labels)
                )
            )
            .prefetch(tf.data.AUTOTUNE)
        )


def concatenate(first: Split, second: Split, order: np.ndarray) -> Split:
    """The rows of two splits as one split.

    Args:
        first: a split.
        second: a split with inputs of the same form.
        order: int `(N,)`: which row of the first, followed by the second,
            comes at each place.
    """
    inputs: Inputs
    if isinstance(first.inputs, dict) and isinstance(second.inputs, dict):
        inputs = {
            name: np.concatenate([column, second.inputs[name]])[order]
            for name, column in first.inputs.items()
        }
    else:
        inputs = np.concatenate([first.inputs, second.inputs])[order]
    probability = None
    if first.probability is not None and second.probability is not None:
        probability = np.concatenate([first.probability, second.probability])[
            order
        ]
    labels = np.concatenate([first.labels, second.labels])[order]
    return Split(inputs, labels, first.names, probability)


def _take(inputs: Inputs, rows: Any) -> Inputs:
    if isinstance(inputs, dict):
        return {name: column[rows] for name, column in inputs.items()}
    taken: np.ndarray = inputs[rows]
    return taken


def _starts(count: int, batch_size: int, drop_remainder: bool) -> range:
    require(
        is_count(batch_size),
        "Split",
        "`batch_size` must be an integer above 0.",
        batch_size=batch_size,
    )
    last = count - batch_size + 1 if drop_remainder else count
    return range(0, last, batch_size)
