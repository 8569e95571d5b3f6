"""FeatureGating: a gate behind features, alone and in a mixture of texts."""

import keras
import numpy as np
import pytest
from keras import ops

from moe_keras.layers import (
    DenseExpert,
    ExpertChoiceGating,
    FeatureGating,
    GatingLayer,
    HashGating,
    LogitFusion,
    MixtureOfExperts,
    NGramExpert,
    RecurrentExpert,
    TextFeatures,
    record_gates,
)
from moe_keras.layers.gates_record import record_picks
from moe_keras.ops.cost import count_layer, count_multiply_adds
from tests import oracles_gating, oracles_text
from tests.layers.test_ngram_expert import expected_logits, texts
from tests.tools import (
    BACKEND,
    assert_close,
    draw,
    know_ngrams,
    numpy_of,
    randomize,
)

DISPATCHES = ["dense", "sorted", "capacity"]


def text_gate(num_experts=3, top_k=None, **kwargs):
    return FeatureGating(
        TextFeatures(50, 5), GatingLayer(num_experts, top_k), **kwargs
    )


def expected_gates(gate, ids, **kwargs):
    table = numpy_of(gate.features.embeddings)
    features = np.stack(
        [oracles_text.text_features(text, table, 2) for text in ids]
    )
    logits = features @ numpy_of(gate.gate.kernel)
    return oracles_gating.gates(logits, **kwargs)


def built(layer, *inputs):
    layer(*inputs)
    return know_ngrams(randomize(layer, scale=2.0), inputs[0])


@pytest.mark.parametrize("top_k", [None, 2, 1])
def test_gates_are_those_of_the_loops(top_k):
    ids = texts()
    gate = built(text_gate(top_k=top_k), ids)
    assert_close(gate(ids), expected_gates(gate, ids, top_k=top_k))


def test_what_the_gate_says_of_itself():
    inner = GatingLayer(5, top_k=1, level="sample")
    gate = FeatureGating(keras.layers.Dense(3), inner)
    for name in (
        "num_experts",
        "top_k",
        "level",
        "choices",
        "is_sparse",
        "learns_by_scale",
        "assumed_load",
        "couples_rows",
    ):
        assert getattr(gate, name) == getattr(inner, name), name
    assert gate.learns_by_scale
    choice = FeatureGating(keras.layers.Dense(3), ExpertChoiceGating(4, 2.0))
    assert choice.couples_rows
    assert choice.choices == choice.gate.choices
    hashed = FeatureGating(TextFeatures(9, 1), HashGating(4, column=0))
    assert not hashed.learns_by_scale


def test_records_show_the_gates_once():
    ids = texts()
    gate = built(text_gate(top_k=2, name="router"), ids)
    with record_gates() as record, record_picks() as picks:
        gates = numpy_of(gate(ids))
    assert list(record) == ["router"]
    assert_close(record["router"], gates)
    (found,) = picks
    experts, _ = map(numpy_of, found)
    assert experts.shape == (12, 2)
    assert (np.take_along_axis(gates, experts, -1) > 0).all()


def test_gates_inside_the_features_pick_nothing_for_the_mixture():
    inputs = draw(6, 5)
    gate = FeatureGating(GatingLayer(4, top_k=3), GatingLayer(4, top_k=2))
    layer = MixtureOfExperts(DenseExpert(3, 4), gate, dispatch="sorted")
    outputs = numpy_of(built(layer, inputs)(inputs))
    with record_picks() as picks:
        gate(inputs)
    assert len(picks) == 1
    layer.dispatch = "dense"
    assert_close(layer(inputs), outputs)


def test_a_mask_goes_as_far_as_its_positions():
    inputs, mask = draw(3, 4, 5), np.arange(4) < np.asarray([[4], [2], [1]])
    dense = keras.layers.Dense(3)
    # One gate per position: padding has gates of 0.
    gate = FeatureGating(dense, GatingLayer(2, level="position"))
    gates = numpy_of(gate(inputs, mask=mask))
    np.testing.assert_array_equal(gates.sum(axis=-1) > 0, mask)
    # One per sample: padding is not in the mean.
    gate = FeatureGating(dense, GatingLayer(2, level="sample"))
    spoiled = np.where(mask[..., None], inputs, 50.0).astype("float32")
    assert_close(gate(spoiled, mask=mask), numpy_of(gate(inputs, mask=mask)))
    # Features of whole texts have read it themselves.
    ids = texts()
    mask = np.random.default_rng(2).uniform(size=ids.shape) < 0.7
    gate = built(text_gate(), ids)
    assert_close(gate(ids, mask=mask), expected_gates(gate, ids * mask))


def test_experts_out_of_service():
    ids, serving = texts(), np.asarray([True, False, True])
    gate = built(text_gate(top_k=2), ids)
    gates = numpy_of(gate(ids, expert_mask=serving))
    table = numpy_of(gate.gate.kernel)
    gate.gate.kernel.assign(np.where(serving, table, 0))
    expected = expected_gates(gate, ids)[:, serving]
    expected = expected / expected.sum(axis=-1, keepdims=True)
    assert_close(gates[:, serving], expected)
    np.testing.assert_array_equal(gates[:, 1], 0)


def test_training_reaches_the_features():
    # Dropout acts in training only, and so do the losses of the gate.
    features = keras.Sequential([keras.layers.Dropout(0.5, seed=1)])
    gate = FeatureGating(features, GatingLayer(3, top_k=1))
    inputs = draw(8, 5)
    still = numpy_of(gate(inputs, training=False))
    assert gate.losses == []
    moved = numpy_of(gate(inputs, training=True))
    assert len(gate.losses) == 2
    assert np.abs(moved - still).max() > 1e-3


def test_experts_that_read_samples_have_one_gate_per_sample():
    gate = FeatureGating(keras.layers.Dense(3), GatingLayer(2))
    assert gate.compute_output_shape((None, 4, 5)) == (None, 4, 2)
    layer = MixtureOfExperts(RecurrentExpert(3, 2), gate)
    assert gate.compute_output_shape((None, 4, 5)) == (None, 2)
    assert numpy_of(layer(draw(6, 4, 5))).shape == (6, 3)


def test_cost_is_that_of_both():
    gate = text_gate(4, top_k=2)
    ids = keras.Input((7,), dtype="int32")
    cost = count_multiply_adds(keras.Model(ids, gate(ids)))
    assert cost.total == cost.active == (7 + 6) * 5 + 8 * 4
    assert count_layer(gate, [(None, 7)]).total == cost.total


def mixture(top_k=1, dispatch="auto", pool="logarithmic"):
    return MixtureOfExperts(
        [
            NGramExpert(2, 1, 300),
            NGramExpert(2, 2, 60, 2, span=-3),
        ],
        text_gate(top_k=top_k, name="router"),
        LogitFusion(pool),
        dispatch=dispatch,
        capacity_factor=3.0,
        eval_capacity_factor=3.0,
    )


def expected_mixture(layer, ids, gates):
    rows = []
    for text, weights in zip(ids, gates, strict=True):
        logits = []
        for bank in layer.experts:
            for expert in range(bank.num_experts):
                logits.append(expected_logits(bank, expert, text))
        pooled = weights @ np.stack(logits)
        rows.append(pooled - np.log(np.exp(pooled).sum()))
    return np.stack(rows)


@pytest.mark.parametrize("dispatch", DISPATCHES)
@pytest.mark.parametrize("top_k", [1, 2])
def test_a_sparse_mixture_of_texts(top_k, dispatch):
    ids = texts(30)
    layer = built(mixture(top_k, dispatch), ids)
    gates = expected_gates(layer.gate, ids, top_k=top_k)
    assert (gates > 0).any(axis=0).sum() >= 2
    with record_gates() as record:
        outputs = layer(ids)
    assert list(record) == ["router"]
    assert_close(outputs, expected_mixture(layer, ids, gates))
    # An expert less, for the whole mixture.
    serving = np.asarray([True, False, True])
    gates = numpy_of(layer.gate(ids, expert_mask=serving))
    assert (gates[:, 1] == 0).all()
    assert_close(
        layer(ids, expert_mask=serving), expected_mixture(layer, ids, gates)
    )


@pytest.mark.filterwarnings("ignore:Explicitly requested dtype:UserWarning")
def test_identifiers_of_64_bits():
    ids = texts()
    layer = built(mixture(2), ids)
    wide = ops.convert_to_tensor(ids.astype("int64"))
    assert_close(layer(wide), numpy_of(layer(ids)))


def test_a_mixture_of_texts_is_trained(tmp_path):
    ids = texts(96, seed=5)
    labels = (ids[:, 0] > 4).astype("int32")
    inputs = keras.Input((7,), dtype="int32")
    moe = mixture(2, pool="linear")
    model = keras.Model(inputs, moe(inputs))
    for bank in moe.experts:
        bank.adapt(ids, labels, min_texts=1)
    model.compile(
        keras.optimizers.Adam(0.2),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    before = model.evaluate(ids, labels, verbose=0)
    kernel = numpy_of(moe.gate.gate.kernel).copy()
    log = model.fit(ids, labels, epochs=4, verbose=0).history
    assert model.evaluate(ids, labels, verbose=0) < 0.8 * before
    assert np.abs(numpy_of(moe.gate.gate.kernel) - kernel).max() > 1e-3
    load = numpy_of(moe.stats.load)
    assert np.ptp(load) > 0
    if BACKEND != "jax":
        assert any(name.endswith("max_load") for name in log)
    for bank in moe.experts:
        bank.fold()
    expected = numpy_of(model(ops.convert_to_tensor(ids)))
    path = str(tmp_path / "model.keras")
    model.save(path)
    loaded = keras.saving.load_model(path)
    assert_close(loaded.predict(ids, verbose=0), expected)


@pytest.mark.parametrize(
    ("features", "gate", "message"),
    [
        (None, GatingLayer(2), "`features` must be a Keras layer. Received: "
         "features=None"),
        (TextFeatures(9), keras.layers.Dense(2), "`gate` must be a Gate, such "
         "as GatingLayer. Received: gate=<Dense"),
    ],
)  # fmt: skip
def test_errors_name_the_argument(features, gate, message):
    with pytest.raises(ValueError, match=r"^FeatureGating: ") as error:
        FeatureGating(features, gate)
    assert message in str(error.value)
