"""A model that is asked once says what `predict` says."""

import keras
import numpy as np
import pytest

from moe_keras.asking import FEW, ask, ask_batch, asks_few, rows_of
from moe_keras.insight.gated_model import GatedModel
from tests.tools import draw, only_tensorflow

few_are_called = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow",
    reason="other backends always trace, or never",
)


def two_heads():
    inputs = {
        "a": keras.Input((4,), name="a"),
        "b": keras.Input((2,), name="b", dtype="int32"),
    }
    both = keras.layers.Concatenate()(
        [inputs["a"], keras.ops.cast(inputs["b"], "float32")]
    )
    drop = keras.layers.Dropout(0.5)(keras.layers.Dense(3)(both))
    return keras.Model(inputs, {"x": drop, "y": [keras.layers.Dense(1)(drop)]})


@pytest.mark.parametrize("rows", [1, 7, 8, 9, 32, 33])
def test_it_is_predict(rows):
    model = two_heads()
    given = {
        "a": draw(rows, 4).astype("float64"),
        "b": np.arange(2 * rows, dtype="int32").reshape(rows, 2),
    }
    found = ask(model, given, 8)
    traced = getattr(model, "predict_function", None) is not None
    # 33 rows are five batches of eight.
    assert traced == (not asks_few(rows, 8))
    expected = model.predict(given, batch_size=8, verbose=0)
    keras.tree.map_structure(
        lambda one, other: np.testing.assert_allclose(one, other, atol=1e-6),
        found,
        expected,
    )


@few_are_called
def test_few_rows_are_asked_without_a_trace():
    assert [asks_few(n, 10) for n in (0, 1, 10 * FEW, 10 * FEW + 1)] == [
        *(False, True, True, False)
    ]


@only_tensorflow
def test_texts():
    words = keras.layers.TextVectorization(vocabulary=["good", "bad"])
    model = keras.Sequential([keras.Input((), dtype="string"), words])
    texts = np.array(["good", "bad good bad", "x"], object)
    # Batches of texts have lengths of their own: Keras pads them.
    expected = model.predict(texts, batch_size=2, verbose=0)
    for size in (2, 3):
        found = ask(model, texts, size)
        found = getattr(found, "to_tensor", lambda found=found: found)()
        wanted = getattr(expected, "to_tensor", lambda: expected)()
        np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("few", [True, False])
def test_a_batch(few):
    model, rows = two_heads(), {"a": draw(5, 4), "b": np.ones((5, 2), "int32")}
    found = ask_batch(model, rows_of(rows, np.array([3, 1])), few)
    expected = model.predict_on_batch({k: v[[3, 1]] for k, v in rows.items()})
    keras.tree.assert_same_structure(found, expected)
    for one, other in zip(
        keras.tree.flatten(found), keras.tree.flatten(expected), strict=True
    ):
        # Arrays that can be joined, not tensors of the backend.
        assert type(one) is np.ndarray
        assert one.shape == (2, *other.shape[1:])
        np.testing.assert_allclose(one, other, atol=1e-6)
    assert np.ptp(found["x"], axis=0).min() > 0


def test_gates_of_few_rows_and_of_many():
    from moe_keras.layers import DenseExpert, GatingLayer, MixtureOfExperts

    model = keras.Sequential(
        [
            keras.Input((4,)),
            MixtureOfExperts(
                DenseExpert(2, 3),
                GatingLayer(3, top_k=2, kernel_initializer="glorot_normal"),
            ),
        ]
    )
    rows = draw(41, 4)
    said = {}
    for size in (8, 41):
        parts = list(GatedModel(model).batches(rows, size))
        said[size] = np.concatenate([outputs for _, outputs, _ in parts])
        gates = np.concatenate([next(iter(g.values())) for _, _, g in parts])
        assert np.all((gates > 0).sum(axis=1) == 2)
    np.testing.assert_allclose(said[8], said[41], atol=1e-6)
