"""A model without some experts is the whole model with these masked."""

import keras
import numpy as np
import pytest

from moe_keras.layers import (
    AttentionExpert,
    AttentionFusion,
    CrossExpert,
    DenseExpert,
    EmbeddedExperts,
    ExpertChoiceGating,
    FeatureGating,
    GatingLayer,
    HashGating,
    HierarchicalGating,
    LogitFusion,
    MixtureOfExperts,
    ModelExpert,
    MoEFeedForward,
    MoETransformerBlock,
    RecurrentExpert,
    SequenceConvExpert,
    TextFeatures,
    UniformGating,
)
from moe_keras.lifecycle import keep_experts
from moe_keras.ops.cost import count_multiply_adds
from moe_keras.zoo import build_image_moe
from tests.tools import BACKEND, assert_close, draw, numpy_of, randomize

ROWS, IMAGES = draw(12, 5), draw(6, 8, 8, 1)
SEQUENCES = draw(6, 4, 5)
TEXTS = np.random.default_rng(0).integers(0, 20, (7, 6)).astype("int32")


def masked(model, layer, indices, inputs):
    """The whole model's outputs, without the experts that are left out."""
    mask = np.isin(np.arange(layer.num_experts), indices)

    def call(found, *args, **kwargs):
        if found is layer:
            kwargs["expert_mask"] = mask
        return found(*args, **kwargs)

    copy = keras.models.clone_model(
        model, clone_function=lambda found: found, call_function=call
    )
    return numpy_of(copy(inputs, training=False))


def check(model, inputs, indices, name="moe", atol=1e-5):
    before = [numpy_of(weight) for weight in model.weights]
    layer = model.get_layer(name)
    expected = masked(model, layer, indices, inputs)
    kept = keep_experts(model, indices, name)
    assert_close(kept(inputs, training=False), expected, atol=atol)
    assert kept.get_layer(name).num_experts == len(indices)
    assert layer.num_experts > len(indices)
    assert kept.count_params() < model.count_params()
    removed = layer.count_params() - layer.count_kept(sorted(indices))
    assert kept.count_params() == model.count_params() - removed
    for weight, value in zip(model.weights, before, strict=True):
        np.testing.assert_array_equal(numpy_of(weight), value)
    assert not set(map(id, kept.variables)) & set(map(id, model.variables))
    return kept


def model_of(mixture, shape=(5,), dtype="float32"):
    inputs = keras.Input(shape, dtype=dtype)
    values = inputs
    if dtype == "float32":
        values = keras.layers.BatchNormalization()(values)
    values = keras.layers.Dense(3)(mixture(values))
    return randomize(keras.Model(inputs, values))


def dense(units=4, num_experts=5, **options):
    return DenseExpert(units, num_experts, hidden_units=3, **options)


GATES = {
    "soft": lambda: GatingLayer(5),
    "top_1": lambda: GatingLayer(5, 1),
    "noisy": lambda: GatingLayer(5, 3, noisy=True, load_loss=0.1),
    "bias": lambda: GatingLayer(5, 2, load_bias=1e-3),
    "score_bias": lambda: GatingLayer(
        # A value for each expert, of which fewer are left.
        *(5, 2),
        bias_initializer=keras.initializers.Constant([0, 1, 2, 3, 4]),
    ),
    "sigmoid": lambda: GatingLayer(5, 2, activation="sigmoid"),
    "top_p": lambda: GatingLayer(5, top_p=0.6),
    "late": lambda: GatingLayer(5, 2, order="top_k_softmax"),
    "attention": lambda: GatingLayer(5, scores="attention", score_units=5),
    "uniform": lambda: UniformGating(5),
    "weighted": lambda: UniformGating(5, [1, 2, 3, 0, 4]),
    "features": lambda: FeatureGating(
        keras.layers.Dense(3), GatingLayer(5, top_k=2)
    ),
    "choice": lambda: ExpertChoiceGating(5, 3.0),
}


@pytest.mark.parametrize("indices", [[4, 1], [2]], ids=str)
@pytest.mark.parametrize("kind", GATES)
def test_every_gate(kind, indices):
    check(
        model_of(MixtureOfExperts(dense(), GATES[kind](), name="moe")),
        ROWS,
        indices,
    )


@pytest.mark.parametrize(
    "fusion", [AttentionFusion(3), LogitFusion(), LogitFusion("logarithmic")]
)
def test_every_fusion_keeps_its_weights(fusion):
    mixture = MixtureOfExperts(
        dense(),
        GatingLayer(5, 3),
        fusion,
        shared=keras.layers.Dense(4),
        name="moe",
    )
    check(model_of(mixture), ROWS, [0, 3, 4])


def test_banks_of_different_kinds_and_one_that_disappears():
    def model():
        frozen = keras.Sequential([keras.Input((5,)), keras.layers.Dense(4)])
        banks = [
            dense(num_experts=2, name="first"),
            CrossExpert(4, 2, name="second"),
            ModelExpert(frozen, trainable=False, name="third"),
        ]
        return model_of(MixtureOfExperts(banks, GatingLayer(5, 2), name="moe"))

    kept = check(model(), ROWS, [4, 1])
    banks = kept.get_layer("moe").experts
    assert [(bank.name, bank.num_experts) for bank in banks] == [
        ("first", 1),
        ("third", 1),
    ]
    assert not banks[1].trainable_weights
    check(model(), ROWS, [2])


def test_experts_that_read_texts():
    inner = [
        SequenceConvExpert(3, num_experts=2, output_units=4, name="conv"),
        RecurrentExpert(3, num_experts=2, output_units=4, name="gru"),
        AttentionExpert(4, 2, 6, num_experts=2, name="attention"),
    ]
    gate = FeatureGating(TextFeatures(), GatingLayer(6, 2))
    words = EmbeddedExperts(inner, 20, 4, name="words")
    model = model_of(MixtureOfExperts(words, gate, name="moe"), (6,), "int32")
    kept = check(model, TEXTS, [5, 0, 2])
    (bank,) = kept.get_layer("moe").experts
    assert [one.num_experts for one in bank.experts] == [1, 1, 1]


@pytest.mark.parametrize(
    "block",
    [
        lambda: MoEFeedForward(5, 6, shared_units=3, residual=True, name="moe"),
        lambda: MoEFeedForward(5, 6, gate=GatingLayer(5, 1), name="moe"),
        lambda: MoETransformerBlock(
            2, 3, 5, 6, fusion=AttentionFusion(2), name="moe"
        ),
    ],
)
def test_mixtures_inside_of_blocks(block):
    check(model_of(block(), (4, 5)), SEQUENCES, [3, 1])
    check(model_of(block(), (4, 5)), SEQUENCES, [0])


def test_a_model_of_the_zoo_with_a_chosen_number_of_experts():
    model = build_image_moe((8, 8, 1), 10, experts={"conv": 3, "recurrent": 2})
    kept = check(randomize(model, scale=0.1), IMAGES, [0, 2, 4], "moe")
    before, after = map(count_multiply_adds, (model, kept))
    assert after.total < before.total


def test_one_mixture_of_two():
    inputs = keras.Input((5,))
    first = MixtureOfExperts(dense(), GatingLayer(5, 2), name="first")
    second = MixtureOfExperts(dense(), GatingLayer(5), name="second")
    model = randomize(keras.Model(inputs, second(first(inputs))))
    kept = check(model, ROWS, [1, 2], "second")
    assert kept.get_layer("first").num_experts == 5
    by_layer = keep_experts(model, [1, 2], model.get_layer("second"))
    assert_close(by_layer(ROWS), numpy_of(kept(ROWS)))
    for wrong in (None, "third", dense()):
        with pytest.raises(ValueError, match="keep_experts: `mixture` must be"):
            keep_experts(model, [1, 2], wrong)


def test_a_layer_that_is_called_twice():
    inputs, other = keras.Input((5,)), keras.Input((5,))
    mixture = MixtureOfExperts(dense(5), GatingLayer(5), name="moe")
    shared = keras.layers.Dense(5)
    values = mixture(shared(inputs)) + mixture(shared(other))
    model = randomize(keras.Model([inputs, other], values))
    check(model, [ROWS, 2 * ROWS], [0, 4])


@pytest.mark.parametrize("policy", ["mixed_float16", "bfloat16", "float64"])
def test_dtype_policies(policy):
    if policy == "float64" and BACKEND == "jax":
        pytest.skip("JAX has no float64 unless asked")
    keras.config.set_dtype_policy(policy)
    mixture = MixtureOfExperts(dense(), GatingLayer(5, 2), name="moe")
    atol = 1e-5 if policy == "float64" else 3e-2
    kept = check(model_of(mixture), ROWS, [0, 2], atol=atol)
    assert kept.dtype_policy.name == policy
    assert kept.get_layer("moe").gate.kernel.dtype != "bfloat16"


def test_it_saves_loads_and_trains(tmp_path):
    model = model_of(MixtureOfExperts(dense(), GatingLayer(5, 2), name="moe"))
    model.compile("adam", "mse")
    model.fit(ROWS, draw(12, 3), verbose=0)
    kept = check(model, ROWS, [1, 3, 4])
    assert not kept.compiled
    kept.save(tmp_path / "kept.keras")
    loaded = keras.saving.load_model(tmp_path / "kept.keras")
    np.testing.assert_array_equal(
        loaded.predict(ROWS, verbose=0), kept.predict(ROWS, verbose=0)
    )
    kept.compile("adam", "mse")
    kept.fit(ROWS, draw(12, 3), verbose=0)
    # The load began anew, even.
    assert kept.get_layer("moe").stats.load.shape == (3,)


def test_what_layers_keep_beside_weights_is_copied():
    texts = keras.Input((), dtype="string")
    if BACKEND != "tensorflow":
        pytest.skip("strings are TensorFlow's")
    words = keras.layers.TextVectorization(output_sequence_length=5)
    words.adapt(["one two three", "two three", "three"])
    scaling = keras.layers.Normalization()
    scaling.adapt(ROWS)
    values = scaling(keras.ops.cast(words(texts), "float32"))
    mixture = MixtureOfExperts(dense(), GatingLayer(5, 2), name="moe")
    model = keras.Model(texts, mixture(values))
    inputs = keras.ops.convert_to_tensor(["one three", "two", "new one"])
    check(model, inputs, [0, 1])


def test_a_sequential_model():
    mixture = MixtureOfExperts(dense(), GatingLayer(5, 2), name="moe")
    model = keras.Sequential([keras.Input((5,)), mixture])
    kept = keep_experts(model, [0, 1])
    mask = np.asarray([1, 1, 0, 0, 0], bool)
    assert_close(kept(ROWS), numpy_of(mixture(ROWS, expert_mask=mask)))


def test_what_is_refused():
    model = model_of(MixtureOfExperts(dense(), GatingLayer(5, 2), name="moe"))
    for wrong in ([], [0, 0], [5], [-1], [0.0], None):
        with pytest.raises(ValueError, match="keep_experts: `indices` must"):
            keep_experts(model, wrong)
    plain = keras.Sequential([keras.Input((5,)), keras.layers.Dense(2)])
    with pytest.raises(ValueError, match=r"`mixture` must be one.*calls=\[\]"):
        keep_experts(plain, [0])
    hashed = model_of(
        MixtureOfExperts(dense(), HashGating(5, column=0), name="moe")
    )
    with pytest.raises(ValueError, match="HashGating: a hash cannot"):
        keep_experts(hashed, [0])
    grouped = HierarchicalGating(2, 2)
    grouped = model_of(MixtureOfExperts(dense(num_experts=4), grouped))
    with pytest.raises(ValueError, match="all groups that are kept"):
        keep_experts(grouped, [0, 1, 2])
