"""Sentiment models: what they compute, and of which experts."""

import keras
import numpy as np
import pytest

from moe_keras.insight import collect_gates
from moe_keras.layers import (
    AttentionExpert,
    EmbeddedExperts,
    NGramExpert,
    RecurrentExpert,
    SequenceConvExpert,
)
from moe_keras.zoo import build_sentiment_moe
from tests import oracles_text
from tests.tools import (
    assert_close,
    draw,
    numpy_of,
    only_tensorflow,
    randomize,
)
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

VOCABULARY = ["the", "plot", "was", "good", "not", "awful"]


def softmax(values):
    shares = np.exp(values - values.max(axis=-1, keepdims=True))
    return shares / shares.sum(axis=-1, keepdims=True)


def linear_pool(gates, logits):
    return np.einsum("be,bec->bc", gates, softmax(logits))


def logarithmic_pool(gates, logits):
    return softmax(np.einsum("be,bec->bc", gates, logits))


def check_output(model, fusion):
    """The model's output, from the outputs of its parts."""
    randomize(model)
    model.get_layer("temperature").scale.assign(TEMPERATURE)
    texts = reviews()[0][:16]
    moe, ids = model.get_layer("moe"), ids_of(model, texts)
    gates = numpy_of(moe.gate(ids)).astype("float64")
    logits = np.concatenate(
        [numpy_of(bank(ids)).astype("float64") for bank in moe.experts], axis=1
    )
    pool = {"linear": linear_pool, "logarithmic": logarithmic_pool}[fusion]
    sharper = pool(gates, logits) ** (1 / TEMPERATURE)
    expected = sharper / sharper.sum(axis=-1, keepdims=True)
    assert_close(apply(model, texts), expected, 1e-4)
    # Neither all alike nor all sure, or little would be shown.
    assert expected.std() > 0.02
    return gates


@pytest.mark.parametrize("fusion", ["linear", "logarithmic"])
def test_the_output_is_made_of_these_parts(fusion):
    model = build(experts=ALL_KINDS, fusion=fusion)
    gates = check_output(model, fusion)
    assert gates.shape == (16, 7)
    assert (gates > 0).all()


@pytest.mark.parametrize("fusion", ["linear", "logarithmic"])
def test_two_of_the_experts_for_a_text(fusion):
    model = build(experts=ALL_KINDS, top_k=2, fusion=fusion)
    gates = check_output(model, fusion)
    assert ((gates > 0).sum(axis=1) == 2).all()
    assert ((gates > 0).sum(axis=0) > 0).sum() > 2


def test_the_gate_reads_cheap_features_of_the_text():
    model = randomize(build(experts={"conv": [CONV] * 3}))
    gate = model.get_layer("moe").gate
    ids = ids_of(model, reviews()[0][:9])
    kernel, bias = map(numpy_of, gate.gate.weights)
    logits = numpy_of(gate.features(ids)) @ kernel + bias
    assert_close(gate(ids), softmax(logits))


def test_experts_are_of_the_kinds_that_were_asked_for():
    banks = build(experts=ALL_KINDS).get_layer("moe").experts
    kinds = [type(bank) for bank in banks]
    assert kinds == [NGramExpert, NGramExpert, EmbeddedExperts]
    assert [bank.name for bank in banks] == ["ngram_0", "ngram_1", "readers"]
    assert [bank.max_order for bank in banks[:2]] == [2, 3]
    assert [bank.span for bank in banks[:2]] == [None, -8]
    inner = banks[2].experts
    assert [bank.name for bank in inner] == [
        *("conv_0", "conv_1", "recurrent_0", "attention_0")
    ]
    assert [type(bank) for bank in inner] == [
        *(SequenceConvExpert, SequenceConvExpert),
        *(RecurrentExpert, AttentionExpert),
    ]
    assert [bank.num_experts for bank in inner] == [1, 2, 1, 1]
    assert {bank.dropout for bank in inner} == {0.3}


def test_numbers_take_the_usual_arguments_in_the_order_given():
    # The default of filters, and their own dropout.
    model = build(
        experts={"conv": 2, "ngram": 1, "attention": [{"dropout": 0.0}]},
        dropout=0.1,
    )
    readers, ngram = model.get_layer("moe").experts
    assert [bank.name for bank in readers.experts] == [
        *("conv_0", "conv_1", "attention_0")
    ]
    assert readers.experts[0].filters == 64
    assert readers.experts[0].pooling == ("max", "mean")
    assert [bank.dropout for bank in readers.experts] == [0.1, 0.1, 0.0]
    assert ngram.name == "ngram_0"


def test_an_ngram_expert_knows_just_the_ngrams_of_the_texts():
    """Trimmed, and yet the same as one with places to spare."""
    options = {"max_order": 2, "num_experts": 2}
    told = {"min_texts": 3, "alpha": 0.5}
    model = build(experts={"ngram": [{**options, **told}]})
    (bank,) = model.get_layer("moe").experts
    texts, labels = reviews()
    ids = numpy_of(ids_of(model, texts))
    found, counts = np.unique(
        [key for text in ids for key in oracles_text.bag_of(text, 2)],
        return_counts=True,
    )
    known = found[counts >= 3]
    np.testing.assert_array_equal(bank.keys, [0, *known])
    assert bank.max_ngrams == len(known) + 1

    wide = NGramExpert(2, max_ngrams=5000, **options)
    wide.build((None, None))
    assert wide.adapt(ids, labels, **told) == len(known)
    adjustments = draw(2, 5000)
    wide.adjustments.assign(adjustments)
    bank.adjustments.assign(adjustments[:, : len(known) + 1])
    # Known n-grams, unknown ones, and some beyond the last key that is known.
    some = np.random.default_rng(0).integers(1, 60, (400, 25))
    keys = {key for text in some for key in oracles_text.bag_of(text, 2)}
    assert keys - set(known)
    assert keys & set(known)
    assert known[-1] < max(keys)
    for rows in (ids, some):
        np.testing.assert_array_equal(bank(rows), numpy_of(wide(rows)))
    assert np.abs(numpy_of(bank(some))).max() > 0.1


def test_of_few_texts_every_word_is_known_and_ngrams_of_two_texts():
    texts, labels = reviews()
    places = np.concatenate([np.flatnonzero(labels == k)[:60] for k in (0, 1)])
    few, own = texts[places], labels[places]
    model = build_sentiment_moe(few, own, experts={"ngram": 1})
    clean, words = model.layers[1:3]
    # Space is all that is left between words.
    found = {
        word for text in numpy_of(clean(few)) for word in text.decode().split()
    }
    assert set(words.vocabulary) == found
    ids = numpy_of(ids_of(model, few))
    known, counts = np.unique(
        [key for text in ids for key in oracles_text.bag_of(text, 3)],
        return_counts=True,
    )
    assert {1, 2} < set(counts)
    (bank,) = model.get_layer("moe").experts
    np.testing.assert_array_equal(bank.keys, [0, *known[counts >= 2]])


def test_halves_of_characters_in_training_texts_are_spaces():
    texts, labels = reviews()
    broken = np.array([f"{text} \ud83d" for text in texts], dtype=object)
    one, two = (
        build(texts=some, labels=labels, experts={"ngram": 1})
        for some in (texts, broken)
    )
    assert one.layers[2].vocabulary == two.layers[2].vocabulary
    left, right = (model.get_layer("moe").experts[0] for model in (one, two))
    np.testing.assert_array_equal(left.keys, numpy_of(right.keys))


def test_three_classes():
    texts, labels = reviews()
    labels = (labels + np.char.count(texts.astype(str), "music") % 2) % 3
    model = build(labels=labels, experts=ALL_KINDS, num_classes=3)
    assert apply(model, texts[:5]).shape == (5, 3)
    check_output(model, "logarithmic")


def test_a_vocabulary_in_the_place_of_texts():
    model = build_sentiment_moe(
        vocabulary=VOCABULARY, experts={"conv": [CONV]}, embedding_dim=3
    )
    assert model.get_layer("moe").experts[0].vocabulary_size == 8
    np.testing.assert_array_equal(
        ids_of(model, ["The PLOT was bad.", "awful"]),
        [[2, 3, 4, 1], [7, 0, 0, 0]],
    )
    # With texts too, they are for the n-grams alone.
    model = build(vocabulary=VOCABULARY, experts={"ngram": 1})
    assert list(model.layers[2].vocabulary) == VOCABULARY
    ids = numpy_of(ids_of(model, reviews()[0]))
    assert ids.max() == 7
    bags = [oracles_text.bag_of(text, 3) for text in ids]
    (bank,) = model.get_layer("moe").experts
    assert set(numpy_of(bank.keys)[1:]) < set.union(*bags)


def test_words_without_a_vector_of_their_own_are_unknown_words():
    model = randomize(build(experts={"conv": [CONV]}, embedded_tokens=5))
    vocabulary = model.layers[2].vocabulary
    assert len(vocabulary) > 10
    (readers,) = model.get_layer("moe").experts
    assert readers.embedding.embeddings.shape == (5, 6)
    with_vector, without = vocabulary[2], vocabulary[3]
    unknown, known, rare = apply(model, ["xyzzy", with_vector, without])
    np.testing.assert_array_equal(rare, unknown)
    assert np.abs(known - unknown).max() > 1e-3


def test_equal_weights_for_all():
    model = build(experts={"ngram": 1, "conv": [CONV, CONV]}, gate="uniform")
    gates = check_output(model, "logarithmic")
    assert_close(gates, np.full((16, 3), 1 / 3))


@keras.saving.register_keras_serializable("tests")
class FirstWord(keras.layers.Layer):
    """A gate of a user's own: by whether the first word has an odd id."""

    num_experts, choices = 2, 1

    def call(self, inputs):
        odd = keras.ops.cast(inputs[:, 0] % 2, "float32")
        return keras.ops.stack([odd, 1 - odd], axis=1)

    def compute_output_shape(self, input_shape):
        return (input_shape[0], 2)


def test_a_gate_of_ones_own():
    model = build(experts={"ngram": 1, "conv": [CONV]}, gate=FirstWord())
    texts = reviews()[0][:16]
    odd = numpy_of(ids_of(model, texts))[:, 0] % 2
    gates = check_output(model, "logarithmic")
    np.testing.assert_array_equal(gates, np.stack([odd, 1 - odd], axis=1))


def test_texts_of_any_content_have_probabilities():
    model = randomize(build(experts=ALL_KINDS, top_k=2))
    odd = ["", " ", b"\xff\xfe not \x80", "\0", "!!!", "é" * 50, "good " * 500]
    for texts in (odd, odd[:1], odd[:2]):
        found = apply(model, texts)
        assert np.isfinite(found).all()
        assert_close(found.sum(axis=1), np.ones(len(texts)))


def test_half_precision_inside():
    keras.config.set_dtype_policy("mixed_float16")
    model = randomize(build(experts=ALL_KINDS, top_k=2))
    found = apply(model, ["", *reviews()[0][:9]])
    assert found.dtype == "float32"
    assert np.isfinite(found).all()


def test_gates_are_collected_in_the_order_of_the_texts():
    model = randomize(build(experts=ALL_KINDS))
    texts = np.array(reviews()[0][:40], dtype=object)
    # The first ones are cut, so that they are not in order of their lengths.
    texts[::3] = [text[:9] for text in texts[::3]]
    expected = numpy_of(model.get_layer("moe").gate(ids_of(model, texts)))
    found = collect_gates(model, texts, batch_size=7)["gating"]
    assert_close(found, expected)
    assert np.abs(found - expected[::-1]).max() > 1e-3
