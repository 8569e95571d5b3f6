"""A built layer refuses other arguments than those it was made with."""

import inspect

import keras
import numpy as np
import pytest

import moe_keras.layers
from moe_keras.layers import (
    DenseExpert,
    Gate,
    GatingLayer,
    LogitFusion,
    MixtureOfExperts,
    ModelExpert,
    MoEFeedForward,
    UniformGating,
)
from moe_keras.layers.fixed_arguments import (
    FixedArguments,
    arguments_of,
    changed,
)

ROWS = np.ones((4, 3), "float32")


@pytest.fixture(scope="module")
def moe():
    moe = MixtureOfExperts(
        DenseExpert(2, 4, hidden_units=3), GatingLayer(4, top_k=2)
    )
    moe(ROWS)
    return moe


def test_top_k_after_build_is_refused(moe):
    with pytest.raises(
        ValueError,
        match=r"^GatingLayer: `top_k` is fixed once the layer is built: a "
        r"compiled model would go on with the old one\. Make another layer, "
        r"`GatingLayer\.from_config\(layer\.get_config\(\) \| "
        r"\{'top_k': \.\.\.\}\)`, and give it the weights\. Received: top_k=4$",
    ):
        moe.gate.top_k = 4
    assert moe.gate.top_k == 2


@pytest.mark.parametrize(
    ("part", "name", "value"),
    [
        ("gate", "temperature", 2.0),
        ("gate", "balance_loss", 0.5),
        ("gate", "noisy", True),
        # Of the base class.
        ("gate", "num_experts", 5),
        ("bank", "activation", keras.activations.tanh),
        ("bank", "hidden_units", None),
        ("bank", "num_experts", 5),
        ("fusion", "drop_non_finite", True),
        (None, "capacity_factor", 4.0),
        (None, "eval_capacity_factor", 4.0),
        (None, "overflow", "error"),
        (None, "gate", GatingLayer(4)),
        (None, "shared", keras.layers.Dense(2)),
    ],
)
def test_so_is_what_else_was_compiled_in(moe, part, name, value):
    layer = {"bank": moe.experts[0], None: moe}.get(part)
    layer = getattr(moe, str(part)) if layer is None else layer
    before = getattr(layer, name)
    with pytest.raises(ValueError, match=f"`{name}` is fixed once the layer"):
        setattr(layer, name, value)
    assert getattr(layer, name) is before


def test_the_way_out_that_the_error_names(moe):
    gate = moe.gate
    wider = GatingLayer.from_config(gate.get_config() | {"top_k": 4})
    wider.build(ROWS.shape)
    wider.set_weights(gate.get_weights())
    gates = keras.ops.convert_to_numpy(wider(ROWS))
    assert np.count_nonzero(gates[0]) == 4


def test_before_it_is_built_and_to_the_same_value_all_is_free():
    gate = GatingLayer(4, top_k=2)
    gate.top_k = 3
    gate(ROWS)
    gate.top_k = 3
    assert np.count_nonzero(keras.ops.convert_to_numpy(gate(ROWS))[0]) == 3


def test_what_keras_lets_change_still_changes(moe):
    moe.trainable = False
    assert not moe.gate.trainable
    moe.trainable = True
    moe.dispatch = "dense"
    moe.dispatch = "auto"


def test_a_block_that_hands_its_arguments_on():
    block = MoEFeedForward(4, 5)
    block(ROWS)
    for name, value in (("top_k", 4), ("dispatch", "dense")):
        with pytest.raises(ValueError, match=f"^MoEFeedForward: `{name}` is"):
            setattr(block, name, value)


def test_a_gate_of_ones_own():
    class Warm(Gate):
        def __init__(self, num_experts, heat=1.0, **kwargs):
            super().__init__(num_experts, **kwargs)
            self.heat = heat
            self.seen = 0

        def gate_rows(self, rows, real, in_service, training):
            self.seen += 1
            return keras.ops.softmax(self.heat * rows)

    gate = Warm(3)
    gate(ROWS)
    assert gate.seen == 1
    with pytest.raises(ValueError, match=r"^Warm: `heat` is fixed"):
        gate.heat = 2.0


def test_every_public_layer_with_experts_is_so():
    """The gates, banks and fusions, and what holds them."""
    parts = {"num_experts", "experts", "gates", "drop_non_finite"}
    for layer in vars(moe_keras.layers).values():
        if inspect.isclass(layer) and issubclass(layer, keras.layers.Layer):
            arguments = inspect.signature(layer).parameters
            own = parts & set(arguments)
            assert not own or issubclass(layer, FixedArguments), layer


def test_arguments_are_those_of_all_bases_but_keras():
    assert arguments_of(LogitFusion) >= {"pool", "drop_non_finite"}
    assert arguments_of(UniformGating) >= {"num_experts"}
    assert arguments_of(ModelExpert) >= {"model", "lora_rank"}
    assert not arguments_of(ModelExpert) & {"name", "trainable", "dtype"}


def test_a_library_may_change_them_for_a_while(moe):
    with changed(moe.gate, top_k=4, top_p=None):
        assert moe.gate.choices == 4
        gates = keras.ops.convert_to_numpy(moe.gate(ROWS))
    assert np.count_nonzero(gates[0]) == 4
    assert moe.gate.choices == 2
