"""The view of a model that shows what each expert says."""

import keras
import numpy as np
import pytest

from moe_keras.export import export_saved_model
from moe_keras.layers import (
    DenseExpert,
    GatingLayer,
    LogitFusion,
    MixtureOfExperts,
    ModelExpert,
    UniformGating,
    record_gates,
)
from moe_keras.training import with_expert_outputs
from tests.tools import assert_close, draw, numpy_of, only_tensorflow
from tests.training.staged import CLASSES, WIDTH, build, data, weights_of

LINEAR = {"output_activation": None}


def simple(gate=None, name="moe", units=3, **options):
    bank = DenseExpert(units, 4, **{**LINEAR, **options})
    return MixtureOfExperts(bank, gate or GatingLayer(4), name=name)


def model_of(*layers, shape=(WIDTH,)):
    return keras.Sequential([keras.Input(shape), *layers])


@pytest.mark.parametrize("top_k", [None, 2, 1])
def test_it_is_the_model_and_what_is_inside(top_k):
    model, (inputs, _) = build(top_k), data()
    view = with_expert_outputs(model)
    found = view.predict(inputs, verbose=0)
    assert sorted(found) == ["expert_logits", "gates", "probabilities"]
    expected = model.predict(inputs, verbose=0)
    assert_close(found["probabilities"], expected, atol=1e-6)
    moe = model.get_layer("moe")
    rows = model.get_layer("first_norm")(inputs)
    # Also where the gate is 0.
    each = np.concatenate([numpy_of(bank(rows)) for bank in moe.experts], 1)
    assert_close(found["expert_logits"], each)
    with record_gates() as gates:
        model(inputs)
    assert_close(found["gates"], numpy_of(gates["gating"]))
    if top_k:
        assert np.all((found["gates"] > 0).sum(axis=-1) == top_k)
    assert set(map(id, view.variables)) == set(map(id, model.variables))
    assert len(view.trainable_variables) == len(model.trainable_variables)


@pytest.mark.parametrize("top_k", [None, 2])
def test_figures_and_losses_of_a_training_are_the_models(top_k):
    model, (inputs, _) = build(top_k), data()
    view, start = with_expert_outputs(model), model.get_weights()
    seen = []
    for one in (model, view):
        model.set_weights(start)
        one(inputs, training=True)
        figures = {
            path: value
            for path, value in weights_of(model).items()
            if path.startswith("moe/")
        }
        seen.append((figures, [float(numpy_of(x)) for x in one.losses]))
    (figures, losses), (others, again) = seen
    assert ("moe/load" in figures) == (top_k is not None)
    for path, value in figures.items():
        assert_close(others[path], value)
    assert again == pytest.approx(losses)
    assert bool(losses) == (top_k is not None)


def test_the_model_is_as_before(tmp_path):
    model, (inputs, labels) = build(2), data()
    expected = model.predict(inputs, verbose=0)
    layers = [layer.name for layer in model.layers]
    view = with_expert_outputs(model)
    view.predict(inputs, verbose=0)
    assert [layer.name for layer in model.layers] == layers
    # Without the state of an optimizer that has done nothing.
    model.save(tmp_path / "model.keras", include_optimizer=False)
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert_close(loaded.predict(inputs, verbose=0), expected)
    if keras.backend.backend() == "tensorflow":
        export_saved_model(model, tmp_path / "artefact")
    assert_close(model.predict(inputs, verbose=0), expected)
    model.fit(inputs, labels, verbose=0)
    trained = model.predict(inputs, verbose=0)
    assert_close(view.predict(inputs, verbose=0)["probabilities"], trained)


def test_probabilities_become_their_logs():
    model = model_of(simple(output_activation="softmax"))
    with pytest.raises(ValueError, match="need `from_logits=False`"):
        with_expert_outputs(model)
    inputs = draw(4, WIDTH)
    found = with_expert_outputs(model, from_logits=False)(inputs)
    (bank,) = model.layers[0].experts
    assert_close(found["expert_logits"], np.log(numpy_of(bank(inputs))))


def test_one_of_two_mixtures_and_inputs_by_name():
    inputs = {name: keras.Input((WIDTH,), name=name) for name in "ab"}
    one, two = simple(name="one"), simple(name="two")
    total = one(inputs["a"]) + two(inputs["b"])
    model = keras.Model(inputs, total)
    with pytest.raises(ValueError, match=r"calls=\['one', 'two'\]"):
        with_expert_outputs(model)
    arrays = {"a": draw(3, WIDTH), "b": draw(3, WIDTH, seed=1)}
    for mixture in (two, "two"):
        found = with_expert_outputs(model, mixture)(arrays)
        (bank,) = two.experts
        assert_close(found["expert_logits"], numpy_of(bank(arrays["b"])))
        assert_close(found["probabilities"], numpy_of(model(arrays)))


def test_a_mixture_inside_an_expert_goes_its_own_way():
    sparse = GatingLayer(4, top_k=1, kernel_initializer="glorot_normal")
    inner = model_of(simple(sparse, "inner"))
    moe = MixtureOfExperts(
        [ModelExpert(inner), DenseExpert(3, 1, **LINEAR)], GatingLayer(2)
    )
    model, inputs = model_of(moe), draw(6, WIDTH)
    found = with_expert_outputs(model)(inputs)
    assert_close(found["expert_logits"][:, 0], numpy_of(inner(inputs)))
    assert found["gates"].shape == (6, 2)


@only_tensorflow
def test_texts():
    words = keras.layers.TextVectorization(
        vocabulary=["good", "bad"], output_sequence_length=3
    )
    inputs = keras.Input((), dtype="string")
    x = keras.layers.Embedding(4, WIDTH)(words(inputs))
    x = keras.layers.GlobalAveragePooling1D()(x)
    fused = MixtureOfExperts(
        DenseExpert(2, 3, **LINEAR), GatingLayer(3), LogitFusion()
    )(x)
    model = keras.Model(inputs, fused)
    texts = np.array(["good", "bad good"], object)
    found = with_expert_outputs(model).predict(texts, verbose=0)
    assert_close(found["probabilities"], model.predict(texts, verbose=0))


def twice():
    inputs, moe = keras.Input((CLASSES,)), simple()
    return keras.Model(inputs, moe(moe(inputs)))


REFUSED = {
    "there is none": (
        lambda: model_of(keras.layers.Dense(3)),
        r"calls=\[\]",
    ),
    "gates of positions": (
        lambda: model_of(
            simple(UniformGating(4, level="position")),
            keras.layers.GlobalAveragePooling1D(),
            shape=(6, WIDTH),
        ),
        r"must have gates \(B, E\)",
    ),
    "features": (
        lambda: model_of(simple(units=7), keras.layers.Dense(3)),
        r"expert_shape=\(None, 4, 7\)",
    ),
    "called twice": (twice, r"calls=\['moe', 'moe'\]"),
    "not built": (
        lambda: keras.Sequential([keras.layers.Dense(3)]),
        "must be functional or sequential, and built",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case):
    make, message = REFUSED[case]
    with pytest.raises(ValueError, match=message):
        with_expert_outputs(make())
