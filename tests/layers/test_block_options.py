"""What the blocks hand on to the mixture in them, and their errors."""

import keras
import numpy as np
import pytest

from moe_keras.layers import (
    AttentionFusion,
    GatingLayer,
    MoEFeedForward,
    MoETransformerBlock,
    WeightedFusion,
)
from tests import oracles, oracles_blocks, oracles_gating
from tests.layers.test_blocks import built
from tests.layers.test_dense_expert import functions_of
from tests.tools import (
    BACKEND,
    assert_close,
    draw,
    not_jax,
    numpy_of,
    weights_by_name,
)

IN_SERVICE = np.asarray([True, False, True, True])
BLOCKS = {
    "feed_forward": lambda **kwargs: MoEFeedForward(4, 6, **kwargs),
    "transformer": lambda **kwargs: MoETransformerBlock(2, 3, 4, 6, **kwargs),
}


def mixture_of(block):
    return getattr(block, "feed_forward", block).mixture


@pytest.mark.parametrize("kind", BLOCKS)
def test_the_mixture_gets_what_the_block_was_given(kind):
    given = {
        "dispatch": "capacity",
        "capacity_factor": 0.5,
        "eval_capacity_factor": 0.75,
        "batch_priority": True,
        "overflow": "error",
    }
    fusion = WeightedFusion(drop_non_finite=True)
    block = BLOCKS[kind](**given, expert_dropout=0.25, fusion=fusion)
    block.build((None, 3, 5))
    mixture = mixture_of(block)
    assert {name: getattr(mixture, name) for name in given} == given
    assert mixture.fusion is fusion
    assert block.gate.expert_dropout == 0.25
    twin = type(block).from_config(block.get_config())
    twin.build((None, 3, 5))
    assert mixture_of(twin).fusion.drop_non_finite
    assert twin.gate.expert_dropout == 0.25


@pytest.mark.parametrize("dispatch", ["dense", "sorted", "gather", "capacity"])
def test_an_expert_out_of_service(dispatch):
    inputs = draw(6, 5)
    layer = MoEFeedForward(
        4, 6, shared_units=3, dispatch=dispatch, eval_capacity_factor=2.0
    )
    built(layer, inputs)
    logits = inputs @ numpy_of(layer.gate.kernel)
    gates = oracles_gating.gates(logits, IN_SERVICE, top_k=2)
    (bank,) = layer.mixture.experts
    expected = oracles.mixture(inputs, gates, functions_of(bank))
    # The shared expert is always in service.
    (shared,) = functions_of(layer._shared)
    expected += np.stack([shared(row) for row in inputs])
    assert_close(layer(inputs, expert_mask=IN_SERVICE), expected)


def test_an_expert_out_of_service_in_a_transformer():
    inputs = draw(2, 3, 5)
    block = built(BLOCKS["transformer"](), inputs)
    expected = numpy_of(block(inputs, expert_mask=IN_SERVICE))
    assert np.any(np.abs(expected - numpy_of(block(inputs))) > 1e-3)
    # What that expert holds does not matter.
    for weight in mixture_of(block).experts[0].weights:
        values = numpy_of(weight).copy()
        values[~IN_SERVICE] = np.nan
        weight.assign(values)
    assert_close(block(inputs, expert_mask=IN_SERVICE), expected)


def test_another_fusion():
    inputs = draw(6, 5)
    layer = built(MoEFeedForward(4, 6, fusion=AttentionFusion(3)), inputs)
    gates = oracles.softmax_gates(inputs @ numpy_of(layer.gate.kernel), 2)
    functions = functions_of(layer.mixture.experts[0])
    weights = weights_by_name(layer.fusion)
    expected = [
        oracles_blocks.attention(
            np.stack([function(row) for function in functions]),
            of_row,
            weights["key_kernel"],
            weights["query_kernel"],
        )
        for row, of_row in zip(inputs, gates, strict=True)
    ]
    assert_close(layer(inputs), np.stack(expected))


def test_experts_leave_the_training_at_random():
    inputs = draw(6, 5)
    layer = MoEFeedForward(4, 6, top_k=None, expert_dropout=0.7)
    built(layer, inputs)
    outputs = [numpy_of(layer(inputs, training=True)) for _ in range(6)]
    assert any(np.any(outputs[0] != other) for other in outputs[1:])
    assert_close(layer(inputs), numpy_of(layer(inputs)), atol=0, rtol=0)


def test_capacity_drops_where_there_is_no_room():
    inputs = np.repeat(draw(1, 5), 4, axis=0)
    layer = MoEFeedForward(
        4, 6, 1, dispatch="capacity", eval_capacity_factor=1.0
    )
    outputs = numpy_of(built(layer, inputs)(inputs))
    # One place for four rows that all ask for the same expert.
    assert np.any(outputs[0] != 0)
    np.testing.assert_array_equal(outputs[1:], np.zeros((3, 5)))
    layer = MoEFeedForward(
        4,
        6,
        1,
        dispatch="capacity",
        eval_capacity_factor=1.0,
        overflow="error",
    )
    with pytest.raises(Exception, match="dropped for want of capacity"):
        layer(inputs)


def test_the_initializer_is_that_of_the_experts():
    initializer = keras.initializers.RandomNormal(stddev=0.1, seed=3)
    layer = MoEFeedForward(3, 5, shared_units=5, kernel_initializer=initializer)
    layer.build((None, 5))
    bank, shared = layer.mixture.experts[0], layer._shared
    kernels = [*numpy_of(bank.weights[0]), *numpy_of(shared.weights[0])]
    expected = numpy_of(initializer((5, 5), dtype="float32"))
    assert_close(kernels[0], expected)
    # The shared expert has a draw of its own, too.
    for one in range(4):
        for other in range(one):
            assert np.all(kernels[one] != kernels[other])
    block = BLOCKS["transformer"](kernel_initializer="ones")
    block.build((None, 3, 5))
    assert np.all(numpy_of(mixture_of(block).experts[0].weights[0]) == 1)


def test_expert_dropout_is_of_the_gate_that_is_made_here():
    for make in BLOCKS.values():
        with pytest.raises(ValueError, match="give it to the `gate`") as error:
            make(gate=GatingLayer(4, name="router"), expert_dropout=0.5)
        assert "Received: expert_dropout=0.5, gate=<Gating" in str(error.value)
        with pytest.raises(ValueError, match="`expert_dropout` must be in"):
            make(expert_dropout=1.0)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: MoEFeedForward(0, 4), "MoEFeedForward: `num_experts` must be "
         "an integer above 0. Received: num_experts=0"),
        (lambda: MoEFeedForward(4, 0), "MoEFeedForward: `hidden_units` must be "
         "an integer above 0. Received: hidden_units=0"),
        (lambda: MoEFeedForward(4, 4, shared_units=0), "MoEFeedForward: "
         "`shared_units` must be an integer above 0. Received: shared_units=0"),
        (lambda: MoEFeedForward(4, 4, dropout=1.0), "MoEFeedForward: `dropout` "
         "must be in [0, 1). Received: dropout=1.0"),
        (lambda: MoEFeedForward(4, 4).build((None, None)), "MoEFeedForward: "
         "`inputs` must be (..., D) with a known D. Received: "
         "input_shape=(None, None)"),
        (lambda: MoEFeedForward(4, 4, capacity_factor=0), "MoEFeedForward: "
         "capacity factors must be numbers of at least 0.01. Received: "
         "capacity_factor=0, eval_capacity_factor=2.0"),
        (lambda: MoEFeedForward(4, 4, overflow="drop"), "MoEFeedForward: "
         "`overflow` must be one of ('report', 'error'). Received: "
         "overflow='drop'"),
        (lambda: MoEFeedForward(4, 4, fusion="sum"), "MoEFeedForward: `fusion` "
         "must be a Keras layer, such as WeightedFusion(), or None. Received: "
         "fusion='sum'"),
        (lambda: MoETransformerBlock(0, 3, 4, 5), "MoETransformerBlock: "
         "`num_heads` must be an integer above 0. Received: num_heads=0"),
        (lambda: MoETransformerBlock(2, 0, 4, 5), "MoETransformerBlock: "
         "`key_dim` must be an integer above 0. Received: key_dim=0"),
        (lambda: MoETransformerBlock(2, 3, 4, 5, dropout=-1), "MoETransformer"
         "Block: `dropout` must be in [0, 1). Received: dropout=-1"),
        (lambda: MoETransformerBlock(2, 3, 4, 5, epsilon=0.0), "MoETransformer"
         "Block: `epsilon` must be above 0. Received: epsilon=0.0"),
        (lambda: MoETransformerBlock(2, 3, 4, 5).build((2, 5)),
         "MoETransformerBlock: `inputs` must be (B, T, D) with a known D. "
         "Received: input_shape=(2, 5)"),
    ],
)  # fmt: skip
def test_errors_name_the_argument(make, message):
    with pytest.raises(ValueError, match=r"^MoE") as error:
        make()
    assert str(error.value) == message


@pytest.mark.parametrize(
    ("arguments", "compiles"),
    [
        ({}, False),
        ({"dispatch": "sorted"}, False),
        ({"dispatch": "capacity"}, True),
        ({"top_k": None}, True),
    ],
)
@pytest.mark.parametrize("kind", BLOCKS)
def test_a_model_that_is_not_built_knows_whether_xla_takes_it(
    kind, arguments, compiles
):
    model = keras.Sequential([BLOCKS[kind](**arguments)])
    for _ in range(2):
        inside = model._flatten_layers()
        found = all(layer.supports_jit for layer in inside)
        assert found == (compiles or BACKEND != "tensorflow")
        model.build((None, 3, 5))


@pytest.mark.parametrize(
    "dtype", [pytest.param("float64", marks=not_jax), "mixed_bfloat16"]
)
@pytest.mark.parametrize("kind", BLOCKS)
def test_a_policy_given_to_the_block_alone(kind, dtype):
    inputs = draw(2, 3, 5).astype("float64")
    paths = {"shared_units": 4}
    block = built(BLOCKS[kind](**paths, dtype=dtype), inputs)
    outputs = block(inputs)
    found = keras.backend.standardize_dtype(outputs.dtype)
    assert found == block.compute_dtype
    assert mixture_of(block).fusion.dtype_policy.name == dtype
