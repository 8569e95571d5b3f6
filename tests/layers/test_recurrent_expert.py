"""RecurrentExpert, against a loop over sequences, experts and steps."""

import keras
import numpy as np
import pytest

from moe_keras.layers import RecurrentExpert
from tests import oracles
from tests.tools import assert_close, draw, numpy_of, random_gates, randomize


def built(*inputs, **kwargs):
    layer = RecurrentExpert(**kwargs)
    layer(*inputs)
    return randomize(layer)


def expert_weights(layer, e):
    """Those of one network: kernel, recurrent kernel and bias, per way."""
    return [numpy_of(w) for w in layer.split_trunk()[e].weights]


def projection_of(layer, e):
    if layer.output_units is None:
        return None
    return numpy_of(layer.output_kernel)[e], numpy_of(layer.output_bias)[e]


def gru_functions(layer):
    def function(e):
        weights, projection = expert_weights(layer, e), projection_of(layer, e)

        def run(sequence, mask=None):
            sequence = sequence.reshape(len(sequence), -1)
            state = oracles.gru(sequence, *weights[:3], mask)
            if layer.bidirectional:
                back = None if mask is None else mask[::-1]
                last = oracles.gru(sequence[::-1], *weights[3:], back)
                state = np.concatenate([state, last])
            if projection is None:
                return state
            return oracles.dense(state, *projection)

        return run

    return [function(e) for e in range(layer.num_experts)]


CONFIGS = [
    {"units": 3},
    {"units": 3, "output_units": 4},
    {"units": 3, "bidirectional": True, "output_units": 2},
]


@pytest.mark.parametrize("shape", [(4, 5, 2), (4, 5, 3, 2)])
@pytest.mark.parametrize("config", CONFIGS)
def test_gru_is_that_of_the_loops(config, shape):
    inputs = draw(*shape)
    layer = built(inputs, num_experts=2, **config)
    expected = oracles.run_bank(inputs, gru_functions(layer))
    assert_close(layer(inputs), expected)


def test_lstm_is_that_of_keras():
    inputs = draw(4, 5, 2)
    layer = built(inputs, units=3, num_experts=2, cell="lstm")
    for e in range(2):
        twin = keras.layers.LSTM(3)
        twin.build(inputs.shape)
        twin.set_weights(expert_weights(layer, e))
        assert_close(layer(inputs)[:, e], numpy_of(twin(inputs)))


@pytest.mark.parametrize("dispatch", ["auto", "dense"])
def test_gates_clear_what_is_not_chosen(dispatch):
    inputs, gates = draw(6, 4, 2), random_gates((6, 3))
    gates[:, 1] = 0  # an expert without rows
    layer = built(inputs, gates, units=3, num_experts=3, output_units=2)
    expected = oracles.run_bank(inputs, gru_functions(layer))
    expected[gates == 0] = 0
    assert_close(layer(inputs, gates, dispatch=dispatch), expected)


@pytest.mark.parametrize("dispatch", ["auto", "dense"])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_masked_steps_are_passed_over(bidirectional, dispatch):
    inputs, gates = draw(4, 5, 2), random_gates((4, 2), share=0.2)
    mask = np.arange(5) < np.asarray([[5], [3], [1], [2]])
    layer = built(
        inputs, gates, units=3, num_experts=2, bidirectional=bidirectional
    )
    inputs[~mask] = 1e3  # what must not be read
    outputs = numpy_of(layer(inputs, gates, mask=mask, dispatch=dispatch))
    functions = gru_functions(layer)
    for n, e in np.ndindex(4, 2):
        expected = functions[e](inputs[n], mask[n])
        expected = expected if gates[n, e] else np.zeros_like(expected)
        assert_close(outputs[n, e], expected)


def test_the_mask_of_an_embedding_is_used():
    tokens = np.asarray([[3, 1, 2, 0, 0], [4, 2, 0, 0, 0]], "int32")
    embedding = keras.layers.Embedding(5, 2, mask_zero=True)
    symbols = keras.Input((5,), dtype="int32")
    layer = RecurrentExpert(3, 2)
    model = keras.Model(symbols, layer(embedding(symbols)))
    randomize(model)
    table = numpy_of(embedding.embeddings)
    outputs = numpy_of(model(tokens))
    functions = gru_functions(layer)
    for n, e in np.ndindex(2, 2):
        expected = functions[e](table[tokens[n]], tokens[n] > 0)
        assert_close(outputs[n, e], expected)


def test_output_activation_is_last():
    inputs = draw(3, 4, 2)
    layer = built(inputs, units=3, output_units=4, output_activation="softmax")
    assert_close(np.sum(numpy_of(layer(inputs)), axis=-1), np.ones((3, 1)))


def test_experts_start_different():
    layer = RecurrentExpert(3, 2)
    layer.build((None, 4, 2))
    for one, other in zip(
        expert_weights(layer, 0)[:2], expert_weights(layer, 1)[:2], strict=True
    ):
        assert np.all(one != other)


def test_length_may_be_unknown():
    symbols = keras.Input((None, 2))
    layer = RecurrentExpert(3, 2)
    model = keras.Model(symbols, layer(symbols))
    assert model.output_shape == (None, 2, 3)
    for steps in (2, 5):
        inputs = draw(3, steps, 2)
        expected = oracles.run_bank(inputs, gru_functions(layer))
        assert_close(model(inputs), expected)


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"units": 0}, "`units` must be an integer above 0. Received: units=0"),
        ({"units": 2, "cell": "rnn"}, "`cell` must be one of ('gru', 'lstm'). "
         "Received: cell='rnn'"),
        ({"units": 2, "num_experts": 0}, "`num_experts` must be an integer "
         "above 0. Received: num_experts=0"),
        ({"units": 2, "dropout": 1}, "`dropout` must be in [0, 1). Received: "
         "dropout=1"),
        ({"units": 2, "output_units": 1.5}, "`output_units` must be an integer "
         "above 0, or None. Received: output_units=1.5"),
    ],
)  # fmt: skip
def test_errors_name_the_argument(kwargs, message):
    with pytest.raises(ValueError, match=r"^RecurrentExpert: ") as error:
        RecurrentExpert(**kwargs)
    assert message in str(error.value)


@pytest.mark.parametrize(
    "shapes",
    [
        [(None, 5)],
        [(None, 5, None)],
        [(None, 5, 2), (None, 5, 1)],
    ],
)
def test_inputs_must_be_sequences(shapes):
    with pytest.raises(ValueError, match="`inputs` must be sequences"):
        RecurrentExpert(3).build(*shapes)
