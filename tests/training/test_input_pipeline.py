"""Batches: a function of seed, epoch and step."""

import itertools

import keras
import numpy as np
import pytest

from moe_keras.training.input_pipeline import EpochBatches, InputPipeline
from moe_keras.training.recipe_parts import Augmentation
from tests.tools import numpy_of, only_tensorflow

ROWS, BATCH = 22, 5


def pipeline(seed=0, augmentation=None, **changes):
    images = np.arange(ROWS * 9, dtype="uint8").reshape(ROWS, 3, 3, 1)
    return InputPipeline(
        **{
            "inputs": images,
            "labels": np.arange(ROWS),
            "batch_size": BATCH,
            "seed": seed,
            "augmentation": augmentation,
            **changes,
        }
    )


def epoch_of(batches, epoch):
    return [batches.batch(epoch, step) for step in range(batches.steps)]


def labels_of(batches, epoch):
    return np.concatenate([labels for _, labels in epoch_of(batches, epoch)])


def assert_same(one, two):
    for left, right in zip(one, two, strict=True):
        keras.tree.map_structure(np.testing.assert_array_equal, left, right)


class Listener(keras.callbacks.Callback):
    """Keeps the running mean of the loss, step by step."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def on_train_batch_end(self, batch, logs=None):
        self.seen.append(float(logs["loss"]))


def test_every_row_once_an_epoch_and_in_a_new_order():
    batches = pipeline()
    assert batches.steps == 5
    assert [len(labels) for _, labels in epoch_of(batches, 0)] == [5] * 4 + [2]
    orders = [labels_of(batches, epoch).tolist() for epoch in range(3)]
    for order in orders:
        assert sorted(order) == list(range(ROWS))
    assert orders[0] != orders[1] != orders[2]
    assert labels_of(pipeline(seed=1), 0).tolist() != orders[0]


def test_inputs_stay_with_their_labels():
    for images, labels in epoch_of(pipeline(), 3):
        np.testing.assert_array_equal(images[:, 0, 0, 0], labels * 9)


def test_it_does_not_matter_what_was_read_before():
    augmentation = Augmentation(crop=1, flip=True, cutout=1)
    one, two = pipeline(0, augmentation), pipeline(0, augmentation)
    for epoch in (0, 1, 2):
        epoch_of(one, epoch)
    assert_same(epoch_of(one, 2), epoch_of(two, 2))
    assert_same([one.batch(0, 3)], [two.batch(0, 3)])


def test_augmentation_differs_from_epoch_to_epoch():
    batches = pipeline(0, Augmentation(crop=1))
    first, second = (
        np.concatenate([images for images, _ in epoch_of(batches, epoch)])[
            np.argsort(labels_of(batches, epoch))
        ]
        for epoch in (0, 1)
    )
    assert (first != second).any()


def test_a_dict_of_columns():
    columns = {
        "age": np.arange(ROWS),
        "city": np.array([f"ü{n}" for n in range(ROWS)], dtype=object),
    }
    for inputs, labels in epoch_of(pipeline(inputs=columns), 0):
        np.testing.assert_array_equal(inputs["age"], labels)
        assert inputs["city"].tolist() == [f"ü{n}" for n in labels]


@only_tensorflow
def test_tf_dataset_gives_the_same_batches():
    batches = pipeline(0, Augmentation(crop=1, flip=True))
    found = [tuple(map(numpy_of, batch)) for batch in batches.tf_dataset(1, 3)]
    assert_same(found, epoch_of(batches, 1) + epoch_of(batches, 2))


@only_tensorflow
def test_tf_dataset_has_known_shapes_and_texts():
    texts = np.array([f"ü{n}" for n in range(ROWS)], dtype=object)
    batches = pipeline(inputs={"text": texts})
    dataset = batches.tf_dataset(0, 1)
    inputs, labels = dataset.element_spec
    assert inputs["text"].shape.as_list() == [None]
    assert labels.dtype == "int64"
    inputs, labels = next(iter(dataset))
    decoded = [text.decode() for text in inputs["text"].numpy()]
    assert decoded == [f"ü{n}" for n in labels.numpy()]


def sum_model():
    """Adds up the pixels, and never learns."""
    inputs = keras.Input((3, 3, 1))
    sums = keras.layers.Conv2D(1, 3, kernel_initializer="ones")(inputs)
    model = keras.Model(inputs, keras.layers.Flatten()(sums))
    model.compile(keras.optimizers.SGD(0.0), "mae")
    return model


@pytest.mark.parametrize("first", [0, 2])
def test_fit_is_shown_the_batches_in_order(first):
    batches = pipeline(0, Augmentation(crop=1), labels=np.arange(ROWS)[:, None])
    arguments, callbacks = batches.for_fit(first, 4)
    listener = Listener()
    sum_model().fit(
        **arguments,
        initial_epoch=first,
        epochs=4,
        verbose=0,
        callbacks=[*callbacks, listener],
    )
    expected = []
    for epoch in range(first, 4):
        gaps = []
        for images, labels in epoch_of(batches, epoch):
            sums = images.astype("float64").sum(axis=(1, 2, 3))
            gaps.extend(np.abs(sums - labels[:, 0]))
            expected.append(np.mean(gaps))
    assert listener.seen == pytest.approx(expected, rel=1e-5)
    assert len(set(listener.seen)) == batches.steps * (4 - first)


def test_a_py_dataset_can_be_asked_twice():
    batches = pipeline(0, Augmentation(flip=True))
    dataset = EpochBatches(batches, first=1)
    assert len(dataset) == 5
    # Keras looks at the first batch before it trains.
    assert_same([dataset[0]], [batches.batch(1, 0)])
    assert_same(list(dataset), epoch_of(batches, 1))
    dataset.go_to(2)
    assert_same(list(dataset), epoch_of(batches, 2))
    dataset.close()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"batch_size": 0}, "`batch_size` must be.*batch_size=0"),
        ({"labels": np.zeros(0)}, "there must be rows"),
        (
            {"inputs": np.zeros((ROWS, 3)), "augmentation": Augmentation()},
            "is for images.*ndim=2",
        ),
        (
            {"augmentation": Augmentation(crop=1, fill=-1)},
            "must be a value that the images can have.*fill=-1",
        ),
    ],
)
def test_what_is_wrong_is_named(changes, message):
    with pytest.raises(ValueError, match=message):
        pipeline(**changes)


def test_texts_are_beside_texts_of_their_length():
    rows, size = 230, 10
    lengths = np.random.default_rng(3).integers(1, 500, rows)
    texts = np.array(["x" * length for length in lengths], dtype=object)
    labels = np.arange(rows)
    batches = InputPipeline(texts[:-3], labels[:-3], size, 0)
    orders = []
    for epoch in range(2):
        found = epoch_of(batches, epoch)
        assert [len(own) for _, own in found] == [size] * 22 + [7]
        for inputs, own in found:
            assert [len(text) for text in inputs] == lengths[own].tolist()
        orders.append(np.concatenate([own for _, own in found]))
        assert sorted(orders[-1]) == list(range(rows - 3))
        # All of these rows are one pool: batches do not overlap in length.
        spans = [lengths[own] for _, own in found]
        ordered = sorted(spans, key=lambda span: span.min())
        for one, after in itertools.pairwise(ordered):
            assert one.max() <= after.min()
        means = [span.mean() for span in spans[:-1]]
        assert means != sorted(means)
    assert orders[0].tolist() != orders[1].tolist()


def test_pools_of_texts_follow_the_shuffled_rows(monkeypatch):
    monkeypatch.setattr("moe_keras.training.input_pipeline.POOL", 2)
    texts = np.array(["x" * place for place in range(40)], dtype=object)
    order = labels_of(InputPipeline(texts, np.arange(40), 5, 0), 0)
    drawn = np.random.default_rng([0, 0]).permutation(40)
    for start in range(0, 40, 10):
        pool = slice(start, start + 10)
        assert sorted(order[pool]) == sorted(drawn[pool])
    plain = InputPipeline(texts, np.arange(40), 5, 0, by_length=False)
    assert labels_of(plain, 0).tolist() == drawn.tolist()
