"""AttentionExpert, against the loops of its blocks."""

import numpy as np
import pytest

from moe_keras.layers import AttentionExpert, record_gates
from moe_keras.ops.cost import Cost, count_layer
from tests import oracles, oracles_blocks
from tests.gradients import gradients_of, random_projection
from tests.layers.test_blocks import transformer_of
from tests.tools import (
    BACKEND,
    assert_close,
    draw,
    numpy_of,
    random_gates,
    randomize,
)

MASK = np.arange(5) < np.asarray([[5], [3], [1], [0]])
SPARSE = {"num_experts": 3, "top_k": 2}
CONFIGS = {
    "plain": {"units": 4, "num_heads": 2},
    # Heads that do not divide the width, a map inward, too few positions.
    "odd": {"units": 5, "num_heads": 2, "num_layers": 2, "max_length": 3},
    "sparse": {"units": 4, "num_heads": 1, "moe": SPARSE, "pooling": "max"},
    "projected": {"units": 4, "max_length": 9, "output_units": 2},
}


def built(*inputs, **kwargs):
    layer = AttentionExpert(feed_forward_units=6, **kwargs)
    layer(*inputs)
    return randomize(layer)


def encoded(encoder, sequence, mask):
    """One sequence, by the loops, to its vector."""
    values = sequence * mask[:, None]
    if encoder.inward is not None:
        maps = [numpy_of(weight) for weight in encoder.inward.weights]
        values = np.stack([oracles.dense(row, *maps) for row in values])
    if encoder.max_length is not None:
        table = numpy_of(encoder.positions)
        values = np.stack(
            [
                row + table[min(t, encoder.max_length - 1)]
                for t, row in enumerate(values)
            ]
        )
    for block in encoder.blocks:
        values = transformer_of(block, values, mask)
    if not mask.any():
        return np.zeros(encoder.units)
    gamma, beta = (numpy_of(weight) for weight in encoder.norm.weights)
    normed = [
        oracles_blocks.layer_norm(row, gamma, beta, encoder.norm.epsilon)
        for row, real in zip(values, mask, strict=True)
        if real
    ]
    pool = {"mean": np.mean, "max": np.max}[encoder.pooling]
    return pool(normed, axis=0)


def expected_of(layer, inputs, mask):
    def run(e, sequence, real):
        vector = encoded(layer.split_trunk()[e], sequence, real)
        if layer.output_units is None:
            return vector
        kernel, bias = (
            numpy_of(layer.output_kernel),
            numpy_of(layer.output_bias),
        )
        return oracles.dense(vector, kernel[e], bias[e])

    return np.stack(
        [
            [run(e, row, real) for e in range(layer.num_experts)]
            for row, real in zip(inputs, mask, strict=True)
        ]
    )


# Of one position, Keras' own attention warns.
@pytest.mark.parametrize("steps", [1, 5])
@pytest.mark.parametrize("config", CONFIGS)
def test_outputs_are_those_of_the_loops(config, steps):
    inputs = draw(4, steps, 4)
    layer = built(inputs, num_experts=2, **CONFIGS[config])
    expected = expected_of(layer, inputs, np.ones((4, steps), bool))
    assert_close(layer(inputs), expected)
    assert_close(layer(inputs, mask=np.ones((4, steps), bool)), expected)


@pytest.mark.parametrize("config", CONFIGS)
def test_padding_is_not_read(config):
    inputs = draw(4, 5, 4)
    layer = built(inputs, num_experts=2, **CONFIGS[config])
    expected = expected_of(layer, inputs, MASK)
    inputs[~MASK] = np.nan
    outputs = numpy_of(layer(inputs, mask=MASK))
    assert_close(outputs, expected)
    # More of it changes nothing.
    longer = np.pad(inputs, ((0, 0), (0, 7), (0, 0)))
    mask = np.pad(MASK, ((0, 0), (0, 7)))
    assert_close(layer(longer, mask=mask), outputs)


@pytest.mark.parametrize("config", CONFIGS)
def test_rows_of_nothing_but_padding_have_finite_gradients(config):
    inputs = draw(4, 5, 4)
    layer = built(inputs, num_experts=1, **CONFIGS[config])
    empty = np.zeros_like(MASK)
    for mask in (MASK, empty):
        loss, gradients, first = gradients_of(
            layer, (inputs,), random_projection, mask=mask
        )
        assert np.isfinite(loss)
        assert all(np.all(np.isfinite(g)) for g in gradients if g is not None)
        np.testing.assert_array_equal(first[~mask], 0 * first[~mask])
        assert np.any(first[mask] != 0) == mask.any()


@pytest.mark.parametrize("dispatch", ["auto", "dense"])
@pytest.mark.parametrize("config", ["projected", "sparse"])
def test_gates_clear_what_is_not_chosen(config, dispatch):
    inputs, gates = draw(4, 5, 4), random_gates((4, 3))
    gates[:, 1] = 0  # an expert without rows
    layer = built(inputs, gates, num_experts=3, **CONFIGS[config])
    expected = expected_of(layer, inputs, MASK)
    expected[gates == 0] = 0
    outputs = layer(inputs, gates, mask=MASK, dispatch=dispatch)
    assert_close(outputs, expected)


def test_inner_gates_route_real_positions_and_learn_from_them():
    inputs = draw(4, 5, 4)
    layer = built(inputs, **CONFIGS["sparse"])
    with record_gates() as record:
        layer(inputs, mask=MASK, training=True)
    (gates,) = (numpy_of(gates) for gates in record.values())
    np.testing.assert_array_equal(np.sum(gates > 0, axis=-1), 2 * MASK)
    losses = [float(numpy_of(loss)) for loss in layer.losses]
    assert len(losses) == 2
    # The same without the padding, but for where it stood.
    longer = np.pad(inputs, ((0, 2), (0, 7), (0, 0)), constant_values=9.0)
    layer(longer, mask=np.pad(MASK, ((0, 2), (0, 7))), training=True)
    again = [float(numpy_of(loss)) for loss in layer.losses]
    assert again == pytest.approx(losses, rel=1e-5)


@pytest.mark.skipif(BACKEND == "jax", reason="JAX runs all experts on all rows")
def test_an_expert_without_rows_adds_no_losses():
    inputs, gates = draw(4, 5, 4), np.zeros((4, 2), "float32")
    layer = built(inputs, gates, num_experts=2, **CONFIGS["sparse"])
    layer(inputs, gates, training=True)
    assert [float(numpy_of(loss)) for loss in layer.losses] == [0.0] * len(
        layer.losses
    )


def test_experts_start_different():
    layer = AttentionExpert(4, num_experts=2, max_length=3, output_units=2)
    layer.build((None, 5, 4))
    one, other = (encoder.weights for encoder in layer.split_trunk())
    for a, b in zip(one, other, strict=True):
        if "kernel" in a.name or a.name == "positions":
            assert np.all(numpy_of(a) != numpy_of(b))


@pytest.mark.parametrize("moe", [None, SPARSE, {"num_experts": 4, "top_k": 1}])
@pytest.mark.parametrize("width", [4, 6])
def test_cost_is_that_of_the_blocks(moe, width):
    layer = AttentionExpert(6, 4, 7, 2, num_experts=3, moe=moe, output_units=2)
    layer.build((None, 5, width))
    expected = Cost(0, 0.0)
    for encoder in layer.split_trunk():
        for block in encoder.blocks:
            load = getattr(block.gate, "assumed_load", None)
            expected += count_layer(block, [(None, 5, 6)], load)
        if encoder.inward is not None:
            expected += count_layer(encoder.inward, [(None, 5, width)])
        expected += Cost(12, 12)  # the projection, 6 to 2
    cost = count_layer(layer, [(None, 5, width)])
    assert cost.total == expected.total
    assert cost.active == pytest.approx(expected.active)
    third = count_layer(layer, [(None, 5, width)], [1, 0, 0])
    assert third == Cost(cost.total, cost.active / 3)


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"units": 0}, "`units` must be an integer above 0. Received: units=0"),
        ({"units": 4, "num_heads": 0}, "num_heads=0"),
        ({"units": 4, "num_layers": 0}, "num_layers=0"),
        ({"units": 4, "feed_forward_units": 0}, "feed_forward_units=0"),
        ({"units": 4, "max_length": 0}, "`max_length` must be an integer above "
         "0, or None. Received: max_length=0"),
        ({"units": 4, "pooling": "sum"}, "`pooling` must be one of ('mean', "
         "'max'). Received: pooling='sum'"),
        ({"units": 4, "moe": {"top_k": 1}}, "`moe` must be a dict of "
         "`num_experts` and `top_k`, integers above 0 of which the second is "
         "not the larger, or None. Received: moe={'top_k': 1}"),
        ({"units": 4, "moe": {"num_experts": 1}}, "moe={'num_experts': 1}"),
        ({"units": 4, "moe": {"num_experts": 4, "k": 1}}, "'k': 1}"),
    ],
)  # fmt: skip
def test_errors_name_the_argument(kwargs, message):
    with pytest.raises(ValueError, match=r"^AttentionExpert: ") as error:
        AttentionExpert(**kwargs)
    assert message in str(error.value)


@pytest.mark.parametrize(
    "shapes", [[(None, 5)], [(None, 5, None)], [(None, 5, 2), (None, 5, 1)]]
)
def test_inputs_must_be_sequences(shapes):
    with pytest.raises(ValueError, match="`inputs` must be sequences"):
        AttentionExpert(4).build(*shapes)
