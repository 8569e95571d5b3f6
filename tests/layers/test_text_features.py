"""TextFeatures, against a loop over texts."""

import keras
import numpy as np
import pytest

from moe_keras.layers import TextFeatures
from moe_keras.ops.cost import count_multiply_adds
from tests import oracles_text
from tests.layers.test_ngram_expert import texts
from tests.tools import assert_close, numpy_of


def oracle(layer, ids):
    table = numpy_of(layer.embeddings)
    return np.stack(
        [
            oracles_text.text_features(text, table, layer.max_order)
            for text in ids
        ]
    )


@pytest.mark.parametrize("max_order", [1, 2, 3])
def test_values_are_those_of_the_loop(max_order):
    ids = texts(words=4)
    layer = TextFeatures(50, 5, max_order)
    outputs = layer(ids)
    assert_close(outputs, oracle(layer, ids))
    # The texts differ in all three statistics.
    assert (np.ptp(numpy_of(outputs)[:-1, :3], axis=0) > 0.2).all()


def test_padding_changes_nothing():
    ids = texts()
    layer = TextFeatures(50, 3)
    expected = numpy_of(layer(ids))
    assert_close(layer(np.pad(ids, ((0, 0), (0, 5)))), expected)


def test_an_empty_text_has_zeros():
    outputs = numpy_of(TextFeatures(50, 3)(texts()))
    np.testing.assert_array_equal(outputs[-1], np.zeros(6))
    assert np.isfinite(outputs).all()


def test_a_thousand_words_are_one():
    ids = np.ones((1, 1023), "int32")
    outputs = numpy_of(TextFeatures(50, 3)(ids))
    assert_close(outputs[0, :3], [1, 1, 1 / 1023])


def test_masked_words_are_padding():
    ids = texts()
    mask = np.random.default_rng(2).uniform(size=ids.shape) < 0.7
    layer = TextFeatures(50, 3)
    outputs = layer(ids, mask=mask)
    expected = oracle(layer, ids * mask)
    assert_close(outputs, expected)


def test_vectors_start_with_a_spread_of_one():
    layer = TextFeatures()
    layer.build((None, 4))
    assert layer.embeddings.shape == (8192, 16)
    assert np.std(numpy_of(layer.embeddings)) == pytest.approx(1, abs=0.02)


def test_length_may_be_unknown():
    ids = keras.Input((None,), dtype="int32")
    layer = TextFeatures(50, 3)
    model = keras.Model(ids, layer(ids))
    assert model.output_shape == (None, 6)
    for steps in (3, 7):
        assert_close(
            model(texts(steps=steps)), oracle(layer, texts(steps=steps))
        )
    with pytest.raises(ValueError, match="a size must be known"):
        count_multiply_adds(model)
    assert count_multiply_adds(model, (7,)).total == (7 + 6) * 3


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"buckets": 1}, "Received: buckets=1"),
        ({"max_order": 6}, "Received: max_order=6"),
        ({"num_classes": 1}, "above 1, or None. Received: num_classes=1"),
        ({"ratio_buckets": 1}, "Received: buckets=1"),
        (
            {"embedding_dim": -1},
            "`embedding_dim` must be an integer, 0 or above. "
            "Received: embedding_dim=-1",
        ),
    ],
)  # fmt: skip
def test_errors_name_the_argument(kwargs, message):
    with pytest.raises(ValueError, match=r"^TextFeatures: ") as error:
        TextFeatures(**kwargs)
    assert message in str(error.value)


def test_inputs_must_be_texts():
    with pytest.raises(ValueError, match=r"`inputs` must be \(B, T\)"):
        TextFeatures().build((None, 3, 4))
    with pytest.raises(ValueError, match=r"identifiers .* dtype='float32'"):
        TextFeatures(9)(np.ones((2, 3), "float32"))


def test_the_statistics_alone():
    ids = texts(words=4)
    layer = TextFeatures(embedding_dim=0)
    expected = numpy_of(TextFeatures(50, 3)(ids))[:, :3]
    assert_close(layer(ids), expected)
    assert layer.weights == []
    assert layer.compute_output_shape(ids.shape) == (len(ids), 3)


@pytest.mark.parametrize("num_classes", [2, 3])
def test_sureness_is_that_of_the_loop(num_classes):
    ids, new = texts(rows=30), texts(rows=9, words=12, seed=5)
    labels = np.random.default_rng(3).integers(0, num_classes, len(ids))
    # Few buckets, so that n-grams share them.
    layer = TextFeatures(50, 3, 2, num_classes, ratio_buckets=40)
    layer.build((None, None))
    assert not numpy_of(layer(new))[:, 3].any()
    layer.adapt([(ids[:11], labels[:11]), (ids[11:], labels[11:])])
    ratios = oracles_text.bucket_ratios(ids, labels, 2, 40, num_classes)

    def loop(rows):
        return np.array(
            [
                oracles_text.sureness(row, ratios, 2, 40, num_classes)
                for row in rows
            ]
        )

    size = np.sqrt(np.mean(loop(ids) ** 2))
    for rows in (ids, new):
        assert_close(numpy_of(layer(rows))[:, 3], loop(rows) / size)
    assert loop(new).std() > 0.01
    # All else is as without.
    plain = TextFeatures(50, 3)
    plain.build((None, None))
    plain.set_weights([numpy_of(layer.embeddings)])
    seen = numpy_of(layer(new))
    assert_close(np.delete(seen, 3, axis=1), numpy_of(plain(new)))
    assert seen.shape == (9, 7)
    assert layer.compute_output_shape((9, 6)) == (9, 7)


def test_adapt_wants_classes_and_a_layer_that_is_built():
    ids, labels = texts(), np.zeros(len(texts()), int)
    for layer in (TextFeatures(9), TextFeatures(9, num_classes=2)):
        with pytest.raises(ValueError, match="`adapt` needs a layer that is b"):
            layer.adapt(ids, labels)
    layer.build((None, 4))
    with pytest.raises(ValueError, match="`labels` are needed"):
        layer.adapt(ids)
