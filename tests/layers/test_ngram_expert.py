"""NGramExpert, against sets of n-grams in Python."""

import keras
import numpy as np
import pytest

from moe_keras.layers import NGramExpert
from moe_keras.ops.cost import count_multiply_adds
from tests import oracles_text
from tests.tools import (
    BACKEND,
    assert_close,
    numpy_of,
    random_gates,
    randomize,
    weights_by_name,
)

BUCKETS = 500
CONFIGS = {
    "binary": {"output_units": 2},
    "classes": {"output_units": 3, "max_order": 2, "scale": 3.0},
    "words": {"output_units": 2, "max_order": 1, "base_weight": -1.0},
    "folded": {"output_units": 3, "folded": True},
}


def texts(rows=12, steps=7, words=9, seed=0):
    """Texts with repeats and padding, the last one empty."""
    rng = np.random.default_rng(seed)
    ids = rng.integers(1, words, (rows, steps)).astype("int32")
    lengths = rng.integers(1, steps + 1, rows)
    lengths[:3] = [steps, 1, 2]
    lengths[-1] = 0
    ids[np.arange(steps) >= lengths[:, None]] = 0
    return ids


def built(ids, *gates, **kwargs):
    layer = NGramExpert(
        buckets=BUCKETS, ratio_initializer="random_normal", **kwargs
    )
    layer(ids, *gates)
    randomize(layer)
    if not layer.folded:
        ratios = np.random.default_rng(4).normal(size=layer.ratios.shape)
        layer.ratios.assign(ratios)
    return layer


def tables_of(layer):
    weights = weights_by_name(layer)
    if layer.folded:
        return weights["weights"]
    return (layer.base_weight + weights["adjustments"]) * weights["ratios"]


def oracle(layer, ids):
    tables, biases = tables_of(layer), numpy_of(layer.bias)
    return np.stack(
        [
            [
                oracles_text.ngram_logits(
                    text, layer.max_order, layer.scale, table, bias
                )
                for table, bias in zip(tables, biases, strict=True)
            ]
            for text in ids
        ]
    )


@pytest.mark.parametrize("num_experts", [1, 3])
@pytest.mark.parametrize("config", CONFIGS)
def test_values_are_those_of_the_sets(config, num_experts):
    ids = texts()
    layer = built(ids, num_experts=num_experts, **CONFIGS[config])
    assert_close(layer(ids), oracle(layer, ids))


def test_ngrams_that_share_a_bucket_count_once():
    ids = texts()
    layer = NGramExpert(2, buckets=5, ratio_initializer="ones")
    layer(ids)
    # Of the three or four buckets, each is there once, however many n-grams.
    sizes = [len(oracles_text.bag_of(text, 3, 5)) for text in ids]
    scores = np.asarray(sizes) * 0.4 / 10
    assert_close(layer(ids)[:, 0], np.stack([-scores, scores], -1) / 2)
    assert max(sizes) <= 4 < len(set(oracles_text.ngrams_of(ids[0], 3)))


@pytest.mark.parametrize("dispatch", ["auto", "dense"])
@pytest.mark.parametrize("config", ["binary", "classes"])
def test_gates_clear_what_is_not_chosen(config, dispatch):
    ids, gates = texts(), random_gates((12, 3))
    gates[:, 1] = 0  # an expert without rows
    layer = built(ids, gates, num_experts=3, **CONFIGS[config])
    expected = oracle(layer, ids)
    expected[gates == 0] = 0
    assert_close(layer(ids, gates, dispatch=dispatch), expected)


def test_runs_of_texts_and_slots():
    ids = texts()
    layer = built(ids, num_experts=3, **CONFIGS["classes"])
    every = oracle(layer, ids)
    sizes = np.asarray([5, 0, 7], "int32")
    runs = layer(ids, group_sizes=keras.ops.convert_to_tensor(sizes))
    assert_close(runs, np.concatenate([every[:5, 0], every[5:, 2]]))
    slots = layer(ids.reshape(3, 4, 7), dispatch="slots")
    assert_close(slots, [every[4 * e : 4 * e + 4, e] for e in range(3)])


def test_padding_changes_nothing():
    ids = texts()
    layer = built(ids, **CONFIGS["binary"])
    longer = np.pad(ids, ((0, 0), (0, 6)))
    assert_close(layer(longer), numpy_of(layer(ids)))


def test_a_text_shorter_than_the_longest_ngram():
    ids = np.asarray([[3, 4], [5, 0]], "int32")
    layer = built(ids, **CONFIGS["binary"])
    assert_close(layer(ids), oracle(layer, ids))


def test_an_empty_text_has_the_bias():
    for config in ("binary", "classes"):
        ids = texts()
        layer = built(ids, **CONFIGS[config])
        (bias,) = numpy_of(layer.bias)
        if config == "binary":
            bias = np.asarray([-bias / 2, bias / 2])
        assert_close(layer(ids)[-1], [bias])


def test_masked_words_are_padding():
    ids = texts()
    mask = np.random.default_rng(2).uniform(size=ids.shape) < 0.7
    layer = built(ids, num_experts=2, **CONFIGS["classes"])
    expected = oracle(layer, ids * mask)
    assert_close(layer(ids, mask=mask), expected)
    gates = random_gates((12, 2))
    expected[gates == 0] = 0
    assert_close(layer(ids, gates, mask=mask), expected)


def expected_ratios(layer, ids, labels, label, alpha):
    bags = [oracles_text.bag_of(text, layer.max_order, BUCKETS) for text in ids]
    return [
        oracles_text.log_ratio(bucket, bags, labels, label, alpha)
        for bucket in range(BUCKETS)
    ]


@pytest.mark.parametrize("alpha", [1.0, 0.3])
def test_adapt_counts_the_ratios(alpha):
    ids = texts()
    labels = np.arange(12) % 3
    layer = built(ids, num_experts=2, **CONFIGS["classes"])
    layer.adapt(ids, labels, alpha)
    ratios = numpy_of(layer.ratios)
    for label in range(3):
        expected = expected_ratios(layer, ids, labels, label, alpha)
        assert np.count_nonzero(expected) > 20
        assert_close(ratios[0, :, label], expected)
    np.testing.assert_array_equal(ratios[0], ratios[1])
    assert_close(layer.bias, np.full((2, 3), np.log(1 / 3)))


def test_adapt_of_two_classes_and_of_one_expert():
    ids = texts()
    labels = np.asarray([1, 0, 0] * 4)
    layer = built(ids, num_experts=2, **CONFIGS["binary"])
    before = numpy_of(layer.ratios)[0].copy()
    batches = [
        (ids[:5], labels[:5]),
        (np.pad(ids[5:], ((0, 0), (0, 2))), labels[5:]),
    ]
    layer.adapt(batches, alpha=2.0, expert=1)
    ratios = numpy_of(layer.ratios)
    np.testing.assert_array_equal(ratios[0], before)
    assert_close(ratios[1], expected_ratios(layer, ids, labels, 1, 2.0))
    assert_close(layer.bias[1], np.log(6 / 10))


def test_adapted_it_ranks_as_naive_bayes_does():
    ids, others = texts(60, seed=1), texts(40, seed=2)
    labels = (ids == 3).any(axis=1).astype("int32")
    layer = NGramExpert(2, buckets=BUCKETS, max_order=2)
    layer(ids)
    assert_close(layer(others), np.zeros((40, 1, 2)))
    layer.adapt(ids, labels)
    outputs = numpy_of(layer(others))[:, 0]
    ratios = expected_ratios(layer, ids, labels, 1, 1.0)
    scores = [
        sum(ratios[b] for b in oracles_text.bag_of(text, 2, BUCKETS))
        for text in others
    ]
    margins = outputs[:, 1] - outputs[:, 0]
    bias = np.log((labels.sum() + 1) / (61 - labels.sum()))
    assert_close(margins, 0.04 * np.asarray(scores) + bias)
    found = (others == 3).any(axis=1)
    assert margins[found].mean() > margins[~found].mean() + 0.2


def trained(ids, labels):
    inputs = keras.Input((ids.shape[1],), dtype="int32")
    bank = NGramExpert(2, buckets=BUCKETS, name="bank")
    model = keras.Model(inputs, keras.layers.Flatten()(bank(inputs)))
    bank.adapt(ids, labels)
    model.compile(
        keras.optimizers.Adam(0.2),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    before = model.evaluate(ids, labels, verbose=0)
    model.fit(ids, labels, epochs=5, verbose=0)
    return model, bank, before


def test_training_lowers_the_loss_and_a_fold_keeps_it(tmp_path):
    ids = texts(64, seed=3)
    labels = (ids[:, 0] > 4).astype("int32")
    model, bank, before = trained(ids, labels)
    after = model.evaluate(ids, labels, verbose=0)
    assert after < 0.8 * before
    expected = model.predict(ids, verbose=0)
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
        assert count_multiply_adds(loaded).total == cost
        tables = 1 if folded else 2
        assert loaded.count_params() == tables * BUCKETS + 1
    # What is folded is trained as one table.
    model.compile(keras.optimizers.Adam(0.2), model.loss)
    model.fit(ids, labels, epochs=2, verbose=0)
    assert model.evaluate(ids, labels, verbose=0) < after


def test_only_the_buckets_of_a_batch_are_trained():
    ids = texts()
    layer = built(ids, **CONFIGS["binary"])
    before = numpy_of(layer.adjustments)[0].copy()
    model = keras.Sequential([keras.Input((7,), dtype="int32"), layer])
    model.compile(keras.optimizers.SGD(1.0), "mse")
    model.fit(ids, np.ones((12, 1, 2)), verbose=0)
    moved = np.flatnonzero(numpy_of(layer.adjustments)[0] != before)
    bags = [oracles_text.bag_of(text, 3, BUCKETS) for text in ids]
    assert set(moved) == set().union(*bags)


def test_half_policies_sum_in_float32():
    keras.config.set_dtype_policy("mixed_float16")
    ids = np.arange(1, 3001, dtype="int32")[None]
    layer = NGramExpert(
        2, max_order=1, scale=1.0, base_weight=1.0, ratio_initializer="ones"
    )
    outputs = numpy_of(layer(ids))
    hit = len(oracles_text.bag_of(ids[0], 1, 2**20))
    # From 2048 on, float16 cannot count by ones.
    assert hit > 2900
    assert outputs[0, 0, 1] == np.float16(hit / 2)


def test_cost_is_a_sum_of_as_many_rows_as_there_can_be():
    ids = keras.Input((7,), dtype="int32")
    for units, width in ((2, 1), (3, 3)):
        bank = NGramExpert(units, 2, buckets=50)
        cost = count_multiply_adds(keras.Model(ids, bank(ids)))
        assert cost.total == 2 * (7 + 6 + 5) * width
        assert bank.widths() == {}


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"output_units": 1}, "`output_units` must be an integer above 1. "
         "Received: output_units=1"),
        ({"buckets": 1}, "`buckets` must be an integer in 2..16777216. "
         "Received: buckets=1"),
        ({"max_order": 0}, "Received: max_order=0"),
        ({"scale": 0.0}, "`scale` must be > 0. Received: scale=0.0"),
        ({"num_experts": 0}, "Received: num_experts=0"),
    ],
)  # fmt: skip
def test_errors_name_the_argument(kwargs, message):
    with pytest.raises(ValueError, match=r"^NGramExpert: ") as error:
        NGramExpert(**{"output_units": 2, **kwargs})
    assert message in str(error.value)


def test_inputs_must_be_texts():
    for shape in ((None, 5, 2), (None,)):
        with pytest.raises(ValueError, match="`inputs` must be texts"):
            NGramExpert(2).build(shape)
    message = r"identifiers \(B, T\) of an integer dtype. Received: dtype='fl"
    with pytest.raises(ValueError, match=message):
        NGramExpert(2, buckets=9)(np.ones((2, 3), "float32"))


def test_adapt_and_fold_want_a_layer_that_is_built():
    layer = NGramExpert(2, buckets=9)
    message = "`adapt` needs a layer that is built, and not folded. Received: "
    with pytest.raises(ValueError, match=message + "built=False"):
        layer.adapt([[1]], [0])
    with pytest.raises(ValueError, match="`fold` needs a layer that is built"):
        layer.fold()
    layer.build((None, 3))
    with pytest.raises(ValueError, match=r"`alpha` must be > 0. Received: alp"):
        layer.adapt([[1]], [0], alpha=0)
    with pytest.raises(ValueError, match=r"0..num_experts-1.* expert=1"):
        layer.adapt([[1]], [0], expert=1)
    layer.fold()
    with pytest.raises(ValueError, match=message + "built=True, folded=True"):
        layer.adapt([[1]], [0])


def test_xla_compiles_it_where_shapes_are_static():
    ids = texts()
    layer = built(ids, **CONFIGS["binary"])
    assert layer.supports_jit
    gated = built(ids, random_gates((12, 1)), **CONFIGS["binary"])
    assert gated.supports_jit == (BACKEND != "tensorflow")
