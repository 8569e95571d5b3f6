"""Linear, cross and low-rank experts, against loops over rows and experts."""

import keras
import numpy as np
import pytest

from moe_keras.layers import (
    CrossExpert,
    DenseExpert,
    EncodedExperts,
    GatingLayer,
    LinearExpert,
    LowRankExpert,
    MixtureOfExperts,
    TabularEncoding,
)
from moe_keras.ops.cost import count_layer
from moe_keras.zoo import dense_twin
from moe_keras.zoo.presets.architecture import (
    pack_architecture,
    unpack_architecture,
)
from tests import oracles
from tests.differences import check_against, check_differences
from tests.oracles_tabular import (
    cross_functions,
    linear_functions,
    low_rank_functions,
)
from tests.tools import (
    assert_close,
    draw,
    numpy_of,
    random_gates,
    randomize,
    weights_by_name,
)

KINDS = {
    "linear": (
        lambda: LinearExpert(2, 3, [1, 0, -1, 0, 1]),
        linear_functions,
    ),
    "score": (lambda: LinearExpert(1, 3, [1, 0, -1, 0, 1]), linear_functions),
    "classes": (lambda: LinearExpert(4, 3), linear_functions),
    "cross": (lambda: CrossExpert(2, 3), cross_functions),
    "cross_rank": (
        lambda: CrossExpert(2, 3, 3, rank=2, output_activation="tanh"),
        cross_functions,
    ),
    "low_rank": (
        lambda: LowRankExpert(2, 3, (6, 4), "tanh"),
        low_rank_functions,
    ),
    "low_rank_one": (
        lambda: LowRankExpert(2, 3, 6, "tanh", "softmax"),
        low_rank_functions,
    ),
}


def built(kind, *inputs):
    make, functions_of = KINDS[kind]
    layer = make()
    layer(*inputs)
    randomize(layer)
    return layer, functions_of(layer)


@pytest.mark.parametrize("leading", [(4,), (2, 3), (2, 2, 3)])
@pytest.mark.parametrize("kind", KINDS)
def test_outputs_are_those_of_the_loops(kind, leading):
    inputs = draw(*leading, 5)
    layer, functions = built(kind, inputs)
    expected = oracles.run_bank(inputs.reshape(-1, 5), functions)
    assert_close(layer(inputs), expected.reshape(*leading, *expected.shape[1:]))


@pytest.mark.parametrize("dispatch", ["auto", "dense"])
@pytest.mark.parametrize("kind", KINDS)
def test_gates_clear_what_is_not_chosen(kind, dispatch):
    inputs, gates = draw(6, 5), random_gates((6, 3))
    layer, functions = built(kind, inputs, gates)
    expected = oracles.run_bank(inputs, functions)
    expected[gates == 0] = 0
    assert_close(layer(inputs, gates, dispatch=dispatch), expected)


@pytest.mark.parametrize("kind", KINDS)
def test_groups_slots_and_picks(kind):
    inputs = draw(6, 5)
    layer, functions = built(kind, inputs)
    expected = oracles.run_bank(inputs, functions)
    sizes = np.asarray([2, 0, 4], "int32")
    experts = np.repeat([0, 1, 2], sizes)
    rows = np.stack([expected[n, e] for n, e in enumerate(experts)])
    assert_close(layer(inputs, group_sizes=sizes), rows)
    wide = draw(6, 4, 5)
    found = numpy_of(layer(wide, group_sizes=sizes))
    for n, t in np.ndindex(6, 4):
        assert_close(found[n, t], functions[experts[n]](wide[n, t]))
    slots = np.stack([inputs[[e, 3]] for e in range(3)])
    places = [[expected[e, e], expected[3, e]] for e in range(3)]
    assert_close(layer(slots, dispatch="slots"), np.asarray(places))
    for count in (6, 2, 1):  # many choices, and few
        picks = np.stack([np.arange(count) % 3, np.arange(count) // 2], 1)
        chosen = np.take_along_axis(expected[:count], picks[..., None], 1)
        picks = picks.astype("int32")
        assert_close(layer(inputs[:count], experts=picks), chosen)


@pytest.mark.parametrize("kind", ["linear", "cross_rank", "low_rank"])
def test_no_row_and_sample_gates(kind):
    layer, functions = built(kind, draw(4, 5))
    assert numpy_of(layer(draw(0, 5))).shape == (0, 3, 2)
    inputs, gates = draw(4, 2, 5), random_gates((4, 3))
    outputs = numpy_of(layer(inputs, gates))
    assert outputs.shape == (4, 3, 2, 2)
    for n, e, t in np.ndindex(4, 3, 2):
        expected = functions[e](inputs[n, t]) if gates[n, e] else np.zeros(2)
        assert_close(outputs[n, e, t], expected)


@pytest.mark.parametrize("kind", ["linear", "cross", "cross_rank", "low_rank"])
def test_gradients_are_finite_differences(kind, float64):
    layer = KINDS[kind][0]()
    inputs = draw(3, 5, dtype="float64")
    layer(inputs)
    check_differences(randomize(layer), inputs)


@pytest.mark.parametrize("kind", ["score", "cross_rank", "low_rank_one"])
def test_gradients_are_the_slopes_of_the_loops(kind):
    make, functions_of = KINDS[kind]
    layer, inputs = make(), draw(4, 5)
    layer(inputs)
    randomize(layer)

    def oracle(rows):
        return oracles.run_bank(rows, functions_of(layer))

    check_against(layer, inputs, oracle)


@pytest.mark.parametrize("kind", KINDS)
def test_in_a_sparse_mixture_all_dispatches_are_one(kind):
    outputs = []
    for dispatch in ("dense", "sorted", "gather", "capacity"):
        keras.utils.set_random_seed(1)
        moe = MixtureOfExperts(
            KINDS[kind][0](),
            GatingLayer(3, 2),
            dispatch=dispatch,
            eval_capacity_factor=3.0,
        )
        model = keras.Sequential([keras.Input((5,)), moe])
        randomize(model)
        outputs.append(model.predict(draw(12, 5), verbose=0))
    for other in outputs[1:]:
        assert_close(other, outputs[0])


@pytest.mark.parametrize(
    ("layer", "expected"),
    [
        (LinearExpert(2, 3), 3 * 5),
        (LinearExpert(1, 3), 3 * 5),
        (LinearExpert(4, 3), 3 * 5 * 4),
        (CrossExpert(2, 3, 4), 3 * (4 * 25 + 10)),
        (CrossExpert(2, 3, 4, rank=2), 3 * (4 * 20 + 10)),
        (LowRankExpert(2, 3, (6, 7)), 3 * (30 + 42 + 14)),
    ],
)
def test_cost(layer, expected):
    assert count_layer(layer, [(None, 5)]).total == expected
    assert count_layer(layer, [(None, 7, 5)]).total == 7 * expected
    chosen = count_layer(layer, [(None, 5), (None, 3)], [1, 0, 0.5])
    assert chosen.active == expected / 2


def test_factors_begin_as_signs_and_ones():
    layer = LowRankExpert(2, 8, (16, 8))
    layer.build((None, 50))
    weights = weights_by_name(layer)
    signs = weights.pop("inner_0")
    assert set(np.unique(signs)) == {-1, 1}
    assert 0.4 < np.mean(signs > 0) < 0.6
    assert np.all(np.any(signs[:1] != signs[1:], axis=1))
    for name in ("outer_0", "inner_1", "outer_1"):
        assert np.all(weights[name] == 1)
    # Eight experts are little more than one.
    one = LowRankExpert(2, 1, (16, 8))
    one.build((None, 50))
    assert layer.count_params() < 8 * one.count_params() / 2


def test_a_cross_network_holds_products():
    layer = CrossExpert(1, num_layers=1)
    layer.build((None, 2))
    weights = {weight.name: weight for weight in layer.weights}
    weights["kernel_0"].assign([[[0.0, 0.0], [1.0, 0.0]]])
    weights["output_kernel"].assign([[[1.0], [0.0]]])
    rows = np.asarray([[2, 3], [-1, 4]], "float32")
    # x_0 (x_0 W) + x_0, of whose first entry the output is.
    assert_close(layer(rows)[:, 0, 0], [2 * 3 + 2, -1 * 4 - 1])


def test_kernels_are_drawn_apart():
    initializer = keras.initializers.GlorotUniform(seed=1)
    layer = CrossExpert(5, 2, 2, rank=5, kernel_initializer=initializer)
    layer.build((None, 5))
    draws = [one for name, bank in weights_by_name(layer).items()
             if "kernel" in name for one in bank]  # fmt: skip
    for i, one in enumerate(draws):
        assert all(not np.any(one == other) for other in draws[i + 1 :])


@pytest.mark.parametrize("kind", ["cross_rank", "low_rank"])
def test_dropout_acts_in_training_only(kind):
    make = {"cross_rank": CrossExpert, "low_rank": LowRankExpert}[kind]
    layer, inputs = make(2, 2, dropout=0.5), draw(6, 8)
    once, again = (numpy_of(layer(inputs, training=True)) for _ in range(2))
    assert np.any(once != again)
    assert_close(layer(inputs), numpy_of(layer(inputs, training=False)))


@pytest.mark.parametrize("bank", ["low", "cross", "dense"])
def test_twins_of_a_mixture(bank):
    inputs = keras.Input((3,))
    experts = [
        LowRankExpert(2, 4, (8, 8), name="low"),
        CrossExpert(2, 2, rank=2, name="cross"),
        DenseExpert(2, 1, hidden_units=4, name="dense"),
        LinearExpert(2, 1, name="linear"),
    ]
    layer = EncodedExperts(experts, TabularEncoding([None, 3, None], 4))
    moe = MixtureOfExperts(layer, GatingLayer(8))
    model = keras.Model(inputs, moe(inputs))
    twin = dense_twin(model, "parameters", bank)
    ratio = twin.count_params() / model.count_params()
    assert 0.7 < ratio < 1.4
    assert layer.find("linear").num_experts == 1
    content = pack_architecture(model, "test")
    loaded = unpack_architecture(content, "file", "test")
    assert loaded.count_params() == model.count_params()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: LinearExpert(0), "LinearExpert: `output_units` must be an "
         "integer above 0. Received: output_units=0"),
        (lambda: LinearExpert(signs=[2]), "LinearExpert: `signs` must be "
         "entries of -1, 0 or 1, or None. Received: signs=[2]"),
        (lambda: LinearExpert(3, signs=[1]), "LinearExpert: `signs` must be 0 "
         "or None for more than two classes. Received: signs=[1], output_"),
        (lambda: LinearExpert(initial=0), "LinearExpert: `initial` must be a "
         "finite number above 0. Received: initial=0"),
        (lambda: LinearExpert(signs=[1]).build((None, 2)), "`signs` must have "
         "an entry for each of the 2 features. Received: signs=1"),
        (lambda: LinearExpert().coefficients(), "`coefficients` needs a layer "
         "that is built. Received: built=False"),
        (lambda: CrossExpert(2, num_layers=0), "CrossExpert: `num_layers` must "
         "be an integer above 0. Received: num_layers=0"),
        (lambda: CrossExpert(2, rank=0), "CrossExpert: `rank` must be an "
         "integer above 0, or None. Received: rank=0"),
        (lambda: CrossExpert(2, dropout=1), "Received: dropout=1"),
        (lambda: LowRankExpert(2, hidden_units=()), "LowRankExpert: "
         "`hidden_units` must be an integer above 0 or a sequence of them. "
         "Received: hidden_units=()"),
        (lambda: LowRankExpert(2, hidden_units=0), "hidden_units=0"),
        (lambda: LowRankExpert(0), "output_units=0"),
    ],
)  # fmt: skip
def test_errors_name_the_argument(make, message):
    with pytest.raises(ValueError, match=r"Expert: ") as error:
        make()
    assert message in str(error.value)
