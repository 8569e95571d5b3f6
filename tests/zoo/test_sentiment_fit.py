"""Sentiment models: how they begin, how they learn, and that they are kept."""

import keras
import numpy as np

from moe_keras.layers import TextFeatures, record_gates
from moe_keras.ops.word_vectors import cooccurrence_vectors
from moe_keras.zoo import load_preset, save_preset
from tests.tools import assert_close, numpy_of, only_tensorflow, randomize
from tests.zoo.presets.tiny import METADATA
from tests.zoo.reviews import (
    ALL_KINDS,
    CONV,
    TEMPERATURE,
    apply,
    build,
    ids_of,
    reviews,
)

pytestmark = only_tensorflow


def test_one_expert_for_a_text_trains_the_gate():
    # Without what pulls the load together: only the classes tell.
    model = build(
        experts={"ngram": 1, "conv": [CONV] * 2}, top_k=1, balance_loss=0.0
    )
    randomize(model, scale=0.3)
    texts, labels = reviews()
    router = model.get_layer("moe").gate.gate
    before = numpy_of(router.weights[0])
    model.compile(keras.optimizers.SGD(1.0), "sparse_categorical_crossentropy")
    model.train_on_batch(texts[:64], labels[:64])
    assert np.abs(numpy_of(router.weights[0]) - before).max() > 1e-4
    with record_gates() as record:
        apply(model, texts[:64])
    (gates,) = record.values()
    assert ((numpy_of(gates) > 0).sum(axis=1) == 1).all()


def test_it_learns_by_fit(tmp_path):
    """From arrays and from `tf.data`, and is saved."""
    import tensorflow as tf

    texts, labels = reviews()
    model = build(experts={"ngram": 1, "conv": [CONV]})
    model.compile(
        keras.optimizers.Adam(0.02), "sparse_categorical_crossentropy"
    )
    before = model.evaluate(texts, labels, verbose=0)
    model.fit(texts, labels, batch_size=50, epochs=1, verbose=0)
    between = model.evaluate(texts, labels, verbose=0)
    pairs = tf.data.Dataset.from_tensor_slices((texts.astype(str), labels))
    model.fit(pairs.batch(50), shuffle=False, verbose=0)
    after = model.evaluate(texts, labels, verbose=0)
    assert after < between < before
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(apply(again, texts), apply(model, texts))


def test_as_a_preset(tmp_path):
    model = randomize(build(experts=ALL_KINDS, top_k=2))
    model.get_layer("temperature").scale.assign(TEMPERATURE)
    metadata = {**METADATA, "task": "sentiment", "classes": ["bad", "good"]}
    save_preset(model, tmp_path / "sentiment" / "toy", metadata)
    loaded = load_preset(tmp_path / "sentiment" / "toy").model
    # Keys do not survive half precision; they have to be exact.
    for bank, found in zip(
        model.get_layer("moe").experts[:2],
        loaded.get_layer("moe").experts[:2],
        strict=True,
    ):
        np.testing.assert_array_equal(found.keys, numpy_of(bank.keys))
        assert numpy_of(bank.keys).max() > 2**24
    texts = reviews()[0][:30]
    expected = apply(model, texts)
    assert_close(apply(loaded, texts), expected, 5e-3)
    assert np.abs(apply(loaded, texts) - expected).max() > 0


def test_word_vectors_begin_with_what_stands_near_what():
    texts = reviews()[0]
    model = build(experts={"conv": [CONV]}, word_vectors="cooccurrence")
    (bank,) = model.get_layer("moe").experts
    table = numpy_of(bank.embedding.embeddings)
    expected = cooccurrence_vectors(
        numpy_of(ids_of(model, texts)), *table.shape
    )
    assert np.abs(expected).max() > 0.1
    np.testing.assert_allclose(table, expected, atol=1e-5)


def test_the_gate_begins_with_how_sure_words_are():
    texts, labels = reviews()
    model = build(experts={"conv": [CONV] * 2}, gate_ratios=True)
    features = model.get_layer("moe").gate.features
    alone = TextFeatures(num_classes=2, max_order=features.max_order)
    alone.build((None, None))
    alone.adapt(numpy_of(ids_of(model, texts)), labels)
    ratios = numpy_of(features.ratios)
    np.testing.assert_allclose(ratios, numpy_of(alone.ratios), atol=1e-6)
    assert np.abs(ratios).max() > 0
