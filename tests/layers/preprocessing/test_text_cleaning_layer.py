"""TextCleaning as a layer: what it reads, where it runs, what it refuses."""

import sys

import keras
import numpy as np
import pytest

from moe_keras.layers import TextCleaning
from tests.signature import check_signature
from tests.tools import BACKEND, only_tensorflow


@only_tensorflow
def test_what_it_reads_and_where_it_runs(tmp_path):
    import tensorflow as tf

    texts = ["It's GOOD", "Don't!", ""]
    expected = [b"it 's good", b"do n't !", b""]
    layer = TextCleaning(name="clean")
    for given_texts in (
        texts,
        np.array(texts),
        np.array(texts, dtype=object),
        np.array(texts)[:, None],
        tf.constant(texts),
        [one.encode() for one in texts],
    ):
        found = layer(given_texts)
        assert found.shape == (3,)
        assert list(found.numpy()) == expected
    assert layer([]).shape == (0,)
    data = tf.data.Dataset.from_tensor_slices(texts).batch(2).map(layer)
    assert [list(batch) for batch in data.as_numpy_iterator()] == [
        expected[:2],
        expected[2:],
    ]
    for shape in ((), (1,)):
        inputs = keras.Input(shape, dtype="string")
        outputs = layer(inputs)
        assert (outputs.shape, outputs.dtype) == ((None,), "string")
        model = keras.Model(inputs, outputs)
        model.save(tmp_path / "model.keras")
        model = keras.saving.load_model(tmp_path / "model.keras")
        given_texts = tf.reshape(tf.constant(texts), (-1, *shape))
        assert list(model(given_texts).numpy()) == expected


def test_signature_and_configuration():
    layer = TextCleaning(7, "keep", name="clean")
    check_signature(TextCleaning, layer)
    again = TextCleaning.from_config(layer.get_config())
    assert again.get_config() == layer.get_config()
    assert (again.max_bytes, again.punctuation) == (7, "keep")
    assert layer.compute_output_shape((3, 1)) == (3,)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_bytes": 0}, "`max_bytes` must be .* Received: max_bytes=0"),
        ({"max_bytes": 1.5}, "max_bytes=1.5"),
        ({"punctuation": "some"}, "must be one of drop, keep.*'some'"),
    ],
)
def test_bad_arguments_are_named(options, message):
    with pytest.raises(ValueError, match=f"TextCleaning: .*{message}"):
        TextCleaning(**options)


@only_tensorflow
@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ([["a", "b"]], r"\(B,\) or \(B, 1\).*input_shape=\(1, 2\)"),
        ("a", r"input_shape=\(\)"),
        ([1], "must be texts.*dtype='int32'"),
    ],
)
def test_bad_inputs_are_named(inputs, message):
    with pytest.raises(ValueError, match=f"(?s)TextCleaning: .*{message}"):
        TextCleaning()(inputs)


@only_tensorflow
def test_bad_inputs_of_a_model_are_named():
    with pytest.raises(ValueError, match=r'dtype="string".*float32'):
        TextCleaning()(keras.Input(()))
    with pytest.raises(ValueError, match=r"input_shape=\(None, 2\)"):
        TextCleaning()(keras.Input((2,), dtype="string"))


@pytest.mark.skipif(BACKEND == "tensorflow", reason="texts are read there")
def test_elsewhere_a_model_of_texts_is_refused():
    with pytest.raises(ValueError, match="needs the TensorFlow backend"):
        TextCleaning()(keras.Input((), dtype="string"))


def test_where_tensorflow_is_not_installed_it_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    with pytest.raises(ImportError, match="TextCleaning: texts need Tensor"):
        TextCleaning().call(["a"])
