"""Multiply-adds of models that read texts, against numbers by hand."""

import keras
import numpy as np
import pytest

from moe_keras.layers import (
    EmbeddedExperts,
    MixtureOfExperts,
    SequenceConvExpert,
    UniformGating,
    WordIds,
)
from moe_keras.ops.cost import count_multiply_adds, shapes_of_calls
from tests.tools import numpy_of, only_tensorflow
from tests.zoo.reviews import CONV, apply, build, reviews

pytestmark = only_tensorflow

LENGTH, READ, WIDTH = 10, 6, 5
# Words and pairs of a text of ten words.
PAIRS = 10 + 9


def small(**changes):
    return build(
        max_length=LENGTH, read_length=READ, embedding_dim=WIDTH, **changes
    )


def gate(experts):
    """The mean of vectors of 16, of n-grams; then a linear map."""
    return PAIRS * 16 + (3 + 16) * experts


# Two classes: one score for an n-gram.
NGRAMS = PAIRS
# Three filters over two positions; then a linear map to the classes.
FILTERS = READ * 2 * WIDTH * 3 + 3 * 2


@pytest.mark.parametrize(
    ("experts", "expected"),
    [
        ({"ngram": [{"max_order": 2}]}, NGRAMS),
        # Of the last four words, with triples.
        ({"ngram": [{"span": -4}]}, 4 + 3 + 2),
        ({"conv": [CONV]}, FILTERS),
    ],
    ids=str,
)
def test_texts_cost_what_texts_of_the_declared_length_cost(experts, expected):
    cost = count_multiply_adds(small(experts=experts))
    fusion = 2
    assert cost.total == gate(1) + expected + fusion
    assert cost.active == cost.total
    assert set(cost.layers) == {"moe"}
    # A table has a row for padding, for unknown words and for others.
    cost = count_multiply_adds(small(experts=experts, embedded_tokens=9))
    assert cost.total == gate(1) + expected + fusion


def test_a_sparse_gate_over_texts():
    experts = {"ngram": [{"max_order": 2}], "conv": [CONV, CONV]}
    model = small(experts=experts, top_k=2)
    cost, mean = count_multiply_adds(model), (NGRAMS + 2 * FILTERS) / 3
    assert cost.total == gate(3) + NGRAMS + 2 * FILTERS + 3 * 2
    assert cost.active == pytest.approx(gate(3) + 2 * mean + 2 * 2)
    load = {"gating": [0.5, 1.0, 0.25]}
    cost = count_multiply_adds(model, expert_load=load)
    assert cost.active == pytest.approx(
        gate(3) + 0.5 * NGRAMS + 1.25 * FILTERS + 1.75 * 2
    )


def test_a_model_is_as_before_it_was_counted():
    """Also for texts that are longer than the declared length."""
    model = small(experts={"ngram": 1, "conv": [CONV]})
    texts = [" ".join(reviews()[0][:4]), "", "good"]
    expected = apply(model, texts)
    layers, config = len(model.layers), model.get_config()
    assert count_multiply_adds(model) == count_multiply_adds(model, ())
    count_multiply_adds(model)
    assert len(model.layers) == layers
    assert model.get_config() == config
    assert model.get_layer("moe").input.shape == (None, None)
    np.testing.assert_array_equal(apply(model, texts), expected)


def reader(max_length):
    inputs = keras.Input((), dtype="string")
    ids = WordIds(["good", "film"], max_length, name="ids")(inputs)
    bank = SequenceConvExpert(2, 1, 1, output_units=2, name="conv")
    bank = EmbeddedExperts(bank, 4, 3, name="words")
    gating = UniformGating(1, level="sample")
    outputs = MixtureOfExperts(bank, gating, name="moe")(ids)
    return keras.Model(inputs, outputs)


def test_shapes_of_calls():
    shapes = shapes_of_calls(reader(7))
    assert shapes["ids"] == [(None,)]
    assert shapes["moe"] == [(None, 7)]
    dense = keras.Sequential(
        [keras.Input((None, 3)), keras.layers.Dense(2, name="dense")]
    )
    assert shapes_of_calls(dense) == {"dense": [(None, None, 3)]}


def test_texts_without_a_length_have_no_cost():
    assert count_multiply_adds(reader(7)).total == 7 * 3 * 2 + 2 * 2 + 2
    model = reader(None)
    with pytest.raises(ValueError, match="a size must be known"):
        count_multiply_adds(model)
    assert numpy_of(model(np.array(["good film"], object))).shape == (1, 2)
