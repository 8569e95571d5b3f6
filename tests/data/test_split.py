"""One split in all its forms: arrays, columns, frame, batches, tf.data."""

import keras
import numpy as np
import pandas as pd
import pytest

from moe_keras.data import Split

COUNT = 23
IMAGES = np.arange(COUNT * 4, dtype="uint8").reshape(COUNT, 2, 2, 1)
TEXTS = np.array([f"review {i}" for i in range(COUNT)], dtype=object)
COLUMNS = {
    "amount": np.where(np.arange(COUNT) % 5 == 0, np.nan, np.arange(COUNT)),
    "housing": np.array(["own", "", "rent"] * 8, dtype=object)[:COUNT],
}
KINDS = {"image": IMAGES, "text": TEXTS, "table": COLUMNS}
LABELS = np.arange(COUNT)

needs_tensorflow = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="needs TensorFlow"
)


def first(inputs):
    return list(inputs.values()) if isinstance(inputs, dict) else [inputs]


def check_same(found, expected):
    for one, other in zip(first(found), first(expected), strict=True):
        np.testing.assert_array_equal(one, other)


def decoded(inputs):
    if isinstance(inputs, dict):
        return {name: decoded(column) for name, column in inputs.items()}
    if inputs.dtype != object:
        return inputs
    return np.array([text.decode() for text in inputs], dtype=object)


@pytest.fixture(params=KINDS)
def split(request):
    return Split(KINDS[request.param], LABELS)


def test_take(split):
    rows = np.array([7, 3, 3])
    taken = split.take(rows)
    assert taken.labels.tolist() == [7, 3, 3]
    for one, other in zip(
        first(taken.inputs), first(split.inputs), strict=True
    ):
        for place, row in enumerate(rows):
            np.testing.assert_array_equal(one[place], other[row])
    assert len(split.take(LABELS < 4)) == len(split.take(slice(4))) == 4


def test_batches_in_order_hold_every_row_once(split):
    batches = list(split.batches(5))
    assert [len(labels) for _, labels in batches] == [5, 5, 5, 5, 3]
    assert np.concatenate([labels for _, labels in batches]).tolist() == list(
        range(COUNT)
    )
    check_same(batches[1][0], split.take(slice(5, 10)).inputs)
    assert len(list(split.batches(5, drop_remainder=True))) == 4
    assert len(list(split.batches(COUNT, drop_remainder=True))) == 1
    assert list(split.batches(COUNT + 1, drop_remainder=True)) == []


def test_shuffled_batches_repeat_by_seed_and_epoch(split):
    def order(**options):
        batches = list(split.batches(4, **options))
        for inputs, labels in batches:
            check_same(inputs, split.take(labels).inputs)
        return np.concatenate([labels for _, labels in batches]).tolist()

    orders = [
        order(shuffle_seed=seed, epoch=epoch)
        for seed in (0, 1)
        for epoch in (0, 1)
    ]
    assert all(sorted(one) == list(range(COUNT)) for one in orders)
    assert len(set(map(tuple, orders))) == 4
    assert order(shuffle_seed=0, epoch=1) == orders[1]


@needs_tensorflow
def test_tf_dataset_holds_the_same_batches(split):
    found = list(split.as_tf_dataset(5).as_numpy_iterator())
    for (inputs, labels), (expected, theirs) in zip(
        found, split.batches(5), strict=True
    ):
        check_same(decoded(inputs), expected)
        np.testing.assert_array_equal(labels, theirs)
    cut = split.as_tf_dataset(5, drop_remainder=True)
    assert len(list(cut)) == 4 == len(cut)


@needs_tensorflow
def test_shuffled_tf_dataset_has_an_order_of_its_own_for_each_pass(split):
    def orders():
        data = split.as_tf_dataset(5, shuffle_seed=3)
        passes = []
        for _ in range(2):
            labels = []
            for inputs, some in data.as_numpy_iterator():
                check_same(decoded(inputs), split.take(some).inputs)
                labels += some.tolist()
            passes.append(labels)
        return passes

    one, two = orders()
    assert sorted(one) == sorted(two) == list(range(COUNT))
    assert one != two
    assert orders() == [one, two]


@pytest.mark.parametrize("size", [0, -1, 2.0, True])
def test_batch_size_out_of_range(split, size):
    with pytest.raises(ValueError, match=f"Received: batch_size={size}"):
        next(split.batches(size))


def test_a_table_as_columns_and_as_a_frame():
    columns = Split(COLUMNS, LABELS).columns()
    assert list(columns) == ["amount", "housing"]
    frame = Split(COLUMNS, LABELS).frame()
    assert frame["housing"].isna().tolist() == [
        word == "" for word in COLUMNS["housing"]
    ]
    assert frame["amount"].isna().sum() == 5
    assert (COLUMNS["housing"] == "").sum() == 8  # The split keeps its own.


def test_a_matrix_as_columns_and_as_a_frame():
    matrix = np.arange(12).reshape(4, 3)
    named = Split(matrix, LABELS[:4], ("a", "b", "c"))
    pd.testing.assert_frame_equal(
        named.take([2, 0]).frame(),
        pd.DataFrame(matrix[[2, 0]], columns=list("abc")),
    )
    assert list(Split(matrix, LABELS[:4]).columns()) == ["0", "1", "2"]


@pytest.mark.parametrize("kind", ["image", "text"])
def test_only_tables_have_columns(kind):
    with pytest.raises(ValueError, match="only a table has columns"):
        Split(KINDS[kind], LABELS).columns()


@pytest.mark.parametrize("kind", KINDS)
def test_fit_takes_the_arrays(kind):
    if kind == "table":
        amount = keras.Input((1,), name="amount")
        housing = keras.Input((1,), name="housing")
        x = keras.layers.Concatenate()([amount, housing])
        inputs = {
            "amount": np.nan_to_num(COLUMNS["amount"]),
            "housing": (COLUMNS["housing"] == "own").astype("float32"),
        }
        model = keras.Model(
            {"amount": amount, "housing": housing}, keras.layers.Dense(1)(x)
        )
    elif kind == "text":
        if keras.backend.backend() != "tensorflow":
            pytest.skip("texts need TensorFlow")
        words = keras.layers.TextVectorization(output_mode="multi_hot")
        words.adapt(TEXTS)
        model = keras.Sequential([words, keras.layers.Dense(1)])
        inputs = TEXTS
    else:
        model = keras.Sequential(
            [
                keras.Input((2, 2, 1)),
                keras.layers.Flatten(),
                keras.layers.Dense(1),
            ]
        )
        inputs = IMAGES
    split = Split(inputs, LABELS)
    model.compile("sgd", "mse")
    history = model.fit(
        *split.arrays, validation_data=split.arrays, verbose=0
    ).history
    assert np.isfinite(history["val_loss"]).all()
