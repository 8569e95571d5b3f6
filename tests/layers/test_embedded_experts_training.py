"""EmbeddedExperts in training: gradients, dropout, what is frozen or given."""

import keras
import numpy as np

from moe_keras.layers import (
    EmbeddedExperts,
    HashGating,
    MixtureOfExperts,
    SequenceConvExpert,
)
from tests.differences import check_against
from tests.gradients import gradients_of, random_projection
from tests.layers.embedded import IDS, built, expected_of, inner_banks
from tests.tools import assert_close, draw, not_jax, numpy_of


def test_gradients_are_the_slopes_of_the_loops():
    layer = built(IDS, experts=inner_banks(attention=False))
    check_against(layer, IDS, lambda ids: expected_of(layer))


@not_jax
def test_only_chosen_rows_are_embedded():
    gates = np.zeros((5, 3), "float32")
    gates[0, 0] = gates[1, 2] = 1
    layer = built(IDS, gates)
    for training in (False, True):
        _, gradients, _ = gradients_of(
            layer, (IDS, gates), random_projection, training
        )
        names = [weight.path for weight in layer.trainable_weights]
        (place,) = [i for i, n in enumerate(names) if "embeddings" in n]
        moved = np.flatnonzero(np.any(gradients[place] != 0, axis=-1))
        assert set(moved) <= set(IDS[0]) | set(IDS[1])
        assert 3 in moved
        assert 7 not in moved


def test_a_mixture_of_hashed_texts_learns():
    bank = EmbeddedExperts(
        SequenceConvExpert(4, 3, output_units=2), 12, 4, max_length=5
    )
    gate = HashGating(3, column=0)
    model = keras.Sequential(
        [keras.Input((6,), dtype="int32"), MixtureOfExperts(bank, gate)]
    )
    rng = np.random.default_rng(0)
    ids = rng.integers(1, 12, (64, 6)).astype("int32")
    labels = (np.sum(ids == 7, axis=1) > 0).astype("int32")
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(0.05), loss)
    history = model.fit(ids, labels, epochs=15, verbose=0).history["loss"]
    assert history[-1] < 0.3 * history[0]


def test_a_frozen_inner_bank_stays_and_comes_back():
    conv, encoder = inner_banks()
    encoder.trainable = False
    layer = built(IDS, experts=[conv, encoder])
    assert encoder.trainable_weights == []
    assert len(layer.trainable_weights) == 1 + len(conv.trainable_weights)
    twin = EmbeddedExperts.from_config(layer.get_config())
    twin(IDS)
    assert len(twin.trainable_weights) == len(layer.trainable_weights)
    everything = len(layer.weights)
    encoder.trainable = True
    assert len(layer.trainable_weights) == everything
    assert "num_experts" not in layer.get_config()


def test_trained_vectors():
    table = draw(12, 4)
    later = built(IDS)
    later.embedding.set_weights([table])
    initializer = keras.initializers.Constant(table)
    for layer in (
        later,
        EmbeddedExperts(
            inner_banks(), 12, 4, embeddings_initializer=initializer
        ),
    ):
        layer(IDS)
        np.testing.assert_array_equal(layer.embedding.get_weights()[0], table)


def test_dropout_is_on_the_vectors():
    bank = SequenceConvExpert(4, 1, 1, "linear")
    layer = built(IDS, experts=bank, dropout=0.5, max_length=1)
    bank._biases[0].assign(np.zeros((1, 4)))
    bank._kernels[0].assign(np.eye(4)[None, None])
    table = numpy_of(layer.embedding.embeddings)
    ids = np.arange(1, 11, dtype="int32")[:, None].repeat(2, axis=1)
    outputs = numpy_of(layer(ids, training=True))[:, 0]
    kept = outputs != 0
    assert 0.2 < np.mean(kept) < 0.8
    assert_close(outputs[kept], 2 * table[1:11][kept])
    assert_close(layer(ids)[:, 0], table[1:11])
