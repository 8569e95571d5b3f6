"""NGramExpert, against sets of n-grams in Python."""

import keras
import numpy as np
import pytest

from moe_keras.layers import NGramExpert
from moe_keras.ops.cost import count_multiply_adds
from moe_keras.ops.ngrams import FREE
from tests import oracles_text
from tests.tools import (
    BACKEND,
    assert_close,
    know_ngrams,
    numpy_of,
    random_gates,
    randomize,
)

CONFIGS = {
    "binary": {"output_units": 2},
    "classes": {
        "output_units": 3,
        "max_order": 2,
        "span": 4,
        "step_factor": 2.0,
    },
    "words": {"output_units": 2, "max_order": 1, "base_weight": -1.0},
    "last": {
        "output_units": 3,
        "span": -3,
        "weighting": "inverse_frequency",
    },
    "folded": {"output_units": 3, "span": -20, "folded": True},
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
    """A layer that knows all n-grams of the first three texts."""
    layer = NGramExpert(**{"max_ngrams": 500, **kwargs})
    layer(ids, *gates)
    randomize(layer)
    return know_ngrams(layer, ids[:3])


def rows_of(bank, expert):
    """From each known key to its (w0 + a w) r, of one expert."""
    if bank.folded:
        table = numpy_of(bank.table)[expert]
    else:
        base = bank.base_weight
        if base is None:
            base = 1 if bank.weighting == "log_count_ratio" else 0
        adjustments = numpy_of(bank.adjustments)[expert].astype("float64")
        weights = base + bank.step_factor * adjustments
        table = weights * numpy_of(bank.ratios)[expert]
    keys = numpy_of(bank.keys).tolist()
    return {
        key: row
        for key, row in zip(keys, table, strict=True)
        if key not in (0, FREE)
    }


def expected_logits(bank, expert, text):
    bag = oracles_text.bag_of(text, bank.max_order, bank.span)
    bias = numpy_of(bank.bias)[expert]
    return oracles_text.ngram_logits(bag, rows_of(bank, expert), bias)


def oracle(layer, ids):
    return np.stack(
        [
            [expected_logits(layer, e, text) for e in range(layer.num_experts)]
            for text in ids
        ]
    )


@pytest.mark.parametrize("num_experts", [1, 3])
@pytest.mark.parametrize("config", CONFIGS)
def test_values_are_those_of_the_sets(config, num_experts):
    ids = texts()
    layer = built(ids, num_experts=num_experts, **CONFIGS[config])
    assert_close(layer(ids), oracle(layer, ids))
    # Some n-grams are known, and some are not.
    known = set(rows_of(layer, 0))
    bags = [oracles_text.bag_of(t, layer.max_order, layer.span) for t in ids]
    others = set().union(*bags[3:])
    assert known & others
    assert others - known


def test_nothing_is_known_at_first():
    ids = texts()
    layer = NGramExpert(2, max_ngrams=50)
    layer(ids)
    randomize(layer)
    (bias,) = numpy_of(layer.bias)
    assert_close(layer(ids), [[[-bias / 2, bias / 2]]] * 12)
    assert numpy_of(layer.keys).tolist() == [0] + [FREE] * 49


def test_the_root_counts_what_is_known_once():
    keys = [oracles_text.key_of(ngram) for ngram in [(3,), (4,), (3, 4)]]
    layer = NGramExpert(3, max_ngrams=9, max_order=2)
    layer.build((None, 6))
    layer.know(np.sort(keys))
    layer.ratios.assign(np.ones((1, 9, 3)))
    ids = np.asarray([[3, 4, 3, 4, 5, 6], [3, 3, 3, 0, 0, 0], [8] * 6], "int32")
    # Three n-grams over the root of three, one over one, none.
    expected = [[[np.sqrt(3)] * 3], [[1] * 3], [[0] * 3]]
    assert_close(layer(ids), expected)


@pytest.mark.parametrize("dispatch", ["auto", "dense"])
@pytest.mark.parametrize("config", ["binary", "classes", "last"])
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


@pytest.mark.parametrize("config", ["binary", "classes", "last"])
def test_padding_changes_nothing(config):
    ids = texts()
    layer = built(ids, **CONFIGS[config])
    longer = np.pad(ids, ((0, 0), (0, 6)))
    assert_close(layer(longer), numpy_of(layer(ids)))


@pytest.mark.parametrize("config", CONFIGS)
def test_length_may_be_unknown(config):
    layer = built(texts(), **CONFIGS[config])
    ids = keras.Input((None,), dtype="int32")
    model = keras.Model(ids, layer(ids))
    for steps in (1, 2, 11):
        batch = texts(steps=max(steps, 2))[:, :steps]
        assert_close(model.predict(batch, verbose=0), oracle(layer, batch))


@pytest.mark.parametrize("span", [None, 4, -4])
def test_a_bank_that_no_text_reaches(span):
    bank = NGramExpert(2, num_experts=2, max_ngrams=9, span=span)
    bank.build((None, 6))
    none = np.zeros((0, 6), "int32")
    found = bank(none, group_sizes=np.zeros(2, "int32"))
    assert tuple(found.shape) == (0, 2)


def test_an_empty_text_has_the_bias():
    for config in ("binary", "classes", "last"):
        ids = texts()
        layer = built(ids, **CONFIGS[config])
        (bias,) = numpy_of(layer.bias)
        if config == "binary":
            bias = np.asarray([-bias / 2, bias / 2])
        assert_close(layer(ids)[-1], [bias])


@pytest.mark.parametrize("config", ["binary", "classes", "last"])
def test_masked_words_are_padding(config):
    ids = texts()
    mask = np.random.default_rng(2).uniform(size=ids.shape) < 0.7
    layer = built(ids, num_experts=2, **CONFIGS[config])
    expected = oracle(layer, ids * mask)
    assert_close(layer(ids, mask=mask), expected)
    gates = random_gates((12, 2))
    expected[gates == 0] = 0
    assert_close(layer(ids, gates, mask=mask), expected)


def test_only_the_known_ngrams_of_a_batch_are_trained():
    ids = texts()
    layer = built(ids, **CONFIGS["binary"])
    before = numpy_of(layer.adjustments)[0].copy()
    model = keras.Sequential([keras.Input((7,), dtype="int32"), layer])
    model.compile(keras.optimizers.SGD(1.0), "mse")
    model.fit(ids[3:9], np.ones((6, 1, 2)), verbose=0)
    moved = numpy_of(layer.adjustments)[0] != before
    bags = [oracles_text.bag_of(text, 3) for text in ids[3:9]]
    known = set(rows_of(layer, 0))
    trained = set(numpy_of(layer.keys)[moved].tolist())
    assert trained == set().union(*bags) & known != known


def test_half_policies_sum_in_float32():
    keras.config.set_dtype_policy("mixed_float16")
    ids = np.arange(1, 3001, dtype="int32")[None]
    layer = NGramExpert(2, max_ngrams=4000, max_order=1)
    layer(ids)
    know_ngrams(layer, ids)
    layer.ratios.assign(np.ones((1, 4000)))
    outputs = numpy_of(layer(ids))
    assert numpy_of(layer.keys).dtype == "int32"
    # From 2048 on, float16 cannot count by ones.
    assert outputs[0, 0, 1] == np.float16(np.sqrt(3000) / 2)


def test_compiled_it_is_the_same():
    ids = texts()
    layer = built(ids, **CONFIGS["last"])
    model = keras.Sequential([keras.Input((7,), dtype="int32"), layer])
    model.compile()
    assert model.jit_compile == (BACKEND == "jax")
    assert_close(model.predict(ids, verbose=0), oracle(layer, ids))


def test_cost_is_a_sum_of_as_many_rows_as_there_can_be():
    ids = keras.Input((7,), dtype="int32")
    for span, ngrams in ((None, 7 + 6 + 5), (-4, 4 + 3 + 2), (9, 18)):
        for units, width in ((2, 1), (3, 3)):
            bank = NGramExpert(units, 2, max_ngrams=50, span=span)
            cost = count_multiply_adds(keras.Model(ids, bank(ids)))
            assert cost.total == 2 * ngrams * width
            assert bank.widths() == {}


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"output_units": 1}, "`output_units` must be an integer above 1. "
         "Received: output_units=1"),
        ({"max_ngrams": 1}, "`max_ngrams` must be an integer above 1. "
         "Received: max_ngrams=1"),
        ({"max_order": 0}, "`max_order` must be an integer in 1..5. Received: "
         "max_order=0"),
        ({"span": 0}, "`span` must be None or an integer other than 0. "
         "Received: span=0"),
        ({"span": 2.0}, "Received: span=2.0"),
        ({"weighting": "tf_idf"}, "`weighting` must be one of "
         "['inverse_frequency', 'log_count_ratio']. Received: "
         "weighting='tf_idf'"),
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
        NGramExpert(2, max_ngrams=9)(np.ones((2, 3), "float32"))
