"""MoEFeedForward and MoETransformerBlock against the loops."""

import keras
import numpy as np
import pytest

from moe_keras.layers import (
    GatingLayer,
    MixtureOfExperts,
    MoEFeedForward,
    MoETransformerBlock,
    record_gates,
)
from moe_keras.ops.cost import count_multiply_adds
from tests import oracles, oracles_blocks
from tests.layers.test_dense_expert import functions_of
from tests.tools import (
    assert_close,
    draw,
    numpy_of,
    only_tensorflow,
    randomize,
)

DISPATCHES = ["dense", "sorted"]


def built(layer, inputs):
    layer(inputs)
    return randomize(layer)


def feed_forward_of(layer, rows, mask=None):
    """The loops, row by row, with the gates of the router's kernel."""
    gates = np.ones((len(rows), 1))
    if layer.num_experts > 1:
        logits = rows @ numpy_of(layer.gate.kernel)
        gates = oracles.softmax_gates(logits, layer.gate.top_k)
    if mask is not None:
        gates[~mask] = 0
    (bank,) = layer.mixture.experts
    results = oracles.mixture(rows, gates, functions_of(bank))
    if layer.shared_units is not None:
        (shared,) = functions_of(layer._shared)
        results += np.stack([shared(row) for row in rows])
    if layer.residual:
        results += rows @ numpy_of(layer._linear.kernel)
    return results


CONFIGS = {
    "plain": {},
    "swiglu": {"activation": "silu", "gated": True, "use_bias": False},
    "shared": {"shared_units": 6, "top_k": 1},
    "all": {
        "activation": "silu",
        "gated": True,
        "shared_units": 3,
        "residual": True,
        "top_k": None,
    },
}


@pytest.mark.parametrize("dispatch", DISPATCHES)
@pytest.mark.parametrize("leading", [(6,), (2, 3), (2, 2, 2)])
@pytest.mark.parametrize("config", CONFIGS)
def test_feed_forward_is_the_loops(config, leading, dispatch):
    inputs = draw(*leading, 5)
    layer = MoEFeedForward(4, 7, dispatch=dispatch, **CONFIGS[config])
    built(layer, inputs)
    expected = feed_forward_of(layer, inputs.reshape(-1, 5))
    assert_close(layer(inputs), expected.reshape(inputs.shape))


@pytest.mark.parametrize("dispatch", DISPATCHES)
def test_padding_reaches_no_expert(dispatch):
    inputs, mask = draw(2, 4, 5), np.arange(8).reshape(2, 4) % 3 > 0
    layer = MoEFeedForward(4, 7, residual=True, dispatch=dispatch)
    built(layer, inputs)
    expected = feed_forward_of(layer, inputs.reshape(-1, 5), mask.reshape(-1))
    with record_gates() as record:
        outputs = layer(inputs, mask=mask)
    (gates,) = map(numpy_of, record.values())
    assert gates.shape == (2, 4, 4)
    np.testing.assert_array_equal(np.sum(gates > 0, axis=-1), 2 * mask)
    assert_close(outputs, expected.reshape(inputs.shape))


def test_a_gate_of_ones_own():
    inputs = draw(6, 5)
    gate = GatingLayer(4, top_k=3, name="router")
    layer = built(MoEFeedForward(4, 7, gate=gate), inputs)
    assert layer.gate is gate
    assert_close(layer(inputs), feed_forward_of(layer, inputs))
    twin = MoEFeedForward.from_config(layer.get_config())
    assert (twin.gate.name, twin.gate.top_k) == ("router", 3)
    assert MoEFeedForward(4, 7).get_config()["gate"] is None
    # Keras names no two layers alike, so that gates can be told apart.
    one, two = MoEFeedForward(4, 7), MoEFeedForward(4, 7)
    assert one.gate.name != two.gate.name


def transformer_of(layer, sample, mask=None):
    """One sequence `(T, D)`, by the loops."""
    length = len(sample)
    real = np.ones(length, bool) if mask is None else mask
    seen = [
        [s for s in range(length) if real[s] and (s <= t or not layer.causal)]
        or list(range(length))
        for t in range(length)
    ]

    def norm(part, rows):
        gamma, beta = map(numpy_of, part.weights)
        return np.stack(
            [
                oracles_blocks.layer_norm(row, gamma, beta, layer.epsilon)
                for row in rows
            ]
        )

    attention = layer.attention
    parts = [
        tuple(map(numpy_of, part.weights))
        for part in (
            attention._query_dense,
            attention._key_dense,
            attention._value_dense,
            attention._output_dense,
        )
    ]
    normed = norm(layer.attention_norm, sample)
    values = sample + oracles_blocks.self_attention(normed, *parts, seen)
    return values + feed_forward_of(
        layer.feed_forward, norm(layer.feed_forward_norm, values), mask
    )


@pytest.mark.parametrize("dispatch", DISPATCHES)
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("causal", [False, True])
def test_transformer_block_is_the_loops(causal, masked, dispatch):
    inputs = draw(2, 4, 5)
    mask = np.arange(4) < np.asarray([[4], [2]]) if masked else None
    layer = MoETransformerBlock(
        2, 3, 4, 6, shared_units=3, causal=causal, dispatch=dispatch
    )
    built(layer, inputs)
    outputs = numpy_of(layer(inputs, mask=mask))
    for n in range(2):
        expected = transformer_of(
            layer, inputs[n], None if mask is None else mask[n]
        )
        real = slice(None) if mask is None else mask[n]
        assert_close(outputs[n][real], expected[real], atol=1e-4)
    if masked:
        # What padding holds does not matter to the others.
        inputs[~mask] = 30.0
        again = numpy_of(layer(inputs, mask=mask))
        assert_close(again[mask], outputs[mask])


def test_a_causal_block_does_not_see_what_comes():
    inputs = draw(2, 6, 5)
    layer = built(MoETransformerBlock(2, 3, 4, 6, causal=True), inputs)
    before = numpy_of(layer(inputs))
    inputs[:, 4:] = 9.0
    after = numpy_of(layer(inputs))
    assert_close(after[:, :4], before[:, :4])
    assert np.any(np.abs(after[:, 4:] - before[:, 4:]) > 1e-2)


def test_the_mask_of_an_embedding_goes_through():
    tokens = np.asarray([[3, 1, 2, 0], [4, 2, 0, 0]], "int32")
    symbols = keras.Input((None,), dtype="int32")
    embedded = keras.layers.Embedding(5, 6, mask_zero=True)(symbols)
    block = MoETransformerBlock(2, 3, 4, 5)
    mixed = block(embedded)
    assert mixed.shape == (None, None, 6)
    pooled = keras.layers.GlobalAveragePooling1D()(mixed)
    model = randomize(keras.Model(symbols, [embedded, mixed, pooled]))
    embedded, mixed, pooled = map(numpy_of, model(tokens))
    for n in range(2):
        real = tokens[n] > 0
        expected = transformer_of(block, embedded[n], real)[real]
        assert_close(mixed[n][real], expected, atol=1e-4)
        assert_close(pooled[n], np.mean(expected, axis=0), atol=1e-4)


@pytest.mark.parametrize("carried", [False, True])
def test_padding_reaches_no_expert_of_a_transformer(carried):
    tokens = np.asarray([[3, 1, 2, 0], [4, 0, 0, 0]], "int32")
    inputs = keras.layers.Embedding(5, 5, mask_zero=True)(tokens)
    layer = built(MoETransformerBlock(2, 3, 4, 6), inputs)
    with record_gates() as record:
        # Beside another tensor Keras does not hand on what inputs carry.
        experts = keras.ops.ones((4,), dtype="bool")
        given = {} if carried else {"mask": keras.ops.not_equal(tokens, 0)}
        layer(inputs, expert_mask=experts, **given)
    gates = numpy_of(record[layer.gate.name])
    np.testing.assert_array_equal(np.sum(gates > 0, axis=-1), 2 * (tokens > 0))


# A path is alone where the last maps of the others are zeros. Of attention only
# the last bias is left, on which its own dropout has no effect.
@pytest.mark.parametrize(
    ("make", "alone"),
    [
        (lambda: MoEFeedForward(3, 8, shared_units=8, dropout=0.5), "experts"),
        (lambda: MoEFeedForward(3, 8, shared_units=8, dropout=0.5), "shared"),
        (lambda: MoETransformerBlock(2, 3, 3, 8, dropout=0.5), "experts"),
        (lambda: MoETransformerBlock(2, 3, 3, 8, dropout=0.5), "attention"),
    ],
)
def test_dropout_acts_in_training_only(make, alone):
    inputs = draw(2, 4, 5)
    layer = built(make(), inputs)
    for weight in layer.weights:
        *_, owner, name = weight.path.split("/")
        last = owner == "attention_output" or name in ("kernel_1", "bias_1")
        kept = f"/{alone}/" in weight.path and name != "kernel"
        if last and not kept:
            weight.assign(np.zeros(weight.shape))
    one, two = (numpy_of(layer(inputs, training=True)) for _ in range(2))
    assert np.any(one != two)
    one, two = (numpy_of(layer(inputs, training=False)) for _ in range(2))
    np.testing.assert_array_equal(one, two)


def test_balance_losses_come_with_a_sparse_gate():
    inputs = draw(2, 4, 5)
    layer = built(MoETransformerBlock(2, 3, 4, 6), inputs)
    layer(inputs, training=True)
    assert len(layer.losses) == 2
    layer(inputs, training=False)
    assert layer.losses == []


def test_it_learns_in_fit():
    inputs = draw(32, 4, 5)
    labels = (inputs[:, 0, 0] > 0).astype("int32")
    symbols = keras.Input((None, 5))
    mixed = MoETransformerBlock(2, 4, 4, 8)(symbols)
    pooled = keras.layers.GlobalAveragePooling1D()(mixed)
    model = keras.Model(symbols, keras.layers.Dense(2)(pooled))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(0.02), loss)
    losses = model.fit(inputs, labels, epochs=8, verbose=0).history["loss"]
    assert losses[-1] < 0.8 * losses[0]


def test_costs_are_the_products():
    symbols = keras.Input((7, 5))
    block = MoETransformerBlock(
        2, 3, 4, 6, gated=True, shared_units=8, name="block"
    )
    feed = MoEFeedForward(4, 6, residual=True, name="feed")
    cost = count_multiply_adds(keras.Model(symbols, feed(block(symbols))))
    attention = 7 * 4 * 5 * 2 * 3 + 7 * 7 * 2 * (3 + 3)
    one, shared, gate = 6 * (2 * 5 + 5), 8 * (2 * 5 + 5), 5 * 4
    fixed = attention + 7 * (gate + shared)
    assert cost.layers["block"].total == fixed + 7 * 4 * (one + 5)
    assert cost.layers["block"].active == fixed + 7 * 2 * (one + 5)
    plain = 6 * (5 + 5)
    fixed = 7 * (gate + 5 * 5)
    assert cost.layers["feed"].total == fixed + 7 * 4 * (plain + 5)
    assert cost.layers["feed"].active == fixed + 7 * 2 * (plain + 5)
    # A measured load is found by the layer's name.
    load = {"feed": [1, 0, 0, 0]}
    again = count_multiply_adds(
        keras.Model(symbols, feed(symbols)), expert_load=load
    )
    assert again.active == fixed + 7 * (plain + 5)


@only_tensorflow
def test_saved_model_of_any_length(tmp_path):
    import tensorflow as tf

    from moe_keras.export import export_saved_model

    symbols = keras.Input((None, 5), name="x")
    model = keras.Model(
        symbols, MoETransformerBlock(2, 3, 4, 6, causal=True)(symbols)
    )
    for dispatch in DISPATCHES:
        export_saved_model(model, tmp_path / dispatch, dispatch=dispatch)
        artefact = tf.saved_model.load(str(tmp_path / dispatch))
        x = draw(3, 6, 5)
        result = artefact.signatures["explain"](x=tf.constant(x))
        assert_close(result["outputs"], numpy_of(model(x)))
        assert tuple(result["gates"].shape) == (3, 6, 4)
    mixtures = [
        layer
        for layer in model._flatten_layers()
        if isinstance(layer, MixtureOfExperts)
    ]
    assert [mixture.dispatch for mixture in mixtures] == ["auto"]
