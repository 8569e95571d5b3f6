"""Training batches as a function of seed, epoch and step alone.

A training that goes on after an interruption reads on as if there had been
none. The rows of epoch e are in the order of `default_rng([seed, e])`, whatever
was read before. Texts share their batch with texts of about their length: a
batch is as long as its longest text.
"""

import random
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import keras
import numpy as np

from moe_keras.data.lengths import text_lengths
from moe_keras.errors import is_count, require
from moe_keras.training.augment import Draws, augment, draw
from moe_keras.training.finite import require_finite_pictures
from moe_keras.training.recipe_parts import Augmentation

# Inputs and labels, and weights where there are any.
Batch = tuple[Any, ...]

# Batches whose texts are put in order by length before they are shuffled.
POOL = 100
# Batches that are prepared while the model is busy with one.
AHEAD = 4


class InputPipeline:
    """Shuffled, augmented batches of arrays.

    Args:
        inputs: array `(N, ...)`, or a dict of such arrays.
        labels: array `(N, ...)`.
        batch_size: int > 0; the last batch of an epoch may be smaller.
        seed: int >= 0.
        augmentation: for images `(N, H, W, C)`; None for none.
        by_length: whether texts share batches with texts of their length.
        weights: float `(N, ...)`, of the rows, or None for none.
    """

    def __init__(
        self,
        inputs: Any,
        labels: np.ndarray,
        batch_size: int,
        seed: int,
        augmentation: Augmentation | None = None,
        by_length: bool = True,
        weights: np.ndarray | None = None,
    ):
        owner = "InputPipeline"
        require(
            is_count(batch_size),
            owner,
            "`batch_size` must be an integer above 0.",
            batch_size=batch_size,
        )
        require(len(labels) > 0, owner, "there must be rows.", rows=len(labels))
        if augmentation is not None:
            _check_images(inputs, augmentation)
        require_finite_pictures(owner, inputs)
        self.inputs, self.labels, self.weights = inputs, labels, weights
        self.batch_size, self.seed = batch_size, seed
        self.augmentation = augmentation
        self._lengths = text_lengths(inputs) if by_length else None
        self._plans: dict[int, tuple[np.ndarray, Draws]] = {}
        self._lock = threading.Lock()

    @property
    def steps(self) -> int:
        """Batches of one epoch."""
        return -(-len(self.labels) // self.batch_size)

    def batch(self, epoch: int, step: int) -> Batch:
        """Inputs, labels and, where there are any, weights of one step.

        Args:
            epoch: int >= 0.
            step: int in 0..steps-1.
        """
        order, draws = self._plan(epoch)
        place = slice(step * self.batch_size, (step + 1) * self.batch_size)
        rows = order[place]
        inputs = keras.tree.map_structure(lambda a: a[rows], self.inputs)
        if self.augmentation is not None:
            own = {name: values[place] for name, values in draws.items()}
            inputs = augment(self.augmentation, inputs, own)
        if self.weights is None:
            return inputs, self.labels[rows]
        return inputs, self.labels[rows], self.weights[rows]

    def _plan(self, epoch: int) -> tuple[np.ndarray, Draws]:
        """The order of an epoch's rows, and what happens to each of them."""
        with self._lock:
            if epoch not in self._plans:
                rng = np.random.default_rng([self.seed, epoch])
                count = len(self.labels)
                order = rng.permutation(count)
                if self._lengths is not None:
                    order = _by_length(
                        order, self._lengths, self.batch_size, rng
                    )
                draws = (
                    draw(self.augmentation, count, self.inputs.shape[1:], rng)
                    if self.augmentation is not None
                    else {}
                )
                # Threads that prepare batches may be one epoch ahead.
                self._plans.pop(epoch - 2, None)
                self._plans[epoch] = order, draws
            return self._plans[epoch]

    def for_fit(
        self, first: int, epochs: int
    ) -> tuple[dict[str, Any], list[keras.callbacks.Callback]]:
        """What `fit` needs to train the epochs `first` to `epochs - 1`.

        Returns:
            Keyword arguments for `fit`, and callbacks.
        """
        if keras.backend.backend() == "tensorflow":
            dataset = self.tf_dataset(first, epochs)
            arguments = {"x": dataset, "steps_per_epoch": self.steps}
            callbacks = []
        else:
            batches = EpochBatches(self, first)
            arguments, callbacks = {"x": batches}, [batches.follower()]
        # Or `fit` would shuffle the batches of a PyDataset once more.
        return {**arguments, "shuffle": False}, callbacks

    def tf_dataset(self, first: int, epochs: int) -> Any:
        """`tf.data.Dataset` of the batches of the epochs `first` and later."""
        import tensorflow as tf

        example = self.batch(first, 0)
        types = [tf.as_dtype(a.dtype) for a in keras.tree.flatten(example)]
        shapes = [(None, *a.shape[1:]) for a in keras.tree.flatten(example)]

        def make(number: np.int64) -> list[np.ndarray]:
            epoch, step = divmod(int(number), self.steps)
            return keras.tree.flatten(self.batch(epoch, step))

        def load(number: Any) -> Any:
            arrays = tf.numpy_function(make, [number], types, stateful=False)
            for array, shape in zip(arrays, shapes, strict=True):
                array.set_shape(shape)
            return keras.tree.pack_sequence_as(example, arrays)

        return (
            tf.data.Dataset.range(first * self.steps, epochs * self.steps)
            .map(load, num_parallel_calls=2, deterministic=True)
            .prefetch(AHEAD)
        )


def as_array(values: Any) -> np.ndarray:
    """Rows as NumPy has them, floats in Keras' own precision, as `fit` does."""
    found = np.asarray(values)
    if found.dtype.kind == "f":
        return found.astype(keras.backend.floatx(), copy=False)
    return found


def drawn_seed(seed: int | None) -> int:
    """A seed for the order of rows: as given, or of `set_random_seed`."""
    return random.randrange(2**31) if seed is None else seed


def _by_length(
    order: np.ndarray,
    lengths: np.ndarray,
    batch_size: int,
    rng: np.random.Generator,
) -> np.ndarray:
    """Rows in batches of about one length; the last batch stays the last."""
    batches = []
    for pool in np.split(
        order, np.arange(POOL * batch_size, len(order), POOL * batch_size)
    ):
        inside = pool[np.argsort(lengths[pool], kind="stable")]
        found = np.split(inside, np.arange(batch_size, len(inside), batch_size))
        last = found.pop() if len(found[-1]) < batch_size else inside[:0]
        batches += [found[place] for place in rng.permutation(len(found))]
        batches.append(last)
    return np.concatenate(batches)


def _check_images(images: Any, augmentation: Augmentation) -> None:
    require(
        isinstance(images, np.ndarray) and images.ndim == 4,
        "InputPipeline",
        "`augmentation` is for images (N, H, W, C).",
        inputs=type(images).__name__,
        ndim=np.ndim(images),
    )
    fill = np.float64(augmentation.fill)
    require(
        fill.astype(images.dtype) == fill or images.dtype.kind == "f",
        "InputPipeline",
        "`augmentation.fill` must be a value that the images can have.",
        fill=augmentation.fill,
        dtype=str(images.dtype),
    )


class EpochBatches(keras.utils.PyDataset):
    """An `InputPipeline` for backends without `tf.data`.

    The epoch comes from `fit` itself through a callback: `on_epoch_begin` and
    `on_epoch_end` of a `PyDataset` are also called when there is no epoch, and
    its own workers may keep batches from one start to the next.
    """

    def __init__(self, pipeline: InputPipeline, first: int):
        super().__init__()
        self._pipeline = pipeline
        self._epoch = first
        self._pool = ThreadPoolExecutor(1)
        self._coming: dict[tuple[int, int], Future[Batch]] = {}

    def __len__(self) -> int:
        return self._pipeline.steps

    def __getitem__(self, index: int) -> Batch:
        for step in range(index, min(index + AHEAD, len(self))):
            place = (self._epoch, step)
            if place not in self._coming:
                self._coming[place] = self._pool.submit(
                    self._pipeline.batch, *place
                )
        return self._coming.pop((self._epoch, index)).result()

    def go_to(self, epoch: int) -> None:
        """Give the batches of this epoch from now on."""
        self._epoch = epoch
        self._coming = {
            place: batch
            for place, batch in self._coming.items()
            if place[0] == epoch
        }

    def close(self) -> None:
        """Let go of the thread."""
        self._pool.shutdown(cancel_futures=True)

    def follower(self) -> keras.callbacks.Callback:
        """A callback that makes the batches follow the epochs of `fit`."""
        return keras.callbacks.LambdaCallback(
            on_epoch_begin=lambda epoch, logs: self.go_to(epoch),
            on_train_end=lambda logs: self.close(),
        )
