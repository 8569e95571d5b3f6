"""SavedModels that read texts, where there is TensorFlow alone."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from moe_keras.demo.served import predict_without_keras
from moe_keras.export import export_saved_model, saved_model
from moe_keras.layers import (
    DenseExpert,
    GatingLayer,
    MixtureOfExperts,
    text_vectorizer,
)
from tests.hostile import hostile_texts
from tests.tools import randomize

WORDS = ["a", "good", "film", "not", "bad", "n't", "!", "is", "😀", "影"]


def texts_model(rank=1):
    clean, ids = text_vectorizer(vocabulary=WORDS, max_length=200)
    texts = keras.Input((1,) * (rank - 1), dtype="string", name="texts")
    x = keras.layers.Embedding(ids.vocabulary_size(), 8)(ids(clean(texts)))
    x = keras.layers.GlobalAveragePooling1D()(x)
    moe = MixtureOfExperts(DenseExpert(2, 3), GatingLayer(3, top_k=2))
    outputs = keras.layers.Softmax()(moe(x))
    return randomize(keras.Model(texts, outputs))


@pytest.mark.parametrize(
    ("count", "megabytes"),
    [(300, 8), pytest.param(10_000, 20, marks=pytest.mark.slow)],
)
def test_hostile_texts_are_served_without_this_package(
    tmp_path, count, megabytes
):
    model = texts_model()
    path = export_saved_model(model, tmp_path / "artefact")
    texts = hostile_texts(count, megabytes)
    assert len(texts) == count
    served = predict_without_keras(path, texts)
    assert served["outputs"].shape == (count, 2)
    assert np.all(np.isfinite(served["outputs"]))
    np.testing.assert_allclose(served["outputs"].sum(axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(served["explained"], served["outputs"])
    assert served["gates"].shape == (count, 3)
    expected = model(tf.constant(texts[:256]), training=False)
    np.testing.assert_allclose(served["outputs"][:256], expected, atol=1e-5)
    # Not all are taken for the same text.
    assert len(np.unique(served["outputs"][:, 0].round(5))) > 20


def test_texts_of_rank_two_have_a_signature_of_their_own(tmp_path):
    model = texts_model(rank=2)
    export_saved_model(model, tmp_path)
    artefact = tf.saved_model.load(str(tmp_path))
    texts = tf.constant([["A good film!"], [""]])
    served = artefact.signatures["serving_default"](texts=texts)["outputs"]
    np.testing.assert_allclose(served, model(texts), atol=1e-5)


def test_an_artefact_that_reads_texts_otherwise_is_refused(
    tmp_path, monkeypatch
):
    model = texts_model()
    serve = saved_model._serve

    def wrong(model):
        inner = serve(model)

        def deaf(inputs):
            # As if it knew ASCII only.
            texts = tf.strings.regex_replace(inputs["texts"], "[^ -~]", "")
            return inner({"texts": texts})

        return deaf

    monkeypatch.setattr(saved_model, "_serve", wrong)
    with pytest.raises(
        ValueError, match=r"is not the model's\. Received: larg"
    ):
        export_saved_model(model, tmp_path)
