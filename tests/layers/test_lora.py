"""ModelExpert on ids, whole, frozen, or with LoRA."""

import os

import keras
import numpy as np
import pytest

from moe_keras.layers import MixtureOfExperts, ModelExpert, UniformGating
from moe_keras.ops.cost import count_multiply_adds
from tests.cases.experts import model_of_ids
from tests.gradients import gradients_of, random_projection
from tests.tools import assert_close, draw, numpy_of, random_gates, randomize

IDS = np.random.default_rng(3).integers(0, 14, (8, 6)).astype("int32")


def backbone():
    """From a dict of ids and a mask to the first position's vector."""
    ids = keras.Input((None,), dtype="int32", name="token_ids")
    real = keras.Input((None,), dtype="int32", name="padding_mask")
    x = keras.layers.Embedding(14, 4)(ids)
    attention = keras.layers.MultiHeadAttention(2, 2)
    x = x + attention(x, x, key_mask=keras.ops.cast(real, "bool"))
    outputs = keras.layers.Dense(4, activation="gelu")(x)
    return keras.Model({"token_ids": ids, "padding_mask": real}, outputs)


def reader(inner):
    """The wrapper that a user writes: ids in, class logits out."""
    ids = keras.Input((6,), dtype="int32")
    real = keras.ops.cast(keras.ops.not_equal(ids, 0), "int32")
    x = inner({"token_ids": ids, "padding_mask": real})
    return keras.Model(ids, keras.layers.Dense(2)(x[:, 0]))


def lora(rank=2, model=None):
    layer = ModelExpert(model or model_of_ids(), lora_rank=rank)
    layer(IDS)
    return layer


def names_of(weights):
    return [weight.name for weight in weights]


def test_a_model_that_reads_ids():
    model, gates = reader(backbone()), random_gates((8, 1))
    layer = ModelExpert(model, trainable=False)
    expected = numpy_of(model(IDS))[:, None]
    assert_close(layer(IDS), expected)
    assert_close(layer(IDS.astype("int64")), expected)
    assert_close(layer(IDS, gates), expected * (gates != 0)[..., None])
    assert layer.trainable_weights == []


def test_cost_reaches_into_a_backbone_of_several_inputs():
    layer = ModelExpert(reader(backbone()))
    attention = 6 * 4 * 4 * 4 + 2 * 6 * 6 * 4
    expected = attention + 6 * 4 * 4 + 4 * 2
    assert layer.count_expert((6,)) == expected
    symbols = keras.Input((6,), dtype="int32")
    model = keras.Model(symbols, layer(symbols))
    assert count_multiply_adds(model).total == expected


def test_lora_starts_at_the_model_and_trains_nothing_else():
    model = model_of_ids()
    expected = numpy_of(model(IDS))[:, None]
    layer = lora(3, model)
    assert_close(layer(IDS), expected)
    # The table, four maps of the attention, and the dense layer.
    assert names_of(layer.trainable_weights) == [
        "lora_embeddings_a",
        "lora_embeddings_b",
        *["lora_kernel_a", "lora_kernel_b"] * 5,
    ]
    assert all(3 in weight.shape for weight in layer.trainable_weights)


def test_fit_moves_lora_alone():
    layer = lora()
    symbols = keras.Input((6,), dtype="int32")
    model = keras.Model(symbols, layer(symbols))
    model.compile(keras.optimizers.Adam(0.1), "mse")
    before = [(weight, numpy_of(weight).copy()) for weight in layer.weights]
    model.fit(IDS, draw(8, 1, 3), epochs=3, verbose=0)
    for weight, old in before:
        moved = np.any(numpy_of(weight) != old)
        assert moved == weight.name.startswith("lora_"), weight.path


def test_gradient_of_lora_is_that_of_the_kernel():
    model = keras.Sequential([keras.Input((5,)), keras.layers.Dense(3)])
    inputs = draw(8, 5)
    whole = ModelExpert(model)
    whole(inputs)
    _, (of_kernel, _), _ = gradients_of(whole, (inputs,), random_projection)
    layer = ModelExpert(model, lora_rank=2)
    layer(inputs)
    randomize(layer)
    a, b = (numpy_of(weight) for weight in layer.trainable_weights)
    _, gradients, _ = gradients_of(layer, (inputs,), random_projection)
    # W + A B: dA = dW B^T, dB = A^T dW; the model is linear in W.
    assert_close(gradients[0], of_kernel @ b.T)
    assert_close(gradients[1], a.T @ of_kernel)


def test_freezing_and_thawing_leave_the_base_frozen():
    layer = lora()
    trained = names_of(layer.trainable_weights)
    layer.trainable = False
    assert layer.trainable_weights == []
    layer.trainable = True
    assert names_of(layer.trainable_weights) == trained
    moe = MixtureOfExperts(layer, UniformGating(1))
    moe.trainable = False
    assert moe.trainable_weights == []
    moe.trainable = True
    assert names_of(layer.trainable_weights) == trained
    frozen = ModelExpert(model_of_ids(), False, 2)
    assert frozen.trainable_weights == []


def test_statistics_of_the_base_stay():
    layer = lora()
    norm = layer.model.layers[-2]
    assert isinstance(norm, keras.layers.BatchNormalization)
    before = numpy_of(norm.moving_mean).copy()
    gates = np.ones((8, 1), "float32")
    layer(IDS, gates, training=True)
    np.testing.assert_array_equal(numpy_of(norm.moving_mean), before)


@pytest.mark.parametrize("kind", ["plain", "backbone"])
def test_a_saved_one_goes_on_learning(kind, tmp_path):
    given = model_of_ids() if kind == "plain" else reader(backbone())
    layer = randomize(lora(2, given))
    symbols = keras.Input((6,), dtype="int32")
    model = keras.Model(symbols, layer(symbols))
    path = os.path.join(tmp_path, "model.keras")
    model.save(path)
    loaded = keras.saving.load_model(path)
    np.testing.assert_array_equal(numpy_of(loaded(IDS)), numpy_of(model(IDS)))
    assert names_of(loaded.weights) == names_of(model.weights)
    for ours, theirs in zip(
        model.trainable_weights, loaded.trainable_weights, strict=True
    ):
        np.testing.assert_array_equal(numpy_of(ours), numpy_of(theirs))
    # In Keras' own files A and B are 0, and have no gradient.
    _, gradients, _ = gradients_of(
        loaded, (IDS,), random_projection, training=False
    )
    assert all(np.any(gradient != 0) for gradient in gradients)
    # And so it is with weights alone.
    path = os.path.join(tmp_path, "model.weights.h5")
    model.save_weights(path)
    other = keras.models.clone_model(model)
    other.load_weights(path)
    np.testing.assert_array_equal(numpy_of(other(IDS)), numpy_of(model(IDS)))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ModelExpert(model_of_ids(), lora_rank=0), "`lora_rank` must "
         "be an integer above 0. Received: lora_rank=0"),
        (lambda: ModelExpert(keras.Sequential([keras.layers.Dense(3)],
         name="new"), lora_rank=2), "`lora_rank` needs a model that is built. "
         "Received: model='new'"),
        (lambda: ModelExpert(keras.Sequential([keras.Input((3,)),
         keras.layers.ReLU()], name="r"), lora_rank=2), "`lora_rank` needs a "
         "model with layers that have `enable_lora`. Received: model='r'"),
    ],
)  # fmt: skip
def test_errors_name_the_argument(make, message):
    with pytest.raises(ValueError, match=r"^ModelExpert: ") as error:
        make()
    assert message in str(error.value)


def test_a_backbone_of_keras_hub():
    hub = pytest.importorskip("keras_hub", reason="KerasHub is not installed")
    inner = hub.models.BertBackbone(
        vocabulary_size=14,
        num_layers=1,
        num_heads=2,
        hidden_dim=4,
        intermediate_dim=8,
        max_sequence_length=6,
    )
    ids = keras.Input((6,), dtype="int32")
    real = keras.ops.cast(keras.ops.not_equal(ids, 0), "int32")
    outputs = inner(
        {
            "token_ids": ids,
            "padding_mask": real,
            "segment_ids": keras.ops.zeros_like(ids),
        }
    )
    model = keras.Model(ids, outputs["pooled_output"])
    expected = numpy_of(model(IDS))[:, None]
    layer = lora(2, model)
    assert_close(layer(IDS), expected)
    assert layer.trainable_weights
    assert all("lora_" in name for name in names_of(layer.trainable_weights))
    twin = ModelExpert.from_config(layer.get_config())
    twin(IDS)
    twin.set_weights(layer.get_weights())
    assert_close(twin(IDS), expected)
