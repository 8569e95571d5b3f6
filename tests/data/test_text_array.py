"""Texts of every container go into Keras' `fit` by way of an array."""

import keras
import numpy as np
import pandas as pd
import pytest

from moe_keras.data import text_array
from moe_keras.layers import WordIds
from tests.tools import only_tensorflow

TEXTS = ["a film", "", "no film", "Ein Füßchen"]
BYTES = [text.encode() for text in TEXTS]

GIVEN = {
    "list": TEXTS,
    "tuple": tuple(TEXTS),
    "generator": TEXTS,
    "NumPy's texts": np.array(TEXTS),
    "NumPy's bytes": np.array(BYTES),
    "objects": np.array(TEXTS, dtype=object),
    "bytes": np.array(BYTES, dtype=object),
    "one column": np.array(TEXTS, dtype=object)[:, None],
    "texts of variable length": np.array(TEXTS, np.dtypes.StringDType()),
    "pandas": pd.Series(TEXTS, index=[3, 1, 2, 0]),
    "pandas' strings": pd.Series(TEXTS, dtype="string"),
    "category": pd.Series(TEXTS, dtype="category"),
    "index": pd.Index(TEXTS),
    "frame": pd.DataFrame({"text": TEXTS}),
}


@pytest.mark.parametrize("kind", GIVEN)
def test_any_container_of_texts(kind):
    given = GIVEN[kind]
    found = text_array(iter(given) if kind == "generator" else given)
    assert found.dtype == object
    assert found.tolist() == TEXTS
    assert {type(text) for text in found} == {str}


def test_no_texts():
    assert text_array([]).shape == (0,)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("a film", "a list or a column of texts. Received: texts='str'"),
        (b"a film", "texts='bytes'"),
        (3, "texts='int'"),
        (None, "texts='NoneType'"),
        ({"a": TEXTS}, "texts='dict'"),
        (pd.DataFrame({"a": TEXTS, "b": TEXTS}), r"texts=\(4, 2\)"),
        (["a", None], "give '' for a missing one. Received: row=2, found=None"),
        (pd.Series(["a", "b", np.nan]), "row=3, found=nan"),
        (pd.Series(["a", pd.NA], dtype="string"), "row=2, found=<NA>"),
        (["a", 3], "row=2, found=3"),
        ([["a"]], r"row=1, found=\['a'\]"),
        ([b"a", b"\xff"], "bytes must be UTF-8. Received: row=2, reason="),
    ],
)
def test_what_is_no_text(given, message):
    with pytest.raises(ValueError, match=rf"^text_array: .*{message}"):
        text_array(given)


@only_tensorflow
def test_keras_takes_the_array_and_not_what_it_was_made_of():
    inputs = keras.Input((), dtype="string")
    ids = WordIds(["film", "a"], output_sequence_length=2)(inputs)
    model = keras.Model(inputs, keras.layers.Dense(1)(ids * 1.0))
    model.compile("sgd", "mse", run_eagerly=True)
    labels = np.zeros(4)
    for kind in ("list", "NumPy's texts", "category", "bytes"):
        # When this passes, the helper and its page have become needless.
        with pytest.raises(ValueError, match=r"Invalid dtype|Unrecognized dat"):
            model.fit(GIVEN[kind], labels, verbose=0)
        texts = text_array(GIVEN[kind])
        model.fit(texts, labels, verbose=0)
        assert model.predict(texts, verbose=0).shape == (4, 1)
