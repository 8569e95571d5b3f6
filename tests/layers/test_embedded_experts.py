"""EmbeddedExperts: a table, and banks whose own tests are elsewhere."""

import keras
import numpy as np
import pytest

from moe_keras.layers import (
    DenseExpert,
    EmbeddedExperts,
    GatingLayer,
    LogitFusion,
    MixtureOfExperts,
    ModelExpert,
    RecurrentExpert,
    SequenceConvExpert,
)
from moe_keras.ops.cost import Cost, count_layer
from tests.layers.embedded import IDS, KNOWN, built, expected_of, inner_banks
from tests.tools import (
    BACKEND,
    assert_close,
    numpy_of,
    random_gates,
    randomize,
)


@pytest.mark.parametrize("dtype", ["int32", "int64", "int16"])
def test_ids_are_looked_up_cut_and_masked(dtype):
    if dtype == "int64" and BACKEND == "jax":
        pytest.skip("JAX has no int64 by default")
    layer = built(IDS)
    assert layer.num_experts == 3
    assert_close(layer(IDS.astype(dtype)), expected_of(layer))


def test_bytes_are_ids_too():
    layer = built(IDS)
    ids = np.where(IDS > 255, 200, np.where(IDS < 0, 255, IDS))
    assert_close(layer(ids.astype("uint8")), expected_of(layer))


@pytest.mark.skipif(BACKEND == "jax", reason="JAX has no int64 by default")
def test_a_large_id_does_not_become_a_small_one():
    layer = built(IDS)
    ids = IDS.astype("int64")
    ids[3, 3] = 2**32 + 5
    assert_close(layer(ids), expected_of(layer))


@pytest.mark.parametrize("dispatch", ["auto", "dense"])
def test_gates_clear_what_is_not_chosen(dispatch):
    gates = random_gates((5, 3))
    gates[:, 1] = 0  # an expert without rows
    layer = built(IDS, gates)
    expected = expected_of(layer)
    expected[gates == 0] = 0
    assert_close(layer(IDS, gates, dispatch=dispatch), expected)


def test_groups_and_slots():
    layer = built(IDS)
    expected = expected_of(layer)
    sizes, experts = np.asarray([2, 0, 3], "int32"), [0, 0, 2, 2, 2]
    rows = np.stack([expected[n, e] for n, e in enumerate(experts)])
    assert_close(layer(IDS, group_sizes=sizes), rows)
    slots = np.stack([IDS[[e, 3]] for e in range(3)])
    places = [[expected[e, e], expected[3, e]] for e in range(3)]
    assert_close(layer(slots, dispatch="slots"), np.asarray(places))


def test_padding_at_the_end_changes_nothing():
    banks = [*inner_banks(), RecurrentExpert(3, output_units=2, name="gru")]
    layer = built(IDS, experts=banks, max_length=None)
    longer = np.pad(IDS, ((0, 0), (0, 7)))
    assert_close(layer(longer), numpy_of(layer(IDS)))


def test_a_mask_is_padding_too():
    layer = built(IDS)
    mask = np.arange(6) < np.asarray([[2], [6], [6], [1], [0]])
    known = np.where(mask[:, :5], KNOWN, 0)
    assert_close(layer(IDS, mask=mask), expected_of(layer, known))


class FixedGates(keras.layers.Layer):
    """The same gates for every text."""

    def call(self, ids):
        zeros = keras.ops.zeros_like(ids[:, :1], dtype="float32")
        return zeros + keras.ops.convert_to_tensor([0.25, 0.0, 0.75])

    def compute_output_shape(self, input_shape):
        return (input_shape[0], 3)


@pytest.mark.parametrize("dispatch", ["dense", "sorted", "capacity"])
def test_in_a_mixture(dispatch):
    if dispatch == "sorted" and BACKEND == "jax":
        pytest.skip("JAX wants the sizes of the groups when it compiles")
    layer = EmbeddedExperts(inner_banks(), 12, 4, max_length=5)
    moe = MixtureOfExperts(
        layer,
        FixedGates(),
        LogitFusion(),
        dispatch=dispatch,
        eval_capacity_factor=3.0,
    )
    model = keras.Sequential([keras.Input((6,), dtype="int32"), moe])
    randomize(model)
    outputs = model.predict(IDS, verbose=0)
    logits = expected_of(layer)
    shares = np.exp(logits) / np.sum(np.exp(logits), axis=-1, keepdims=True)
    pooled = np.log(0.25 * shares[:, 0] + 0.75 * shares[:, 2])
    assert_close(outputs, pooled)


def test_the_length_may_be_unknown():
    symbols = keras.Input((None,), dtype="int32")
    layer = EmbeddedExperts(inner_banks(), 12, 4)
    model = keras.Model(symbols, layer(symbols))
    assert model.output_shape == (None, 3, 2)
    randomize(model)
    for length in (1, 3, 5):
        known = KNOWN[:, :length]
        expected = expected_of(layer, known)
        assert_close(model(known.astype("int32")), expected)


def test_cost_is_that_of_the_inner_banks_at_the_cut_length():
    conv, encoder = inner_banks()
    layer = EmbeddedExperts([conv, encoder], 12, 4, max_length=5)
    parts = [count_layer(bank, [(None, 5, 4)]) for bank in (conv, encoder)]
    assert count_layer(layer, [(None, 9)]) == parts[0] + parts[1]
    short = count_layer(layer, [(None, 3)])
    assert short.total < parts[0].total + parts[1].total
    chosen = count_layer(layer, [(None, 9), (None, 3)], [0, 0, 1])
    assert chosen == Cost(parts[0].total + parts[1].total, parts[1].total)


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (([], 9, 4), "`experts` must be one or more banks"),
        ((3, 9, 4), "`experts` must be one or more banks, such as SequenceConv"
         "Expert(32, num_experts=4); "),
        ((DenseExpert(3, name="d"), 9, 4), "`experts` must be banks that read "
         "whole sequences. Received: experts=['d']"),
        ((SequenceConvExpert(3), 1, 4), "`vocabulary_size` must be an integer "
         "above 1: padding and the unknown word have an id each. Received: "
         "vocabulary_size=1"),
        ((SequenceConvExpert(3), 9, 0), "embedding_dim=0"),
        ((SequenceConvExpert(3), 9, 4, 0), "max_length=0"),
        ((SequenceConvExpert(3), 9, 4, None, "ones", 1), "dropout=1"),
    ],
)  # fmt: skip
def test_errors_name_the_argument(args, message):
    with pytest.raises(ValueError, match=r"^EmbeddedExperts: ") as error:
        EmbeddedExperts(*args)
    assert message in str(error.value)


def test_inputs_must_be_ids_of_whole_texts():
    layer = EmbeddedExperts(inner_banks(), 12, 4)
    with pytest.raises(ValueError, match=r"`inputs` must be ids \(B, T\)"):
        layer.build((None, 5, 6), (None, 3))


def test_inner_outputs_must_agree():
    banks = [SequenceConvExpert(2), RecurrentExpert(5)]
    layer = EmbeddedExperts(banks, 9, 4)
    with pytest.raises(ValueError, match="EmbeddedExperts: `experts` must be"):
        MixtureOfExperts(layer, GatingLayer(2)).compute_output_shape((None, 3))


def test_a_given_model_reads_the_vectors():
    given = keras.Sequential(
        [keras.Input((5, 4)), keras.layers.Flatten(), keras.layers.Dense(2)]
    )
    layer = built(KNOWN, experts=ModelExpert(given))
    table = numpy_of(layer.embedding.embeddings)
    expected = numpy_of(given(table[KNOWN]))[:, None]
    assert_close(layer(KNOWN), expected)
