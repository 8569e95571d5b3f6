"""Uniform, hash, expert choice and hierarchical gates, against the loops."""

import keras
import numpy as np
import pytest

from moe_keras.layers import (
    DenseExpert,
    EmbeddedExperts,
    ExpertChoiceGating,
    GatingLayer,
    HashGating,
    HierarchicalGating,
    MixtureOfExperts,
    SequenceConvExpert,
    UniformGating,
    record_gates,
)
from tests import oracles, oracles_gating
from tests.layers.test_dense_expert import functions_of
from tests.tools import (
    assert_close,
    draw,
    numpy_of,
    randomize,
    weights_by_name,
)

MASK = np.arange(12).reshape(3, 4) % 3 > 0


def built(layer, inputs):
    layer(inputs)
    return randomize(layer)


@pytest.mark.parametrize("shape", [(6, 5), (3, 4, 5), (3, 2, 2, 5)])
def test_uniform_gates_are_the_same_for_all_rows(shape):
    leading = shape[:1] if len(shape) == 4 else shape[:-1]
    gates = UniformGating(4)(draw(*shape))
    assert_close(gates, np.full((*leading, 4), 0.25))
    gates = UniformGating(4, [1, 0, 2, 5], level="sample")(draw(*shape))
    expected = np.broadcast_to([1 / 8, 0, 2 / 8, 5 / 8], (shape[0], 4))
    assert_close(gates, expected)


def test_uniform_choices_are_the_weights_above_zero():
    assert (UniformGating(4).choices, UniformGating(4).is_sparse) == (4, False)
    gate = UniformGating(4, [1, 0, 2, 5])
    assert (gate.choices, gate.is_sparse) == (3, True)


def test_uniform_gates_leave_padding_out():
    gates = numpy_of(UniformGating(2)(draw(3, 4, 5), mask=MASK))
    assert_close(gates, 0.5 * np.stack([MASK, MASK], axis=-1))


@pytest.mark.parametrize("dtype", ["int32", "uint8", "bool", "float16"])
def test_uniform_gates_of_identifiers(dtype):
    ids = (np.arange(12).reshape(3, 4) % 5).astype(dtype)
    layer = UniformGating(3, [1, 0, 3], level="sample")
    gates = layer(ids)
    assert keras.backend.standardize_dtype(gates.dtype) == "float32"
    expected = np.broadcast_to([0.25, 0, 0.75], (3, 3))
    assert_close(gates, expected)
    served = layer(ids, expert_mask=np.array([True, True, False]))
    assert_close(served, np.broadcast_to([1.0, 0, 0], (3, 3)))


@pytest.mark.parametrize("dtype", ["int32", "float32"])
def test_uniform_gates_where_the_last_axis_is_open(dtype):
    inputs = keras.Input((None,), dtype=dtype)
    outputs = UniformGating(2, [3, 1], level="sample")(inputs)
    assert tuple(outputs.shape) == (None, 2)
    model = keras.Model(inputs, outputs)
    for length in (1, 4):
        rows = np.full((5, length), 7, dtype)
        expected = np.broadcast_to([0.75, 0.25], (5, 2))
        assert_close(model(rows), expected)
        assert_close(model.predict(rows, verbose=0), expected)


def test_uniform_gates_do_not_read_the_values():
    rows = np.array([[np.nan, 1.0], [np.inf, -np.inf], [3e38, 3e38]], "float32")
    assert_close(UniformGating(2)(rows), np.full((3, 2), 0.5))


def test_a_plain_average_of_readers_of_identifiers():
    bank = EmbeddedExperts(
        SequenceConvExpert(3, 2, 2, output_units=2),
        vocabulary_size=9,
        embedding_dim=4,
    )
    gate = UniformGating(2, level="sample")
    inputs = keras.Input((None,), dtype="int32")
    model = keras.Model(inputs, MixtureOfExperts(bank, gate)(inputs))
    randomize(model)
    ids = (np.arange(15).reshape(3, 5) % 9).astype("int32")
    assert_close(model(ids), numpy_of(bank(ids)).mean(axis=1))


@pytest.mark.parametrize("capacity_factor", [0.4, 1.0, 1.7, 3.0])
@pytest.mark.parametrize("shape", [(7, 5), (3, 4, 5)])
def test_expert_choice_gates_are_those_of_the_loops(shape, capacity_factor):
    inputs = 2 * draw(*shape)
    layer = built(ExpertChoiceGating(3, capacity_factor), inputs)
    rows = inputs.reshape(-1, 5)
    logits = rows @ weights_by_name(layer)["kernel"]
    expected = oracles_gating.expert_choice(logits, capacity_factor)
    assert_close(layer(inputs), expected.reshape(*shape[:-1], 3))
    if len(shape) == 3:
        expected = oracles_gating.expert_choice(
            logits, capacity_factor, MASK.reshape(-1)
        )
        inputs[~MASK] = 50.0
        gates = layer(inputs, mask=MASK)
        assert_close(gates, expected.reshape(*shape[:-1], 3))


def test_expert_choice_load_is_even_and_ties_go_to_the_earlier_row():
    layer = ExpertChoiceGating(4, 2.0)
    layer.build((None, 3))
    layer.kernel.assign(np.zeros((3, 4)))
    gates = numpy_of(layer(draw(8, 3)))
    expected = np.repeat([[0.25], [0]], [4, 4], axis=0) * np.ones(4)
    np.testing.assert_array_equal(gates, expected)
    assert (layer.choices, layer.is_sparse) == (4, True)
    assert not ExpertChoiceGating(4, 4.0).is_sparse


@pytest.mark.parametrize(
    ("num_experts", "capacity_factor"), [(2, 1.2), (3, 0.6), (5, 4.8)]
)
def test_whole_numbers_of_places_are_not_rounded_up(
    num_experts, capacity_factor
):
    inputs = draw(25, 5)
    layer = built(ExpertChoiceGating(num_experts, capacity_factor), inputs)
    taken = np.sum(numpy_of(layer(inputs)) > 0, axis=0)
    places = round(25 * capacity_factor / num_experts)
    np.testing.assert_array_equal(taken, [places] * num_experts)


def test_expert_choice_of_nothing_but_padding():
    layer = built(ExpertChoiceGating(3), draw(4, 5))
    gates = layer(draw(4, 5), mask=np.zeros(4, bool))
    assert_close(gates, np.zeros((4, 3)))


@pytest.mark.parametrize(
    ("top_groups", "top_k"), [(None, None), (1, 2), (2, 1), (2, None), (1, 1)]
)
@pytest.mark.parametrize("shape", [(6, 5), (3, 4, 5)])
def test_hierarchical_gates_are_those_of_the_loops(shape, top_groups, top_k):
    inputs = 2 * draw(*shape)
    layer = built(HierarchicalGating(3, 2, top_groups, top_k), inputs)
    weights = weights_by_name(layer)
    rows = inputs.reshape(-1, 5)
    outer = rows @ weights["group_kernel"]
    inner = (rows @ weights["kernel"]).reshape(-1, 3, 2)
    expected = oracles_gating.hierarchical(outer, inner, top_groups, top_k)
    gates = layer(inputs)
    assert_close(gates, expected.reshape(*shape[:-1], 6))
    most = np.max(np.sum(numpy_of(gates) > 0, axis=-1))
    assert layer.choices == most
    assert layer.is_sparse == (most < 6)


def test_hierarchical_losses():
    inputs = draw(3, 4, 5)
    layer = built(
        HierarchicalGating(3, 2, 2, 1, balance_loss=0.5, z_loss=0.25), inputs
    )
    layer(inputs, mask=MASK, training=True)
    switch, z = (float(numpy_of(loss)) for loss in layer.losses)
    weights, real = weights_by_name(layer), MASK.reshape(-1)
    rows = inputs.reshape(-1, 5)
    outer = rows @ weights["group_kernel"]
    inner = (rows @ weights["kernel"]).reshape(-1, 3, 2)
    shares = oracles_gating.hierarchical(outer, inner)
    chosen = oracles_gating.hierarchical(outer, inner, 2, 1) > 0
    assert switch == pytest.approx(
        0.5 * oracles_gating.switch_balance(shares, chosen, real), rel=1e-4
    )
    within = oracles.z_loss(inner.reshape(-1, 2), np.repeat(real, 3))
    expected = 0.25 * (oracles.z_loss(outer, real) + within)
    assert z == pytest.approx(expected, rel=1e-4)
    layer(inputs)
    assert layer.losses == []
    everyone = HierarchicalGating(3, 2)
    everyone(inputs, training=True)
    assert everyone.losses == []


@pytest.mark.parametrize("seed", [None, 3, "generator"])
def test_hierarchical_kernels_start_different(seed):
    if seed == "generator":
        seed = keras.random.SeedGenerator(3)
    initializer = keras.initializers.GlorotUniform(seed=seed)
    layer = HierarchicalGating(3, 1, kernel_initializer=initializer)
    layer.build((None, 5))
    kernel, group = numpy_of(layer.kernel), numpy_of(layer.group_kernel)
    assert np.all(kernel != group)


GATES = {
    "uniform": lambda: UniformGating(4),
    "weighted": lambda: UniformGating(4, [2, 0, 1, 0]),
    "hash": lambda: HashGating(4, column=0),
    "expert_choice": lambda: ExpertChoiceGating(4, 1.5),
    "hierarchical": lambda: HierarchicalGating(2, 2, 1, 1),
    "top_p": lambda: GatingLayer(4, top_p=0.6),
    "sigmoid": lambda: GatingLayer(4, 2, activation="sigmoid"),
    "load_bias": lambda: GatingLayer(4, 2, load_bias=1e-3),
    "cosine": lambda: GatingLayer(4, 2, scores="cosine", score_units=3),
}


@pytest.mark.parametrize("kind", GATES)
def test_mixtures_agree_under_both_dispatches(kind):
    inputs = draw(3, 4, 5)
    inputs[..., 0] = np.arange(12).reshape(3, 4)
    gate, bank = GATES[kind](), DenseExpert(3, 4)
    outputs = []
    for dispatch in ("dense", "sorted"):
        moe = MixtureOfExperts(bank, gate, dispatch=dispatch)
        if not outputs:
            moe(inputs)
            randomize(moe)
        with record_gates() as record:
            outputs.append(numpy_of(moe(inputs, mask=MASK)))
        ((name, gates),) = record.items()
        assert name == gate.name
    gates = numpy_of(gates).reshape(-1, 4)
    assert np.max(np.sum(gates > 0, axis=-1)) <= gate.choices
    expected = oracles.mixture(inputs.reshape(-1, 5), gates, functions_of(bank))
    for result in outputs:
        assert_close(result.reshape(-1, 3), expected)


@pytest.mark.parametrize("kind", GATES)
def test_padding_has_no_gates_and_no_influence(kind):
    inputs = draw(3, 4, 5)
    inputs[..., 0] = np.arange(12).reshape(3, 4)
    gate = built(GATES[kind](), inputs)
    padded = inputs.copy()
    padded[~MASK] = np.nan
    gates = numpy_of(gate(inputs, mask=MASK))
    assert_close(gate(padded, mask=MASK), gates)
    assert np.all(gates[~MASK] == 0)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: UniformGating(3, [1, 2]), "UniformGating: `weights` must be "
         "one number for each expert, none of them negative and not all 0, or "
         "None. Received: weights=[1, 2], num_experts=3"),
        (lambda: UniformGating(2, [1, -1]), "Received: weights=[1, -1]"),
        (lambda: UniformGating(2, [0, 0]), "Received: weights=[0, 0]"),
        (lambda: UniformGating(2, [1, float("inf")]), "weights=[1, inf]"),
        (lambda: UniformGating(2, []), "Received: weights=[]"),
        (lambda: UniformGating(0), "UniformGating: `num_experts` must be"),
        (lambda: HashGating(70000), "HashGating: `num_experts` must be at most "
         "65638. Received: num_experts=70000"),
        (lambda: HashGating(2, column=1.0), "HashGating: `column` must be an "
         "integer or None. Received: column=1.0"),
        (lambda: HashGating(2, salt="a"), "HashGating: `salt` must be an "
         "integer. Received: salt='a'"),
        (lambda: HashGating(2, column=5)(draw(2, 5)), "HashGating: `column` "
         "must be one of the features. Received: column=5, input_shape=(2, 5)"),
        (lambda: HashGating(2, column=0).build((None, None)), "HashGating: "
         "`inputs` must be (..., D) with a known D."),
        (lambda: HashGating(2)(draw(2, 5)), "HashGating: `inputs` must be of "
         "an integer dtype, or `column` must be given. Received: "
         "dtype='float32', column=None"),
        (lambda: ExpertChoiceGating(2, 2.5), "ExpertChoiceGating: "
         "`capacity_factor` must be above 0 and at most `num_experts`. "
         "Received: capacity_factor=2.5, num_experts=2"),
        (lambda: ExpertChoiceGating(2, 0), "Received: capacity_factor=0, "),
        (lambda: HierarchicalGating(0, 2), "HierarchicalGating: `groups` must "
         "be an integer above 0. Received: groups=0"),
        (lambda: HierarchicalGating(2, 1.5), "HierarchicalGating: "
         "`experts_per_group` must be an integer above 0. Received: "
         "experts_per_group=1.5"),
        (lambda: HierarchicalGating(2, 3, 3), "HierarchicalGating: `top_groups`"
         " must be an integer in 1..groups, or None. Received: top_groups=3, "
         "groups=2"),
        (lambda: HierarchicalGating(2, 3, 1, 4), "HierarchicalGating: `top_k` "
         "must be an integer in 1..experts_per_group, or None. Received: "
         "top_k=4, experts_per_group=3"),
        (lambda: HierarchicalGating(2, 3, z_loss=-1), "HierarchicalGating: "
         "`z_loss` must not be negative. Received: z_loss=-1"),
        (lambda: HierarchicalGating(2, 3, balance_loss=-1), "`balance_loss` "
         "must not be negative."),
    ],
)  # fmt: skip
def test_errors_name_the_argument(make, message):
    with pytest.raises(ValueError, match="Received: ") as error:
        make()
    assert message in str(error.value)
