"""Masks of another shape are errors that name both shapes."""

import keras
import numpy as np
import pytest

from moe_keras.layers import (
    AttentionExpert,
    DenseExpert,
    EmbeddedExperts,
    ExpertChoiceGating,
    GatingLayer,
    HashGating,
    MixtureOfExperts,
    MoEFeedForward,
    MoETransformerBlock,
    RecurrentExpert,
    SequenceConvExpert,
    SoftMoE,
    UniformGating,
)
from tests.layers.test_bad_input import message_of, mixture
from tests.tools import draw, numpy_of

# Name -> (layer, class in the error).
MASKED = {
    "gate": (lambda: GatingLayer(3), "GatingLayer"),
    "sample": (lambda: GatingLayer(3, level="sample"), "GatingLayer"),
    "hash": (lambda: HashGating(3, column=0), "HashGating"),
    "uniform": (lambda: UniformGating(3), "UniformGating"),
    "choice": (lambda: ExpertChoiceGating(3), "ExpertChoiceGating"),
    "mixture": (lambda: mixture(GatingLayer(4, 2)), "GatingLayer"),
    "own_gate": (lambda: mixture(keras.layers.Dense(4)), "MixtureOfExperts"),
    "feed_forward": (lambda: MoEFeedForward(4, 5), "GatingLayer"),
    "transformer": (
        lambda: MoETransformerBlock(2, 2, 3, 4),
        "MoETransformerBlock",
    ),
    "soft": (lambda: SoftMoE(DenseExpert(3, 2)), "SoftMoE"),
    "recurrent": (lambda: RecurrentExpert(3, 2), "RecurrentExpert"),
    "sequence_conv": (
        lambda: SequenceConvExpert(3, 2),
        "SequenceConvExpert",
    ),
    "attention": (lambda: AttentionExpert(4), "AttentionExpert"),
    "recurrent_mixture": (
        lambda: MixtureOfExperts(RecurrentExpert(3, 2), GatingLayer(2)),
        "GatingLayer",
    ),
}
RULE = "`mask` must have the axes of the positions in `inputs`. Received: "


@pytest.mark.parametrize("kind", MASKED)
def test_a_mask_of_another_shape(kind):
    make, owner = MASKED[kind]
    layer, inputs = make(), draw(4, 5, 6)
    layer(inputs, mask=np.ones((4, 5), bool))
    # The first four could be broadcast, the next could be reshaped.
    for shape in ((), (5,), (4, 1), (1, 5), (20,), (5, 4), (4, 5, 1), (4, 6)):
        message = message_of(
            lambda shape=shape: layer(inputs, mask=np.ones(shape, bool))
        )
        assert f"{owner}: {RULE}mask_shape={shape}, positions" in message


def test_a_mask_of_identifiers_has_their_shape():
    ids, mask = np.arange(6).reshape(2, 3), np.ones((2, 3), bool)
    assert numpy_of(HashGating(4)(ids, mask=mask)).shape == (2, 3, 4)
    message = message_of(lambda: HashGating(4)(ids, mask=mask[:, :1]))
    assert f"HashGating: {RULE}mask_shape=(2, 1), positions" in message


def test_a_mask_of_words_has_their_shape():
    layer = EmbeddedExperts(SequenceConvExpert(3), 9, 4, max_length=3)
    ids = np.ones((4, 5), "int32")
    layer(ids, mask=np.ones((4, 5), bool))
    for shape in ((5,), (4, 1), (4, 3), (4, 6)):
        message = message_of(lambda s=shape: layer(ids, mask=np.ones(s, bool)))
        assert f"EmbeddedExperts: {RULE}mask_shape={shape}, posit" in message


def test_sequences_behind_two_axes_have_a_mask_of_three():
    inputs, gates = draw(2, 3, 4, 5), np.ones((2, 3, 2), "float32")
    bank = RecurrentExpert(3, 2)
    bank(inputs, gates, mask=np.ones((2, 3, 4), bool))
    for shape in ((2, 3), (3, 2, 4), (2, 3, 1)):
        message = message_of(
            lambda s=shape: bank(inputs, gates, mask=np.ones(s, bool))
        )
        assert f"RecurrentExpert: {RULE}" in message


@pytest.mark.parametrize("kind", ["gate", "own_gate", "soft", "recurrent"])
def test_in_a_model_too(kind):
    make, owner = MASKED[kind]
    for width in (5, 4):
        inputs = keras.Input((5, 6))
        mask = keras.Input((width,), dtype="bool")
        model = keras.Model([inputs, mask], make()(inputs, mask=mask))
        arrays = [draw(3, 5, 6), np.ones((3, width), bool)]
        if width == 5:
            model.predict(arrays, verbose=0)
            continue
        message = message_of(lambda m=model, a=arrays: m.predict(a, verbose=0))
        assert f"{owner}: {RULE}mask_shape=(" in message


def test_an_expert_mask_of_another_shape():
    for layer in (GatingLayer(4), mixture(GatingLayer(4, 2))):
        for shape in ((), (3,), (3, 4), (2, 5), (2, 1, 4)):
            message = message_of(
                lambda x=layer, s=shape: x(
                    draw(2, 5), expert_mask=np.ones(s, bool)
                )
            )
            assert "GatingLayer: `expert_mask` must be (E,), or" in message
            assert f"expert_mask_shape={shape}, gates_shape=(2, 4)" in message
