"""Bad input is an error that names the argument and the value."""

import keras
import numpy as np
import pytest

from moe_keras.layers import (
    AttentionExpert,
    ConvExpert,
    DenseExpert,
    EmbeddedExperts,
    ExpertChoiceGating,
    Gate,
    GatingLayer,
    HashGating,
    HierarchicalGating,
    LogitFusion,
    MixtureOfExperts,
    MoEFeedForward,
    MoETransformerBlock,
    RecurrentExpert,
    SequenceConvExpert,
    SoftMoE,
    WeightedFusion,
)
from tests.tools import draw

MODEL = (
    "; a model is one as ModelExpert(model), a layer as "
    "ModelExpert(keras.Sequential([layer])). Received: "
)
EXAMPLE = "such as DenseExpert(64, num_experts=4)"
BANK = f"`experts` must be one or more banks, {EXAMPLE}{MODEL}"
WIDTH = "`gate` must have one output for each of the 4 experts. Received: "
TOP_K = "`top_k` must be an integer in 1..num_experts, or None. Received: "
GATES = "`gate` must return (P..., E): leading axes of `inputs`, then one gate "
SHAPES = "`experts` must be banks with outputs of one shape; `output_units` "
FLOATS = "`inputs` must be of a float dtype. Received: dtype='int32'"


class ThreeGates(keras.layers.Layer):
    """A gate that says four and returns three."""

    def call(self, inputs):
        return inputs[..., :3]

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], 4)


class ThreeOfFour(Gate):
    """The same mistake in a subclass of `Gate`."""

    def gate_rows(self, rows, real, in_service, training):
        return keras.ops.ones_like(rows[..., :3])


class OtherRows(keras.layers.Layer):
    """A gate that loses a row."""

    def call(self, inputs):
        return keras.ops.softmax(inputs[1:, :4])

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], 4)


def mixture(gate, *args, **kwargs):
    return MixtureOfExperts(DenseExpert(3, 4), gate, *args, **kwargs)


# Name -> (what is done, class in the error, rule and value).
CASES = {
    "more choices than experts": (
        lambda: GatingLayer(3, top_k=4),
        "GatingLayer",
        TOP_K + "top_k=4, num_experts=3",
    ),
    "in a block": (
        lambda: MoEFeedForward(3, 4, top_k=4),
        "GatingLayer",
        TOP_K + "top_k=4, num_experts=3",
    ),
    "in a transformer": (
        lambda: MoETransformerBlock(2, 2, 3, 4, top_k=4),
        "GatingLayer",
        TOP_K + "top_k=4, num_experts=3",
    ),
    "more groups than there are": (
        lambda: HierarchicalGating(2, 2, top_groups=3),
        "HierarchicalGating",
        "Received: top_groups=3, groups=2",
    ),
    "more capacity than experts": (
        lambda: ExpertChoiceGating(2, 3.0),
        "ExpertChoiceGating",
        "Received: capacity_factor=3.0, num_experts=2",
    ),
    "capacity that is no number": (
        lambda: mixture(GatingLayer(4, 2), capacity_factor="2"),
        "MixtureOfExperts",
        "numbers of at least 0.01. Received: capacity_factor='2'",
    ),
    "capacity without end": (
        lambda: mixture(GatingLayer(4, 2), eval_capacity_factor=np.inf),
        "MixtureOfExperts",
        "Received: capacity_factor=1.25, eval_capacity_factor=inf",
    ),
    "capacity of next to nothing": (
        lambda: mixture(GatingLayer(4, 2), eval_capacity_factor=0.004),
        "MixtureOfExperts",
        "Received: capacity_factor=1.25, eval_capacity_factor=0.004",
    ),
    "a loss that is no number": (
        lambda: GatingLayer(4, balance_loss="a"),
        "GatingLayer",
        "Received: balance_loss='a'",
    ),
    "no temperature": (
        lambda: GatingLayer(4, temperature=np.inf),
        "GatingLayer",
        "Received: temperature=inf",
    ),
    "no bank": (
        lambda: MixtureOfExperts([], GatingLayer(2)),
        "MixtureOfExperts",
        BANK + "experts=[]",
    ),
    "no list": (
        lambda: MixtureOfExperts(None, GatingLayer(2)),
        "MixtureOfExperts",
        BANK + "experts=None",
    ),
    "no bank of slots": (
        lambda: SoftMoE([]),
        "SoftMoE",
        f"`experts` must be a bank, {EXAMPLE}{MODEL}experts=[]",
    ),
    "no gate": (
        lambda: mixture(None),
        "MixtureOfExperts",
        "`gate` must be a Keras layer, such as GatingLayer(4). Received: "
        "gate=None",
    ),
    "no fusion": (
        lambda: mixture(GatingLayer(4), "mean"),
        "MixtureOfExperts",
        "`fusion` must be a Keras layer, such as WeightedFusion(), or None. "
        "Received: fusion='mean'",
    ),
    "no shared path": (
        lambda: mixture(GatingLayer(4), shared=3),
        "MixtureOfExperts",
        "`shared` must be a Keras layer, such as keras.layers.Dense(64), or "
        "None. Received: shared=3",
    ),
    "a gate of another width": (
        lambda: mixture(GatingLayer(3)),
        "MixtureOfExperts",
        WIDTH + "gate_outputs=3",
    ),
    "in a block, too": (
        lambda: MoEFeedForward(4, 5, gate=GatingLayer(3)),
        "MoEFeedForward",
        WIDTH + "gate_outputs=3",
    ),
    "no gate in a block": (
        lambda: MoEFeedForward(4, 5, gate="softmax"),
        "MoEFeedForward",
        "`gate` must be a Keras layer, such as GatingLayer(4). Received: "
        "gate='softmax'",
    ),
    "a layer of another width": (
        lambda: mixture(keras.layers.Dense(3))(draw(2, 5)),
        "MixtureOfExperts",
        WIDTH + "gate_outputs=3",
    ),
    "such a layer in a block": (
        lambda: MoEFeedForward(4, 5, gate=keras.layers.Dense(3))(draw(2, 5)),
        "MixtureOfExperts",
        WIDTH + "gate_outputs=3",
    ),
    "a layer that misstates its width": (
        lambda: mixture(ThreeGates())(draw(2, 5)),
        "MixtureOfExperts",
        GATES + "for each of the 4 experts. Received: gates_shape=(2, 3), "
        "inputs_shape=(2, 5)",
    ),
    "a gate that misstates its width": (
        lambda: mixture(ThreeOfFour(4), dispatch="sorted")(draw(2, 5)),
        "MixtureOfExperts",
        "Received: gates_shape=(2, 3), inputs_shape=(2, 5)",
    ),
    "a gate that loses a row": (
        lambda: mixture(OtherRows())(draw(3, 5)),
        "MixtureOfExperts",
        "Received: gates_shape=(2, 4), inputs_shape=(3, 5)",
    ),
    "gates of another width": (
        lambda: DenseExpert(3, 4)(draw(2, 5), draw(2, 3)),
        "DenseExpert",
        "`gates` must have one column for each of the 4 experts. Received: "
        "gates_shape=(2, 3)",
    ),
    "gates of other rows": (
        lambda: DenseExpert(3, 4)(draw(2, 5), draw(3, 4)),
        "DenseExpert",
        "the leading axes of `gates` must be those of `inputs`. Received: "
        "inputs_shape=(2, 5), gates_shape=(3, 4)",
    ),
    "unequal experts": (
        lambda: MixtureOfExperts(
            [DenseExpert(3, 2, name="a"), DenseExpert(4, 2, name="b")],
            GatingLayer(4),
        )(draw(2, 5)),
        "MixtureOfExperts",
        SHAPES + "brings them to one width. Received: experts=[('a', (3,)), "
        "('b', (4,))]",
    ),
    "maps beside vectors": (
        lambda: MixtureOfExperts(
            [
                ConvExpert(3, 2, name="a"),
                ConvExpert(3, 2, pooling="avg", name="b"),
            ],
            GatingLayer(4),
            keras.layers.Concatenate(),
        )(draw(2, 4, 4, 1)),
        "MixtureOfExperts",
        "Received: experts=[('a', (4, 4, 3)), ('b', (3,))]",
    ),
    "unequal outputs": (
        lambda: WeightedFusion()([draw(2, 2, 3), draw(2, 1, 4), draw(2, 3)]),
        "WeightedFusion",
        "banks must agree on the shape of one expert's output. Received: "
        "output_shapes=[(2, 2, 3), (2, 1, 4)]",
    ),
}


def message_of(make):
    with pytest.raises(ValueError) as error:  # noqa: PT011
        make()
    return str(error.value)


@pytest.mark.parametrize("case", CASES)
def test_what_does_not_fit_together(case):
    make, owner, rule = CASES[case]
    message = message_of(make)
    assert f"{owner}: " in message
    assert rule in message


INTEGERS = {
    "gating": (lambda: GatingLayer(3), (2, 5)),
    "choice": (lambda: ExpertChoiceGating(3), (2, 5)),
    "hierarchical": (lambda: HierarchicalGating(3, 2), (2, 5)),
    "dense": (lambda: DenseExpert(3, 2), (2, 5)),
    "conv": (lambda: ConvExpert(3, 2), (2, 5, 5, 1)),
    "recurrent": (lambda: RecurrentExpert(3, 2), (2, 5, 4)),
    "sequence_conv": (lambda: SequenceConvExpert(3, 2), (2, 5, 4)),
    "attention": (lambda: AttentionExpert(4), (2, 5, 4)),
    "soft": (lambda: SoftMoE(DenseExpert(3, 2)), (2, 5, 4)),
    "transformer": (lambda: MoETransformerBlock(2, 2, 3, 4), (2, 5, 4)),
}


@pytest.mark.parametrize("kind", INTEGERS)
def test_integers_where_no_identifiers_are_read(kind):
    make, shape = INTEGERS[kind]
    layer = make()
    message = message_of(lambda: layer(np.ones(shape, "int32")))
    assert f"{type(layer).__name__}: {FLOATS}" in message


def test_integers_in_a_mixture_and_in_a_fusion():
    rows = np.ones((2, 5), "int32")
    assert f"GatingLayer: {FLOATS}" in message_of(
        lambda: mixture(GatingLayer(4))(rows)
    )
    assert f"DenseExpert: {FLOATS}" in message_of(
        lambda: mixture(HashGating(4, column=0))(rows)
    )
    for fusion in (WeightedFusion(), LogitFusion()):
        outputs = [np.ones((2, 3, 4), "int32"), draw(2, 3)]
        message = message_of(lambda f=fusion, o=outputs: f(o))
        assert f"{type(fusion).__name__}: {FLOATS}" in message
    ids = "HashGating: `inputs` must be of an integer dtype, or `column` must "
    assert ids in message_of(lambda: HashGating(4)(draw(2, 3)))


def test_floats_where_ids_are_read():
    layer = EmbeddedExperts(SequenceConvExpert(3), 9, 4)
    message = message_of(lambda: layer(draw(2, 3)))
    rule = "`inputs` must be of an integer dtype. Received: dtype='float32'"
    assert f"EmbeddedExperts: {rule}" in message
