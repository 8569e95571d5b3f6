"""DenseExpert, against a loop over rows and experts."""

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from moe_keras.layers import DenseExpert
from tests import oracles, oracles_blocks
from tests.tools import (
    assert_close,
    draw,
    numpy_of,
    random_gates,
    randomize,
    weights_by_name,
)


def built(*inputs, **kwargs):
    layer = DenseExpert(**kwargs)
    layer(*inputs)
    return randomize(layer)


def functions_of(layer):
    """Each expert as a function of one row, by the oracle."""
    weights = weights_by_name(layer)
    suffixes = ["", "_1"] if layer.hidden_units else [""]
    activation = layer.get_config()["activation"]
    last = layer.get_config()["output_activation"]

    def function(e):
        maps = [
            (
                weights[f"kernel{suffix}"][e],
                weights[f"bias{suffix}"][e] if layer.use_bias else None,
            )
            for suffix in suffixes
        ]
        return lambda row: oracles_blocks.feed_forward(
            row, maps, activation, last, layer.gated
        )

    return [function(e) for e in range(layer.num_experts)]


CONFIGS = [
    {"units": 3},
    {"units": 3, "num_experts": 4, "activation": "tanh"},
    {"units": 3, "num_experts": 2, "output_activation": "softmax"},
    {"units": 3, "num_experts": 2, "hidden_units": 6},
    {
        "units": 3,
        "num_experts": 2,
        "hidden_units": 6,
        "activation": "tanh",
        "output_activation": "sigmoid",
        "use_bias": False,
    },
    {
        "units": 3,
        "num_experts": 2,
        "hidden_units": 4,
        "gated": True,
        "activation": "silu",
    },
    {
        "units": 3,
        "num_experts": 2,
        "hidden_units": 4,
        "gated": True,
        "activation": "gelu",
        "output_activation": "tanh",
        "use_bias": False,
    },
]


@pytest.mark.parametrize("leading", [(4,), (2, 3), (2, 2, 3)])
@pytest.mark.parametrize("config", CONFIGS)
def test_outputs_are_those_of_the_loops(config, leading):
    inputs = draw(*leading, 5)
    layer = built(inputs, **config)
    expected = oracles.run_bank(inputs.reshape(-1, 5), functions_of(layer))
    assert_close(layer(inputs), expected.reshape(*leading, *expected.shape[1:]))


@pytest.mark.parametrize("dispatch", ["auto", "dense"])
@pytest.mark.parametrize("config", CONFIGS[1:])
def test_gates_clear_what_is_not_chosen(config, dispatch):
    inputs, num_experts = draw(6, 5), config["num_experts"]
    gates = random_gates((6, num_experts))
    layer = built(inputs, gates, **config)
    expected = oracles.run_bank(inputs, functions_of(layer))
    expected[gates == 0] = 0
    assert_close(layer(inputs, gates, dispatch=dispatch), expected)


@pytest.mark.parametrize("dispatch", ["auto", "dense"])
def test_sample_gates_hand_an_expert_the_whole_sample(dispatch):
    inputs, gates = draw(6, 4, 5), random_gates((6, 3))
    layer = built(inputs, gates, units=2, num_experts=3)
    outputs = numpy_of(layer(inputs, gates, dispatch=dispatch))
    assert outputs.shape == (6, 3, 4, 2)
    assert layer.compute_output_shape((6, 4, 5), (6, 3)) == (6, 3, 4, 2)
    functions = functions_of(layer)
    for n, e in np.ndindex(6, 3):
        rows = [functions[e](row) for row in inputs[n]]
        expected = rows if gates[n, e] else np.zeros((4, 2))
        assert_close(outputs[n, e], expected)


@pytest.mark.parametrize("dispatch", ["auto", "dense"])
def test_position_gates_are_per_position(dispatch):
    inputs, gates = draw(3, 4, 5), random_gates((3, 4, 2))
    layer = built(inputs, gates, units=2, num_experts=2)
    outputs = numpy_of(layer(inputs, gates, dispatch=dispatch))
    functions = functions_of(layer)
    for b, t, e in np.ndindex(3, 4, 2):
        expected = functions[e](inputs[b, t]) if gates[b, t, e] else np.zeros(2)
        assert_close(outputs[b, t, e], expected)


@pytest.mark.parametrize("gated", [False, True])
def test_groups_are_runs_of_sorted_rows(gated):
    rows, sizes = draw(6, 5), np.asarray([2, 0, 4], "int32")
    layer = built(rows, units=3, num_experts=3, hidden_units=4, gated=gated)
    functions = functions_of(layer)
    expected = [
        functions[e](row)
        for row, e in zip(rows, np.repeat([0, 1, 2], sizes), strict=True)
    ]
    assert_close(layer(rows, group_sizes=sizes), np.stack(expected))


@pytest.mark.parametrize("gated", [False, True])
def test_slots_are_one_expert_each(gated):
    slots = draw(3, 2, 4, 5)
    layer = built(slots, units=3, num_experts=3, hidden_units=4, gated=gated)
    functions = functions_of(layer)
    outputs = numpy_of(
        layer.run_slots(keras.ops.convert_to_tensor(slots), None, False)
    )
    for e, c, t in np.ndindex(3, 2, 4):
        assert_close(outputs[e, c, t], functions[e](slots[e, c, t]))


def test_halves_of_a_gated_kernel_are_drawn_as_kernels_of_their_own():
    initializer = keras.initializers.GlorotUniform(seed=1)
    layer = DenseExpert(
        3, 2, hidden_units=64, gated=True, kernel_initializer=initializer
    )
    layer.build((None, 32))
    bank = weights_by_name(layer)["kernel"]
    assert bank.shape == (2, 32, 128)
    limit = np.sqrt(6 / (32 + 64))
    assert np.max(np.abs(bank)) == pytest.approx(limit, rel=0.01)
    draws = [bank[e, :, half] for e in (0, 1) for half in _halves(64)]
    for i, one in enumerate(draws):
        for other in draws[i + 1 :]:
            assert not np.any(one == other)


def _halves(size):
    return slice(0, size), slice(size, None)


def test_a_gated_expert_costs_three_kernels():
    layer = DenseExpert(3, 2, hidden_units=4, gated=True)
    assert layer.count_expert((5,)) == 2 * 5 * 4 + 4 * 3
    assert layer.count_expert((7, 5)) == 7 * (2 * 5 * 4 + 4 * 3)


@given(
    num_rows=st.integers(1, 8),
    num_experts=st.integers(1, 4),
    features=st.integers(1, 4),
    share=st.floats(0, 1),
    seed=st.integers(0, 1000),
)
def test_any_gates_give_the_loops(num_rows, num_experts, features, share, seed):
    inputs = draw(num_rows, features, seed=seed)
    gates = random_gates((num_rows, num_experts), seed, share)
    layer = built(inputs, gates, units=2, num_experts=num_experts)
    expected = oracles.run_bank(inputs, functions_of(layer))
    expected[gates == 0] = 0
    assert_close(layer(inputs, gates), expected)


def test_dropout_acts_in_training_only():
    inputs = np.ones((4, 50), "float32")
    layer = built(inputs, units=3, num_experts=2, dropout=0.5)
    twice = [numpy_of(layer(inputs, training=True)) for _ in range(2)]
    assert np.any(twice[0] != twice[1])
    still = [numpy_of(layer(inputs, training=False)) for _ in range(2)]
    np.testing.assert_array_equal(*still)


def test_regularizer_adds_a_loss_per_kernel_bank():
    layer = built(draw(2, 5), units=3, hidden_units=4, kernel_regularizer="l2")
    weights = weights_by_name(layer)
    total = sum(np.sum(weights[name] ** 2) for name in ("kernel", "kernel_1"))
    losses = sum(float(numpy_of(loss)) for loss in layer.losses)
    assert losses == pytest.approx(0.01 * total, rel=1e-5)


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"units": 0}, "`units` must be an integer above 0. Received: units=0"),
        ({"units": 2, "num_experts": -1}, "`num_experts` must be an integer "
         "above 0. Received: num_experts=-1"),
        ({"units": 2, "hidden_units": 0}, "`hidden_units` must be an integer "
         "above 0, or None. Received: hidden_units=0"),
        ({"units": 2, "gated": True}, "`gated` needs `hidden_units`: the "
         "hidden layer is what is gated. Received: gated=True"),
        ({"units": 2, "dropout": 1.0}, "`dropout` must be in [0, 1). Received: "
         "dropout=1.0"),
    ],
)  # fmt: skip
def test_errors_name_the_argument(kwargs, message):
    with pytest.raises(ValueError, match=r"^DenseExpert: ") as error:
        DenseExpert(**kwargs)
    assert message in str(error.value)


def test_gates_must_have_a_column_per_expert():
    message = "DenseExpert: `gates` must have one column for each of the 3"
    with pytest.raises(ValueError, match=message):
        DenseExpert(2, 3)(draw(4, 5), random_gates((4, 2)))
    layer = built(draw(4, 5), random_gates((4, 3)), units=2, num_experts=3)
    with pytest.raises(ValueError, match=message):
        layer(draw(4, 5), random_gates((4, 2)))


@pytest.mark.parametrize("shape", [(5, 3), (4, 2, 3), (4, 5, 3)])
def test_gates_must_share_the_leading_axes(shape):
    message = "DenseExpert: the leading axes of `gates` must be those of"
    with pytest.raises(ValueError, match=message):
        DenseExpert(2, 3).build((4, 5), shape)


def test_the_biases_of_a_bank_stay_with_their_experts():
    # As many places as experts, one output: (E, 1, 1) looks like a vector.
    bank = DenseExpert(1, 3, activation=None)
    slots = draw(3, 3, 4)
    bank.build((None, 4))
    bank.weights[1].assign(np.array([[1.0], [20.0], [300.0]], "float32"))
    found = numpy_of(bank(slots, dispatch="slots"))
    kernel = numpy_of(bank.weights[0])
    for e, bias in enumerate((1, 20, 300)):
        expected = slots[e] @ kernel[e] + bias
        np.testing.assert_allclose(found[e], expected, atol=1e-4)
