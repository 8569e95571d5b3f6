"""EncodedExperts: inner banks on what an encoding makes of rows."""

import keras
import numpy as np
import pytest

from moe_keras.layers import (
    DenseExpert,
    EncodedExperts,
    FeatureGating,
    GatingLayer,
    LogitFusion,
    MixtureOfExperts,
    ModelExpert,
    SequenceConvExpert,
    TabularEncoding,
)
from moe_keras.ops.cost import Cost, count_layer
from moe_keras.zoo import dense_twin
from tests import oracles
from tests.gradients import gradients_of, random_projection
from tests.layers import test_dense_expert
from tests.layers.preprocessing import test_tabular_encoding
from tests.tools import (
    BACKEND,
    assert_close,
    learn_inputs,
    not_jax,
    numpy_of,
    random_gates,
    randomize,
)

ROWS = test_tabular_encoding.table(30)
LEVELS = test_tabular_encoding.LEVELS


def inner_banks():
    return [
        DenseExpert(2, 2, activation="tanh", name="plain"),
        DenseExpert(2, 1, hidden_units=3, activation="tanh", name="deep"),
    ]


def encoding(**kwargs):
    return TabularEncoding(LEVELS, 4, name="encoding", **kwargs)


def built(*inputs, experts=None, **kwargs):
    layer = EncodedExperts(experts or inner_banks(), encoding(**kwargs))
    layer(*inputs)
    return learn_inputs(randomize(layer), ROWS)


def expected_of(layer, rows=ROWS):
    """The loops of the inner banks, on the loops of the encoding."""
    features = test_tabular_encoding.expected_of(layer.encoding, rows)
    functions = [
        function
        for bank in layer.experts
        for function in test_dense_expert.functions_of(bank)
    ]
    return oracles.run_bank(features, functions)


@pytest.mark.parametrize("numbers", ["pieces", "steps"])
def test_rows_are_encoded_for_all_banks(numbers):
    layer = built(ROWS, numbers=numbers)
    assert layer.num_experts == 3
    assert_close(layer(ROWS), expected_of(layer))
    hostile = test_tabular_encoding.HOSTILE
    assert_close(layer(hostile), expected_of(layer, hostile))


@pytest.mark.parametrize("dispatch", ["auto", "dense"])
def test_gates_clear_what_is_not_chosen(dispatch):
    gates = random_gates((30, 3))
    gates[:, 1] = 0  # an expert without rows
    layer = built(ROWS, gates)
    expected = expected_of(layer)
    expected[gates == 0] = 0
    assert_close(layer(ROWS, gates, dispatch=dispatch), expected)


def test_groups_and_slots():
    layer = built(ROWS)
    expected = expected_of(layer)
    sizes = np.asarray([10, 0, 20], "int32")
    experts = np.repeat([0, 1, 2], sizes)
    rows = np.stack([expected[n, e] for n, e in enumerate(experts)])
    assert_close(layer(ROWS, group_sizes=sizes), rows)
    slots = np.stack([ROWS[[e, 3]] for e in range(3)])
    places = [[expected[e, e], expected[3, e]] for e in range(3)]
    assert_close(layer(slots, dispatch="slots"), np.asarray(places))


def test_one_bank_can_be_picked():
    assert not built(ROWS).can_pick
    layer = built(ROWS, experts=DenseExpert(2, 3))
    assert layer.can_pick
    picks = np.stack([np.arange(30) % 3, np.arange(30) // 10], 1)
    expected = np.take_along_axis(expected_of(layer), picks[..., None], axis=1)
    assert_close(layer(ROWS, experts=picks.astype("int32")), expected)


class Counted(TabularEncoding):
    """Remembers how many rows it has been called on."""

    def call(self, inputs):
        self.rows = inputs.shape[0]
        return super().call(inputs)


@not_jax
def test_only_chosen_rows_are_encoded():
    gates = np.zeros((30, 3), "float32")
    gates[4, 0] = gates[4, 2] = gates[7, 2] = 1
    counted = Counted(LEVELS, 4)
    layer = EncodedExperts(inner_banks(), counted)
    layer(ROWS, gates)
    assert counted.rows == 3
    layer(ROWS)
    assert counted.rows == 30


def mixture(dispatch="auto", top_k=2, experts=None):
    gate = FeatureGating(
        TabularEncoding(LEVELS, 4, columns=[0, 1]), GatingLayer(3, top_k)
    )
    bank = EncodedExperts(experts or inner_banks(), encoding())
    moe = MixtureOfExperts(
        bank,
        gate,
        LogitFusion(),
        dispatch=dispatch,
        eval_capacity_factor=3.0,
    )
    model = keras.Sequential([keras.Input((5,)), moe])
    randomize(model)
    return learn_inputs(model, ROWS), moe


@pytest.mark.parametrize("dispatch", ["auto", "sorted", "capacity"])
def test_in_a_mixture_with_a_sparse_gate(dispatch):
    if dispatch == "sorted" and BACKEND == "jax":
        pytest.skip("JAX wants the sizes of the groups when it compiles")
    model, moe = mixture(dispatch)
    gates = numpy_of(moe.gate(ROWS))
    assert np.all(np.sum(gates > 0, axis=1) == 2)
    logits = expected_of(moe.experts[0])
    shares = np.exp(logits) / np.sum(np.exp(logits), axis=-1, keepdims=True)
    pooled = np.log(np.sum(gates[..., None] * shares, axis=1))
    assert_close(model.predict(ROWS, verbose=0), pooled)


def test_a_sparse_mixture_of_one_bank_is_served_and_learns(tmp_path):
    model, _ = mixture(experts=DenseExpert(2, 3, activation=None))
    labels = (np.nan_to_num(ROWS[:, 0]) > 40).astype("int32")
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(0.1), loss)
    history = model.fit(ROWS, labels, epochs=15, verbose=0).history["loss"]
    assert history[-1] < 0.5 * history[0]
    expected = model.predict(ROWS, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert_close(loaded.predict(ROWS, verbose=0), expected)


def test_a_mixture_in_half_precision_reads_rows_as_they_are():
    keras.config.set_dtype_policy("mixed_bfloat16")
    rows = np.asarray([[100_000], [100_001]] * 4, "float32")
    steps = TabularEncoding([None], 2, "steps")
    steps.adapt(rows)
    bank = EncodedExperts(DenseExpert(2, 1, activation=None), steps)
    plain = DenseExpert(2, 1)
    moe = MixtureOfExperts([bank, plain], GatingLayer(2, name="gate"))
    moe(rows)
    randomize(moe)
    # One of the banks reads rows that are cast; both rows are one to it.
    outputs = [
        numpy_of(keras.ops.cast(b(rows), "float32")) for b in moe.experts
    ]
    assert np.any(outputs[0][0] != outputs[0][1])
    np.testing.assert_array_equal(outputs[1][0], outputs[1][1])
    plain.trainable_weights[0].assign(np.zeros((1, 1, 2)))
    moe.gate.kernel.assign(np.zeros((1, 2)))
    fused = numpy_of(keras.ops.cast(moe(rows), "float32"))
    assert np.any(fused[0] != fused[1])


def test_gradients_do_not_meet_what_is_missing():
    layer = built(test_tabular_encoding.HOSTILE)
    _, gradients, first = gradients_of(
        layer, (test_tabular_encoding.HOSTILE,), random_projection
    )
    assert all(np.all(np.isfinite(gradient)) for gradient in gradients)
    assert np.all(np.isfinite(first))


def test_cost_is_that_of_the_encoding_and_the_inner_banks():
    plain, deep = inner_banks()
    layer = EncodedExperts([plain, deep], encoding())
    features = layer.encoding.compute_output_shape((None, 5))[-1]
    parts = [count_layer(bank, [(None, features)]) for bank in (plain, deep)]
    pieces = 4 * 4
    both = parts[0] + parts[1] + Cost(pieces, pieces)
    assert count_layer(layer, [(None, 5)]) == both
    chosen = count_layer(layer, [(None, 5), (None, 3)], [0.5, 0.5, 1])
    assert chosen.active == 2 * pieces + parts[0].active / 2 + parts[1].active
    assert chosen.total == 2 * pieces + parts[0].total + parts[1].total
    assert chosen.active <= chosen.total


def test_twins_and_parts_keep_the_edges():
    model, moe = mixture()
    bank = moe.experts[0]
    edges = bank.encoding.edges_of(0)
    found = bank.find("deep")
    assert [one.name for one in found.experts] == ["deep"]
    assert found.experts[0] is not bank.experts[1]
    np.testing.assert_array_equal(found.encoding.edges_of(0), edges)
    assert bank.find(bank.name) is bank
    assert bank.find("other") is None
    twin = dense_twin(model, bank="deep")
    (inner,) = [
        layer
        for layer in twin._flatten_layers()
        if isinstance(layer, EncodedExperts)
    ]
    assert inner.experts[0].hidden_units > 3
    np.testing.assert_array_equal(inner.encoding.edges_of(0), edges)


def test_a_frozen_inner_bank_stays_frozen():
    plain, deep = inner_banks()
    deep.trainable = False
    layer = EncodedExperts([plain, deep], encoding())
    layer(ROWS)
    assert deep.trainable_weights == []
    assert len(layer.trainable_weights) == len(plain.trainable_weights)
    twin = EncodedExperts.from_config(layer.get_config())
    twin(ROWS)
    assert len(twin.trainable_weights) == len(layer.trainable_weights)
    assert "num_experts" not in layer.get_config()


def test_a_given_model_reads_the_features():
    given = keras.Sequential([keras.Input((24,)), keras.layers.Dense(2)])
    layer = EncodedExperts(ModelExpert(given), encoding())
    assert layer.reads_samples
    layer(ROWS)
    learn_inputs(layer, ROWS)
    features = numpy_of(layer.encoding(ROWS))
    assert_close(layer(ROWS), numpy_of(given(features))[:, None])


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (([], 9), "`experts` must be one or more banks"),
        ((3, 9), "`experts` must be one or more banks, such as DenseExpert(64, "
         "num_experts=4); a model"),
        ((DenseExpert(3), 9), "`encoding` must be a Keras layer, such as "
         "TabularEncoding. Received: encoding=9"),
    ],
)  # fmt: skip
def test_errors_name_the_argument(args, message):
    with pytest.raises(ValueError, match=r"^EncodedExperts: ") as error:
        EncodedExperts(*args)
    assert message in str(error.value)


def test_inner_banks_must_read_features():
    layer = EncodedExperts(SequenceConvExpert(3), encoding())
    with pytest.raises(ValueError, match="SequenceConvExpert: `inputs` must"):
        layer.build((None, 5))
