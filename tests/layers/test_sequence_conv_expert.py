"""SequenceConvExpert, against a loop over sequences, experts and windows."""

import keras
import numpy as np
import pytest
from keras import ops

from moe_keras.layers import ExpertBank, SequenceConvExpert
from tests import oracles
from tests.differences import check_against
from tests.gradients import gradients_of, random_projection
from tests.tools import (
    BACKEND,
    assert_close,
    draw,
    numpy_of,
    random_gates,
    randomize,
    weights_by_name,
)

LENGTHS = np.asarray([[5], [3], [1], [0]])
MASK = np.arange(5) < LENGTHS
REDUCED = {"max": np.max, "mean": np.mean}


def built(*inputs, **kwargs):
    layer = SequenceConvExpert(**kwargs)
    layer(*inputs)
    return randomize(layer)


def window_value(sequence, mask, place, kernel):
    """The kernel's product with the window around one position."""
    before = (len(kernel) - 1) // 2
    total = np.zeros(kernel.shape[-1])
    for i, matrix in enumerate(kernel):
        at = place + i - before
        if 0 <= at < len(sequence) and mask[at]:
            total += oracles.dense(sequence[at], matrix)
    return total


def functions_of(layer):
    weights = weights_by_name(layer)
    activation = oracles.ACTIVATIONS[layer.activation.__name__]

    def function(e):
        def run(sequence, mask=None):
            mask = np.ones(len(sequence), bool) if mask is None else mask
            parts = []
            for i in range(len(layer.kernel_sizes)):
                kernel = weights[f"kernel_{i}"][e]
                bias = weights[f"bias_{i}"][e]
                values = [
                    activation(window_value(sequence, mask, t, kernel) + bias)
                    for t in range(len(sequence))
                    if mask[t]
                ]
                empty = np.zeros(layer.filters)
                parts += [
                    REDUCED[name](values, axis=0) if values else empty
                    for name in layer.pooling
                ]
            joined = np.concatenate(parts)
            if layer.output_units is None:
                return joined
            kernel, bias = weights["output_kernel"], weights["output_bias"]
            return oracles.dense(joined, kernel[e], bias[e])

        return run

    return [function(e) for e in range(layer.num_experts)]


def expected_of(layer, inputs, mask):
    return np.stack(
        [
            [function(row, real) for function in functions_of(layer)]
            for row, real in zip(inputs, mask, strict=True)
        ]
    )


CONFIGS = [
    {"filters": 3},
    {"filters": 2, "kernel_sizes": 1, "output_units": 4},
    # Wider than the text is long.
    {"filters": 2, "kernel_sizes": (2, 4, 9), "activation": "tanh"},
    {"filters": 3, "activation": "softmax", "output_units": 2},
    {"filters": 3, "pooling": "mean"},
    {"filters": 2, "kernel_sizes": (1, 4), "pooling": ("mean", "max")},
    {"filters": 2, "pooling": ["max", "mean"], "output_units": 3},
]


@pytest.mark.parametrize("config", CONFIGS)
def test_outputs_are_those_of_the_loops(config):
    inputs = draw(4, 5, 2)
    layer = built(inputs, num_experts=2, **config)
    expected = oracles.run_bank(inputs, functions_of(layer))
    assert_close(layer(inputs), expected)


@pytest.mark.parametrize("config", CONFIGS)
def test_padding_is_not_read(config):
    inputs = draw(4, 5, 2)
    layer = built(inputs, num_experts=2, **config)
    expected = expected_of(layer, inputs, MASK)
    inputs[~MASK] = np.nan
    outputs = numpy_of(layer(inputs, mask=MASK))
    assert_close(outputs, expected)
    if layer.output_units is None:
        np.testing.assert_array_equal(outputs[3], np.zeros_like(outputs[3]))
    # More of it changes nothing.
    longer = np.pad(inputs, ((0, 0), (0, 7), (0, 0)))
    mask = np.pad(MASK, ((0, 0), (0, 7)))
    assert_close(layer(longer, mask=mask), outputs)


@pytest.mark.parametrize("activation", ["tanh", "softmax"])
def test_gradients_are_the_slopes_of_the_loops(activation):
    inputs = draw(4, 5, 2)
    layer = built(
        inputs,
        filters=3,
        num_experts=2,
        kernel_sizes=(2, 3),
        activation=activation,
        output_units=2,
    )
    check_against(
        layer, inputs, lambda x: expected_of(layer, x, MASK), mask=MASK
    )


@pytest.mark.parametrize("mask", [None, MASK])
@pytest.mark.parametrize("config", CONFIGS)
def test_all_at_once_is_one_by_one(config, mask, monkeypatch):
    inputs = draw(4, 5, 2)
    layer = built(inputs, num_experts=3, **config)
    wide = numpy_of(layer(inputs, mask=mask))
    _, slopes, first = gradients_of(
        layer, (inputs,), random_projection, mask=mask
    )
    monkeypatch.setattr(SequenceConvExpert, "run_all", ExpertBank.run_all)
    assert_close(layer(inputs, mask=mask), wide)
    _, expected, of_inputs = gradients_of(
        layer, (inputs,), random_projection, mask=mask
    )
    assert_close(first, of_inputs)
    for one, other in zip(slopes, expected, strict=True):
        assert_close(one, other)


def test_one_convolution_for_each_width(monkeypatch):
    inputs, gates = draw(6, 5, 2), random_gates((6, 3))
    layer = built(inputs, num_experts=3, filters=2)
    calls, convolve = [], ops.conv

    def counting(*args, **kwargs):
        calls.append(args[0].shape[0])
        return convolve(*args, **kwargs)

    monkeypatch.setattr(ops, "conv", counting)
    layer(inputs)
    assert calls == [6, 6, 6]
    calls.clear()
    layer(inputs, gates)
    if BACKEND == "torch":
        rows = np.sum(gates > 0, axis=0)
        assert calls == [count for count in rows for _ in range(3)]


@pytest.mark.parametrize("dispatch", ["auto", "dense"])
def test_gates_clear_what_is_not_chosen(dispatch):
    inputs, gates = draw(4, 5, 2), random_gates((4, 3))
    gates[:, 1] = 0  # an expert without rows
    layer = built(inputs, gates, num_experts=3, filters=2, output_units=2)
    expected = expected_of(layer, inputs, MASK)
    expected[gates == 0] = 0
    outputs = layer(inputs, gates, mask=MASK, dispatch=dispatch)
    assert_close(outputs, expected)


def test_experts_and_widths_start_different():
    initializer = keras.initializers.HeNormal(seed=1)
    layer = SequenceConvExpert(3, 2, (3, 3), kernel_initializer=initializer)
    layer.build((None, 5, 2))
    weights = weights_by_name(layer)
    one, other = weights["kernel_0"], weights["kernel_1"]
    for a, b in ((one[0], one[1]), (one[0], other[0]), (one[1], other[0])):
        assert np.all(a != b)


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"filters": 0}, "`filters` must be an integer above 0. Received: "
         "filters=0"),
        ({"filters": 2, "kernel_sizes": ()}, "`kernel_sizes` must be an "
         "integer above 0 or a sequence of them. Received: kernel_sizes=()"),
        ({"filters": 2, "kernel_sizes": (3, 0)}, "kernel_sizes=(3, 0)"),
        ({"filters": 2, "num_experts": 0}, "num_experts=0"),
        ({"filters": 2, "dropout": 1.0}, "dropout=1.0"),
        ({"filters": 2, "pooling": "sum"}, "`pooling` must be in ('max', "
         "'mean') or a sequence of them. Received: pooling='sum'"),
        ({"filters": 2, "pooling": ()}, "pooling=()"),
        ({"filters": 2, "pooling": ("max", "max")}, "pooling=('max', 'max')"),
    ],
)  # fmt: skip
def test_errors_name_the_argument(kwargs, message):
    with pytest.raises(ValueError, match=r"^SequenceConvExpert: ") as error:
        SequenceConvExpert(**kwargs)
    assert message in str(error.value)


@pytest.mark.parametrize(
    "shapes", [[(None, 5)], [(None, 5, None)], [(None, 5, 2), (None, 5, 1)]]
)
def test_inputs_must_be_sequences(shapes):
    with pytest.raises(ValueError, match="`inputs` must be sequences"):
        SequenceConvExpert(3).build(*shapes)
