"""MixtureOfExperts against the loops, on every road through it."""

import keras
import numpy as np
import pytest

from moe_keras.layers import (
    AttentionExpert,
    ConvExpert,
    DenseExpert,
    GatingLayer,
    MixtureOfExperts,
    ModelExpert,
    RecurrentExpert,
    WeightedFusion,
    record_gates,
)
from tests import oracles
from tests.layers import (
    test_conv_expert,
    test_dense_expert,
    test_recurrent_expert,
)
from tests.tools import (
    assert_close,
    draw,
    numpy_of,
    randomize,
)

DISPATCHES = ["dense", "sorted"]
HOT = "glorot_normal"


def built(inputs, *args, **kwargs):
    moe = MixtureOfExperts(*args, **kwargs)
    moe(inputs)
    return randomize(moe)


def functions_of(moe):
    """All experts, in the order of the banks, by the oracles."""
    functions = []
    for bank in moe.experts:
        if isinstance(bank, DenseExpert):
            functions += test_dense_expert.functions_of(bank)
        elif isinstance(bank, ConvExpert):
            functions += test_conv_expert.functions_of(bank)
        elif isinstance(bank, RecurrentExpert):
            functions += test_recurrent_expert.gru_functions(bank)
        else:
            model = bank.model
            functions.append(
                lambda row, model=model: numpy_of(model(row[None]))[0]
            )
    return functions


def expected_of(moe, inputs, depth=1, mask=None):
    """The loops, with the gates that the loops make of the router's kernel."""
    kernel = numpy_of(moe.gate.kernel)
    rows = inputs.reshape(-1, *inputs.shape[depth:])
    logits = [
        row.reshape(-1, row.shape[-1]).mean(axis=0) @ kernel for row in rows
    ]
    gates = oracles.softmax_gates(np.stack(logits), moe.gate.top_k)
    if mask is not None:
        gates[~mask.reshape(-1)] = 0
    results = oracles.mixture(rows, gates, functions_of(moe))
    return results.reshape(*inputs.shape[:depth], *results.shape[1:])


@pytest.mark.parametrize("dispatch", DISPATCHES)
@pytest.mark.parametrize("top_k", [None, 1, 2])
@pytest.mark.parametrize("leading", [(6,), (3, 4), (2, 2, 3)])
def test_dense_experts_are_the_loops(leading, top_k, dispatch):
    inputs = draw(*leading, 5)
    moe = built(
        inputs,
        DenseExpert(3, 4, hidden_units=6),
        GatingLayer(4, top_k, level="position"),
        dispatch=dispatch,
    )
    assert_close(moe(inputs), expected_of(moe, inputs, len(leading)))


@pytest.mark.parametrize("dispatch", DISPATCHES)
@pytest.mark.parametrize("shape", [(6, 4, 5), (6, 2, 3, 5)])
def test_gates_over_samples(shape, dispatch):
    inputs = draw(*shape)
    moe = built(
        inputs,
        DenseExpert(3, 4),
        GatingLayer(4, 2, level="sample"),
        dispatch=dispatch,
    )
    outputs = moe(inputs)
    whole = moe.experts[0]
    functions = test_dense_expert.functions_of(whole)

    def per_position(function):
        return lambda sample: np.apply_along_axis(function, -1, sample)

    kernel = numpy_of(moe.gate.kernel)
    means = inputs.reshape(6, -1, 5).mean(axis=1)
    gates = oracles.softmax_gates(means @ kernel, 2)
    expected = oracles.mixture(
        inputs, gates, list(map(per_position, functions))
    )
    assert_close(outputs, expected)


@pytest.mark.parametrize("dispatch", DISPATCHES)
@pytest.mark.parametrize("top_k", [None, 1, 2])
def test_banks_of_different_kinds_share_one_gate(top_k, dispatch):
    model = keras.Sequential(
        [keras.Input((4, 3, 2)), keras.layers.Flatten(), keras.layers.Dense(3)]
    )
    inputs = draw(7, 4, 3, 2)
    banks = [
        ConvExpert(2, 2, pooling="avg", output_units=3),
        RecurrentExpert(2, 1, output_units=3),
        ModelExpert(model),
    ]
    moe = built(inputs, banks, GatingLayer(4, top_k), dispatch=dispatch)
    assert moe.num_experts == 4
    assert_close(moe(inputs), expected_of(moe, inputs))


@pytest.mark.parametrize("dispatch", DISPATCHES)
def test_maps_are_fused_as_maps(dispatch):
    inputs = draw(4, 4, 3, 2)
    moe = built(inputs, ConvExpert(2, 3), GatingLayer(3, 1), dispatch=dispatch)
    assert_close(moe(inputs), expected_of(moe, inputs))


@pytest.mark.parametrize("dispatch", DISPATCHES)
def test_padded_positions_are_routed_nowhere(dispatch):
    inputs, mask = draw(3, 4, 5), np.arange(12).reshape(3, 4) % 3 > 0
    moe = built(inputs, DenseExpert(3, 4), GatingLayer(4, 2), dispatch=dispatch)
    outputs = numpy_of(moe(inputs, mask=mask))
    assert_close(outputs, expected_of(moe, inputs, 2, mask))
    np.testing.assert_array_equal(outputs[~mask], np.zeros((4, 3)))


@pytest.mark.parametrize("dispatch", [*DISPATCHES, "capacity"])
def test_padded_steps_are_not_read(dispatch):
    inputs = draw(4, 5, 2)
    mask = np.arange(5) < np.asarray([[5], [3], [1], [2]])
    moe = built(
        inputs,
        RecurrentExpert(3, 3),
        GatingLayer(3, 2),
        dispatch=dispatch,
        eval_capacity_factor=3.0,
    )
    expected = [
        numpy_of(moe(sample[None, :length]))[0]
        for sample, length in zip(inputs, mask.sum(axis=1), strict=True)
    ]
    inputs[~mask] = 1e3
    assert_close(moe(inputs, mask=mask), np.stack(expected))


def test_the_mask_of_an_embedding_goes_through():
    tokens = np.asarray([[3, 1, 2, 0], [4, 2, 0, 0]], "int32")
    symbols = keras.Input((4,), dtype="int32")
    embedded = keras.layers.Embedding(5, 6, mask_zero=True)(symbols)
    moe = MixtureOfExperts(DenseExpert(3, 4), GatingLayer(4, 2))
    mixed = moe(embedded)
    pooled = keras.layers.GlobalAveragePooling1D()(mixed)
    model = randomize(keras.Model(symbols, [embedded, mixed, pooled]))
    embedded, mixed, pooled = map(numpy_of, model(tokens))
    assert_close(mixed, expected_of(moe, embedded, 2, tokens > 0))
    for n in range(2):
        assert_close(pooled[n], mixed[n][tokens[n] > 0].mean(axis=0))


@pytest.mark.parametrize("dispatch", DISPATCHES)
def test_shared_path_is_added(dispatch):
    inputs = draw(6, 5)
    shared = keras.layers.Dense(3)
    moe = built(
        inputs, DenseExpert(3, 4), GatingLayer(4, 2), None, shared, dispatch
    )
    expected = expected_of(moe, inputs) + numpy_of(shared(inputs))
    assert_close(moe(inputs), expected)


def test_a_mask_on_the_inputs_is_read_beside_a_mask_of_experts():
    tokens = np.asarray([[3, 1, 2, 0], [4, 0, 0, 0]], "int32")
    inputs = keras.layers.Embedding(5, 2, mask_zero=True)(tokens)
    moe = built(inputs, RecurrentExpert(3, 3), GatingLayer(3, 2))
    experts = keras.ops.convert_to_tensor([True, True, False])
    expected = moe(
        numpy_of(inputs), mask=tokens > 0, expert_mask=[True, True, False]
    )
    assert_close(moe(inputs, expert_mask=experts), numpy_of(expected))


@pytest.mark.parametrize("dispatch", DISPATCHES)
def test_shared_path_gets_the_mask(dispatch):
    inputs, mask = (
        draw(4, 5, 2),
        np.arange(5) < np.asarray([[5], [3], [1], [2]]),
    )
    shared = keras.layers.GRU(3)
    moe = built(
        inputs, RecurrentExpert(3, 4), GatingLayer(4, 2), None, shared, dispatch
    )
    outputs = numpy_of(moe(inputs, mask=mask))
    for n, length in enumerate(mask.sum(axis=1)):
        alone = moe(inputs[n : n + 1, :length])
        assert_close(outputs[n : n + 1], numpy_of(alone))


@pytest.mark.parametrize("dispatch", DISPATCHES)
def test_any_layer_can_be_the_gate(dispatch):
    inputs = draw(6, 5)
    gate = keras.layers.Dense(3, activation="relu")
    moe = built(inputs, DenseExpert(2, 3), gate, dispatch=dispatch, name="moe")
    with record_gates() as record:
        outputs = moe(inputs)
    gates = numpy_of(gate(inputs))
    assert np.any(gates == 0)
    assert_close(record["moe"], gates)
    assert_close(outputs, oracles.mixture(inputs, gates, functions_of(moe)))


@pytest.mark.parametrize("dispatch", [*DISPATCHES, "capacity"])
def test_a_gate_that_knows_no_mask_routes_padding_nowhere(dispatch):
    inputs, mask = draw(3, 4, 5), np.arange(12).reshape(3, 4) % 3 > 0
    gate = keras.layers.Dense(4, activation="softmax")
    moe = built(
        inputs,
        DenseExpert(3, 4),
        gate,
        dispatch=dispatch,
        eval_capacity_factor=4.0,
        name="moe",
    )
    expected = numpy_of(moe(inputs))
    with record_gates() as record:
        outputs = numpy_of(moe(inputs, mask=mask))
    assert np.all(numpy_of(record["moe"])[~mask] == 0)
    assert_close(outputs, np.where(mask[..., None], expected, 0))


@pytest.mark.parametrize("dispatch", ["dense", "sorted"])
@pytest.mark.parametrize("moe", [None, {"num_experts": 3}])
def test_gates_inside_an_expert_are_not_those_of_the_rows(dispatch, moe):
    inputs = draw(6, 4, 3)
    inner = AttentionExpert(4, 2, 4, num_experts=2, moe=moe)
    gate = GatingLayer(2, top_k=1, level="sample", name="gate")
    mixture = built(inputs, inner, gate, dispatch=dispatch)
    with record_gates() as record:
        mixture(inputs)
    assert {name: tuple(g.shape) for name, g in record.items()} == {
        "gate": (6, 2)
    }
    with record_gates() as record:
        inner(inputs)
    assert len(record) == 2


def test_banks_decide_the_level_of_an_auto_gate():
    for bank, shape in (
        (RecurrentExpert(3, 2), (4, 2)),
        (DenseExpert(3, 2), (4, 5, 2)),
    ):
        inputs = draw(4, 5, 2)
        with record_gates() as record:
            built(inputs, bank, GatingLayer(2, name="gate"))
        assert tuple(record["gate"].shape) == shape


def test_a_fusion_of_ones_own():
    class Largest(WeightedFusion):
        def call(self, inputs):
            *outputs, gates = inputs
            return keras.ops.max(outputs[0] * gates[..., None], axis=-2)

    inputs = draw(6, 5)
    moe = built(inputs, DenseExpert(3, 4), GatingLayer(4), Largest())
    outputs = oracles.run_bank(inputs, functions_of(moe))
    gates = numpy_of(moe.gate(inputs))
    assert_close(moe(inputs), np.max(outputs * gates[..., None], axis=1))


@pytest.mark.parametrize("dispatch", DISPATCHES)
def test_a_single_expert_is_always_chosen(dispatch):
    inputs = draw(6, 5)
    moe = built(inputs, DenseExpert(3), GatingLayer(1, 1), dispatch=dispatch)
    assert_close(moe(inputs), expected_of(moe, inputs))
