"""What compiles with XLA has no operation whose size depends on data."""

from functools import partial

import keras
import pytest

from moe_keras.layers import (
    AttentionFusion,
    DenseExpert,
    ExpertChoiceGating,
    GatingLayer,
    HashGating,
    HierarchicalGating,
    LogitFusion,
    MixtureOfExperts,
    MoEFeedForward,
    MoETransformerBlock,
    SoftMoE,
    UniformGating,
)
from tests.tools import draw, only_tensorflow, operations

pytestmark = only_tensorflow

# XLA gives these a bound and a size found at run time, and may crash at them.
DYNAMIC = {"Where", "Unique", "UniqueV2", "DynamicPartition", "SplitV"}
GATES = {
    "all": lambda: GatingLayer(4),
    "top 2": lambda: GatingLayer(4, 2),
    "noisy": lambda: GatingLayer(4, 2, noisy=True, load_loss=0.1),
    "top p": lambda: GatingLayer(4, 3, top_p=0.5, activation="sigmoid"),
    "cosine": lambda: GatingLayer(4, 2, scores="cosine", load_bias=1e-3),
    "dropout": lambda: GatingLayer(4, 2, expert_dropout=0.3, jitter=0.01),
    "uniform": lambda: UniformGating(4, [1, 0, 2, 1]),
    "hash": lambda: HashGating(4, column=0),
    "expert choice": lambda: ExpertChoiceGating(4),
    "hierarchical": lambda: HierarchicalGating(2, 2, 1, 1),
}


def training_operations(layer):
    """The types of all operations of a step, forward and backward."""
    import tensorflow as tf

    inputs = draw(3, 5, 8)
    layer(inputs)

    def step(inputs, mask):
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            outputs = layer(inputs, mask=mask, training=True)
            loss = tf.reduce_sum(outputs**2) + sum(layer.losses)
        variables = [variable.value for variable in layer.trainable_variables]
        return tape.gradient(loss, [inputs, *variables])

    traced = tf.function(step).get_concrete_function(
        tf.TensorSpec((3, 5, 8)), tf.TensorSpec((3, 5), tf.bool)
    )
    return operations(traced.graph)


@pytest.mark.parametrize("dispatch", ["dense", "gather", "capacity"])
@pytest.mark.parametrize("gate", GATES)
def test_a_step_has_sizes_that_are_known(gate, dispatch):
    bank = DenseExpert(8, 4, 6)
    layer = MixtureOfExperts(bank, GATES[gate](), dispatch=dispatch)
    assert not training_operations(layer) & DYNAMIC


@pytest.mark.parametrize(
    "options",
    [
        {"batch_priority": lambda: True},
        {"fusion": partial(AttentionFusion, 4)},
        {"fusion": LogitFusion},
        {"shared": partial(keras.layers.Dense, 8)},
    ],
)
def test_nor_does_capacity_with_more(options):
    layer = MixtureOfExperts(
        [DenseExpert(8, 2, 6, gated=True), DenseExpert(8, 2)],
        GatingLayer(4, 2),
        dispatch="capacity",
        **{name: make() for name, make in options.items()},
    )
    assert not training_operations(layer) & DYNAMIC


@pytest.mark.parametrize(
    "make",
    [
        lambda: MoEFeedForward(4, 6, shared_units=4, dispatch="capacity"),
        lambda: MoETransformerBlock(2, 4, 4, 6, dispatch="capacity"),
        lambda: SoftMoE(DenseExpert(8, 4, 6), 2),
    ],
)
def test_nor_do_blocks(make):
    assert not training_operations(make()) & DYNAMIC


def test_sorted_dispatch_is_seen_to_have_some():
    layer = MixtureOfExperts(
        DenseExpert(8, 4, 6), GatingLayer(4, 2), dispatch="sorted"
    )
    assert training_operations(layer) & DYNAMIC
