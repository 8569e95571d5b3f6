"""What NGramExpert learns from texts: counts, training, and files of it."""

from collections import Counter

import keras
import numpy as np
import pytest

from moe_keras.layers import NGramExpert
from moe_keras.ops.cost import count_multiply_adds
from moe_keras.zoo import load_preset, save_preset
from tests import oracles_text
from tests.layers.test_ngram_expert import oracle, texts
from tests.tools import assert_close, numpy_of, randomize
from tests.zoo.presets.tiny import METADATA


def new(output_units=2, max_ngrams=500, **kwargs):
    layer = NGramExpert(output_units, max_ngrams=max_ngrams, **kwargs)
    layer.build((None, 7))
    return randomize(layer)


def frequent(bags, min_texts, most):
    """The keys that are known, ascending; of equals, the smallest."""
    counts = Counter(key for bag in bags for key in bag)
    order = sorted(counts, key=lambda key: (-counts[key], key))
    return sorted([key for key in order if counts[key] >= min_texts][:most])


def known(layer):
    keys = numpy_of(layer.keys)
    assert keys[0] == 0
    return keys[(keys > 0) & (keys < 2**31 - 1)].tolist()


@pytest.mark.parametrize("span", [None, 2, -3])
@pytest.mark.parametrize("min_texts", [1, 2, 5])
def test_what_is_in_enough_texts_is_known(min_texts, span):
    ids = texts(40)
    layer = new(span=span, max_order=2)
    count = layer.adapt(ids, np.arange(40) % 2, min_texts=min_texts)
    bags = [oracles_text.bag_of(text, 2, span) for text in ids]
    expected = frequent(bags, min_texts, 499)
    assert known(layer) == expected
    assert count == len(expected) > 5
    assert not numpy_of(layer.adjustments).any()


@pytest.mark.parametrize(
    ("small", "weighting", "min_texts"),
    [
        (20, "log_count_ratio", 2),
        (14, "log_count_ratio", 3),
        (6, "log_count_ratio", 5),
        (6, "inverse_frequency", 2),
    ],
)
def test_of_few_texts_rare_ngrams_are_known(small, weighting, min_texts):
    """Fewer of them where a class is small: 20, 14 or 6 of 40 texts."""
    ids, labels = texts(40), (np.arange(40) < small).astype("int32")
    bags = [oracles_text.bag_of(text, 3) for text in ids]
    layer = new(weighting=weighting)
    layer.adapt(ids, labels)
    assert known(layer) == frequent(bags, min_texts, 499)
    # Each number gives other n-grams.
    assert len({len(frequent(bags, n, 499)) for n in range(1, 7)}) == 6
    # In batches the texts are as many.
    layer.adapt([(ids[:9], labels[:9]), (ids[9:], labels[9:])])
    assert known(layer) == frequent(bags, min_texts, 499)


def test_of_more_than_fit_the_most_frequent_are_known():
    ids = texts(40)
    bags = [oracles_text.bag_of(text, 3) for text in ids]
    counts = Counter(key for bag in bags for key in bag)
    for most in (1, 11, 30):
        layer = new(max_ngrams=most + 1)
        assert layer.adapt(ids, np.arange(40) % 2, min_texts=1) == most
        expected = frequent(bags, 1, most)
        assert known(layer) == expected
    # The last place had more than one candidate.
    least = min(counts[key] for key in expected)
    ties = sum(count == least for count in counts.values())
    assert ties > sum(counts[key] == least for key in expected)


@pytest.mark.parametrize("alpha", [1.0, 0.3])
def test_ratios_of_classes(alpha):
    ids, labels = texts(30), np.arange(30) % 3
    layer = new(3, num_experts=2, max_order=2)
    layer.adapt(ids, labels, alpha, min_texts=2)
    bags = [oracles_text.bag_of(text, 2) for text in ids]
    keys, ratios = known(layer), numpy_of(layer.ratios)
    for label in range(3):
        expected = oracles_text.log_ratios(bags, labels, label, alpha, keys)
        assert_close(
            ratios[0, 1 : 1 + len(keys), label], list(expected.values())
        )
    assert not ratios[0, 0].any()
    assert not ratios[0, 1 + len(keys) :].any()
    np.testing.assert_array_equal(ratios[0], ratios[1])
    assert_close(layer.bias, np.full((2, 3), np.log(1 / 3)))


def test_ratios_of_two_classes_in_batches_and_again():
    ids, labels = texts(30), np.asarray([1, 0, 0] * 10)
    layer = new()
    batches = [
        (ids[:5], labels[:5]),
        (np.pad(ids[5:], ((0, 0), (0, 2))), labels[5:]),
    ]
    layer.adapt(texts(20, seed=9), np.arange(20) % 2, min_texts=1)
    layer.adapt(batches, alpha=2.0, min_texts=2)
    bags = [oracles_text.bag_of(text, 3) for text in ids]
    keys = known(layer)
    assert keys == frequent(bags, 2, 499)
    expected = oracles_text.log_ratios(bags, labels, 1, 2.0, keys)
    ratios = np.zeros((1, 500))
    ratios[0, 1 : 1 + len(keys)] = list(expected.values())
    assert_close(layer.ratios, ratios)
    assert_close(layer.bias, [np.log(12 / 22)])


def test_adapted_it_is_naive_bayes_over_the_root():
    ids, others = texts(60, seed=1), texts(40, seed=2)
    labels = (ids == 3).any(axis=1).astype("int32")
    layer = new(max_order=2)
    layer.adapt(ids, labels, min_texts=3)
    outputs = numpy_of(layer(others))[:, 0]
    bags = [oracles_text.bag_of(text, 2) for text in ids]
    ratios = oracles_text.log_ratios(bags, labels, 1, 1.0, known(layer))
    bias = np.log((labels.sum() + 1) / (61 - labels.sum()))
    expected = []
    for text in others:
        found = oracles_text.bag_of(text, 2) & set(ratios)
        score = sum(ratios[key] for key in found)
        expected.append(score / max(1, len(found)) ** 0.5 + bias)
    margins = outputs[:, 1] - outputs[:, 0]
    assert_close(margins, expected)
    found = (others == 3).any(axis=1)
    assert margins[found].mean() > margins[~found].mean() + 0.5


@pytest.mark.parametrize("output_units", [2, 3])
def test_inverse_frequencies(output_units):
    # Word 1 is in all four texts, 2 in two, 3 and (1, 3) in one.
    ids = np.asarray([[1, 2, 2], [2, 1, 0], [1, 0, 0], [1, 3, 1]], "int32")
    layer = new(output_units, max_order=1, weighting="inverse_frequency")
    assert layer.adapt(ids, min_texts=1) == 3
    frequencies = dict(
        zip(known(layer), numpy_of(layer.ratios)[0, 1:4], strict=True)
    )
    for word, texts_with in ((1, 4), (2, 2), (3, 1)):
        found = frequencies[oracles_text.key_of([word])]
        assert_close(found, np.full(found.shape, np.log(4 / texts_with)))
    assert not numpy_of(layer.bias).any()
    # They weigh nothing of themselves, and w times as much.
    assert not numpy_of(layer(ids)).any()
    layer.adjustments.assign(np.full(layer.adjustments.shape, 0.02))
    scores = numpy_of(layer(ids))[:, 0, 1] * (2 if output_units == 2 else 1)
    expected = [np.log(2) / np.sqrt(2)] * 2 + [0, np.log(4) / np.sqrt(2)]
    assert_close(scores, expected)


def test_inverse_frequencies_with_labels_have_a_prior():
    ids, labels = texts(30), np.asarray([1, 0, 0] * 10)
    layer, other = (new(weighting="inverse_frequency") for _ in range(2))
    layer.adapt(ids, labels)
    other.adapt([ids[:7], ids[7:]])
    assert_close(layer.bias, [np.log(11 / 21)])
    assert not numpy_of(other.bias).any()
    assert_close(layer.ratios, numpy_of(other.ratios))
    assert known(layer) == known(other)
    # A base weight that is given counts.
    weighted = new(weighting="inverse_frequency", base_weight=0.5)
    weighted.adapt(ids)
    assert_close(weighted(ids), oracle(weighted, ids))
    assert np.ptp(numpy_of(weighted(ids))) > 0.5


def trained(ids, labels, **kwargs):
    inputs = keras.Input((ids.shape[1],), dtype="int32")
    bank = NGramExpert(2, max_ngrams=500, name="bank", **kwargs)
    model = keras.Model(inputs, keras.layers.Flatten()(bank(inputs)))
    bank.adapt(ids, labels, min_texts=2)
    model.compile(
        keras.optimizers.Adam(0.001),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    before = model.evaluate(ids, labels, verbose=0)
    model.fit(ids, labels, epochs=10, verbose=0)
    return model, bank, before


@pytest.mark.parametrize("weighting", ["log_count_ratio", "inverse_frequency"])
def test_training_lowers_the_loss_and_a_fold_keeps_it(tmp_path, weighting):
    ids = texts(64, seed=3)
    labels = (ids[:, 0] > 4).astype("int32")
    model, bank, before = trained(ids, labels, weighting=weighting)
    after = model.evaluate(ids, labels, verbose=0)
    assert after < 0.9 * before
    expected = model.predict(ids, verbose=0)
    keys = numpy_of(bank.keys)
    cost = count_multiply_adds(model).total
    for folded in (False, True):
        if folded:
            bank.fold()
            bank.fold()  # nothing more
            assert_close(model.predict(ids, verbose=0), expected, 1e-6)
        path = str(tmp_path / "model.keras")
        model.save(path)
        loaded = keras.saving.load_model(path)
        assert loaded.get_layer("bank").folded == folded
        assert [w.path for w in loaded.weights] == [
            w.path for w in model.weights
        ]
        assert_close(loaded.predict(ids, verbose=0), expected, 1e-6)
        np.testing.assert_array_equal(loaded.get_layer("bank").keys, keys)
        assert count_multiply_adds(loaded).total == cost
        tables = 1 if folded else 2
        assert loaded.count_params() == (tables + 1) * 500 + 1
    # What is folded is trained as one table.
    model.compile(keras.optimizers.Adam(0.2), model.loss)
    model.fit(ids, labels, epochs=2, verbose=0)
    assert model.evaluate(ids, labels, verbose=0) < after


@pytest.mark.parametrize("folded", [False, True])
def test_a_preset_keeps_keys_exactly(tmp_path, folded):
    ids = texts(64, seed=3)
    labels = (ids[:, 0] > 4).astype("int32")
    model, bank, _ = trained(ids, labels)
    if folded:
        bank.fold()
    metadata = {**METADATA, "task": "text", "classes": ["bad", "good"]}
    save_preset(model, tmp_path / "text" / "toy", metadata)
    loaded = load_preset(tmp_path / "text" / "toy").model
    found = loaded.get_layer("bank")
    np.testing.assert_array_equal(found.keys, numpy_of(bank.keys))
    assert numpy_of(found.keys).dtype == "int32"
    # Tables are in half precision, which keys of 31 bits would not survive.
    expected = numpy_of(model(ids))
    assert_close(loaded(ids), expected, 2e-3)
    assert np.abs(numpy_of(loaded(ids)) - expected).max() > 0


def test_adapt_and_fold_want_a_layer_that_is_built():
    layer = NGramExpert(2, max_ngrams=9)
    message = "`adapt` needs a layer that is built, and not folded. Received: "
    with pytest.raises(ValueError, match=message + "built=False"):
        layer.adapt(np.ones((1, 1), "int32"), [0])
    with pytest.raises(ValueError, match="`fold` needs a layer that is built"):
        layer.fold()
    layer.build((None, 3))
    layer.fold()
    with pytest.raises(ValueError, match=message + "built=True, folded=True"):
        layer.adapt(np.ones((1, 1), "int32"), [0])


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"alpha": 0}, "NGramExpert: `alpha` must be > 0. Received: alpha=0"),
        ({"min_texts": 0}, "NGramExpert: `min_texts` must be an integer above "
         "0. Received: min_texts=0"),
        ({"labels": None}, "adapt: `labels` are needed for all texts"),
        ({"labels": [1, 1]}, "adapt: `labels` must be of two classes or more: "
         "there is nothing to tell apart. Received: labels=[1]"),
        ({"labels": [0, 2]}, "adapt: `labels` must be integers in 0..1; of"),
        ({"min_texts": 3}, "adapt: there must be an n-gram that is in "
         "`min_texts` texts. Received: min_texts=3, texts=2"),
    ],
)  # fmt: skip
def test_adapt_names_the_argument(kwargs, message):
    layer = new()
    before = [numpy_of(weight).copy() for weight in layer.weights]
    arguments = {"ids": np.asarray([[1, 2], [1, 3]]), "labels": [0, 1]}
    with pytest.raises(ValueError, match=r"Received: ") as error:
        layer.adapt(**{**arguments, "min_texts": 1, **kwargs})
    assert str(error.value).startswith(message)
    # A layer that is refused keeps what it knew.
    for weight, value in zip(layer.weights, before, strict=True):
        np.testing.assert_array_equal(numpy_of(weight), value)
