"""SavedModels: equal to the model, sparse, and free of this package."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from moe_keras.demo.served import predict_without_keras
from moe_keras.export import export_saved_model, saved_model
from moe_keras.layers import (
    DenseExpert,
    GatingLayer,
    MixtureOfExperts,
    MoEFeedForward,
    MultiGateMixture,
    WeightedFusion,
)
from moe_keras.zoo import build_image_moe
from tests.tools import operations


def tokens_model(dispatch="auto"):
    tokens = keras.Input((None, 8), name="tokens")
    moe = MixtureOfExperts(
        DenseExpert(8, 4, hidden_units=16),
        GatingLayer(4, top_k=2),
        dispatch=dispatch,
        name="moe",
    )
    return keras.Model(tokens, moe(tokens))


def node_names(artefact, endpoint="serving_default"):
    return operations(artefact.signatures[endpoint].graph)


def test_it_runs_where_neither_keras_nor_this_package_can_be_imported(tmp_path):
    model = build_image_moe(
        (8, 8, 1),
        10,
        experts={"conv": 2, "recurrent": 2},
        top_k=2,
        augmentation=0.1,
    )
    images = np.random.default_rng(0).uniform(size=(7, 8, 8, 1))
    images = images.astype("float32")
    path = export_saved_model(model, tmp_path / "artefact")
    served = predict_without_keras(path, images)
    expected = model.predict(images, verbose=0)
    np.testing.assert_allclose(served["outputs"], expected, atol=1e-5)
    np.testing.assert_allclose(served["explained"], expected, atol=1e-5)
    assert served["gates"].shape == (7, 4)
    np.testing.assert_allclose(served["gates"].sum(axis=1), 1, atol=1e-5)
    assert ((served["gates"] > 0).sum(axis=1) == 2).all()


def test_a_failing_process_says_why(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(RuntimeError, match=r"(?s)fresh process.*SavedModel"):
        predict_without_keras(tmp_path / "empty", np.zeros((1, 2)))


@pytest.mark.parametrize("dispatch", ["dense", "sorted", "gather"])
def test_every_dispatch_and_any_length(tmp_path, dispatch):
    model = tokens_model()
    export_saved_model(model, tmp_path, dispatch=dispatch)
    assert model.get_layer("moe").dispatch == "auto"
    artefact = tf.saved_model.load(str(tmp_path))
    for rows, length in ((1, 1), (3, 5), (2, 0)):
        x = np.random.default_rng(0).normal(size=(rows, length, 8))
        x = tf.constant(x, "float32")
        served = artefact.signatures["serving_default"](tokens=x)["outputs"]
        np.testing.assert_allclose(served, model(x), atol=1e-5)


def test_sorted_artefacts_split_rows_and_dense_ones_do_not(tmp_path):
    export_saved_model(tokens_model("sorted"), tmp_path / "sorted")
    export_saved_model(tokens_model("dense"), tmp_path / "dense")
    names = {
        kind: node_names(tf.saved_model.load(str(tmp_path / kind)))
        for kind in ("sorted", "dense")
    }
    assert "SplitV" in names["sorted"]
    assert "SplitV" not in names["dense"]


def test_nothing_is_assigned_in_an_artefact(tmp_path):
    gate = GatingLayer(2, top_k=2, noisy=True)
    model = build_image_moe(
        (8, 8, 1),
        3,
        experts={"conv": 1, "recurrent": 1},
        gate=gate,
        augmentation=0.1,
    )
    export_saved_model(model, tmp_path)
    artefact = tf.saved_model.load(str(tmp_path))
    for endpoint in ("serving_default", "explain"):
        assigns = {n for n in node_names(artefact, endpoint) if "Assign" in n}
        assert not assigns


@pytest.mark.parametrize("trained", [False, True])
def test_a_load_bias_is_read_in_an_artefact_and_not_assigned(trained, tmp_path):
    gate = GatingLayer(4, top_k=2, load_bias=0.5, name="gate")
    tokens = keras.Input((4,), name="x")
    moe = MixtureOfExperts(DenseExpert(3, 4), gate)
    model = keras.Model(tokens, moe(tokens))
    x = np.random.default_rng(0).normal(size=(8, 4)).astype("float32")
    if trained:
        model.compile("sgd", "mse")
        model.fit(x, x[:, :3], verbose=0)
        assert np.any(gate.selection_bias.numpy() != 0)
    export_saved_model(model, tmp_path)
    artefact = tf.saved_model.load(str(tmp_path))
    for endpoint in ("serving_default", "explain"):
        names = node_names(artefact, endpoint)
        assert not {name for name in names if "Assign" in name}
        # Asking twice gives the same answer.
        serve = artefact.signatures[endpoint]
        for _ in range(2):
            served = serve(x=tf.constant(x))["outputs"]
            np.testing.assert_allclose(served, model(x), atol=1e-5)


@pytest.mark.parametrize(
    ("policy", "dispatch", "error"),
    [("mixed_bfloat16", None, 2**-8), ("mixed_float16", "capacity", 2**-11)],
)
def test_half_precision_can_be_exported(tmp_path, policy, dispatch, error):
    keras.config.set_dtype_policy(policy)
    inputs = keras.Input((5, 8), name="tokens")
    block = MoEFeedForward(4, 6, shared_units=4, eval_capacity_factor=2.0)
    model = keras.Model(inputs, block(inputs))
    export_saved_model(model, tmp_path, dispatch=dispatch)
    serve = tf.saved_model.load(str(tmp_path)).signatures["serving_default"]
    x = np.random.default_rng(0).normal(size=(3, 5, 8)).astype("float32")
    served = serve(tokens=tf.constant(x))["outputs"]
    assert served.dtype.name == policy.removeprefix("mixed_")
    served, own = (tf.cast(value, "float32") for value in (served, model(x)))
    # Rounded otherwise, but routed alike: the gate computes in float32.
    np.testing.assert_allclose(served, own, rtol=4 * error, atol=4 * error)


@pytest.mark.parametrize("dispatch", ["dense", "capacity"])
def test_static_artefacts_compile_with_xla(tmp_path, dispatch):
    model = tokens_model("sorted")
    # E / K: a place for every row.
    model.get_layer("moe").eval_capacity_factor = 2.0
    export_saved_model(model, tmp_path, dispatch=dispatch)
    artefact = tf.saved_model.load(str(tmp_path))
    serve = artefact.signatures["serving_default"]
    compiled = tf.function(lambda x: serve(tokens=x), jit_compile=True)
    x = tf.constant(np.random.default_rng(0).normal(size=(2, 3, 8)), "float32")
    np.testing.assert_allclose(compiled(x)["outputs"], model(x), atol=1e-5)


@pytest.mark.parametrize("dispatch", ["dense", "capacity"])
def test_several_gates_compile_with_xla_too(tmp_path, dispatch):
    inputs = keras.Input((5,), name="x")
    gates = {name: GatingLayer(4, 2, name=f"gate_{name}") for name in "ab"}
    layer = MultiGateMixture(DenseExpert(3, 4), gates)
    model = keras.Model(inputs, layer(inputs))
    export_saved_model(model, tmp_path, dispatch=dispatch)
    assert layer.runs_chosen
    artefact = tf.saved_model.load(str(tmp_path))
    serve = artefact.signatures["serving_default"]
    compiled = tf.function(lambda x: serve(x=x), jit_compile=True)
    x = np.random.default_rng(0).normal(size=(6, 5)).astype("float32")
    expected = model.predict(x, verbose=0)
    for name, found in compiled(tf.constant(x)).items():
        np.testing.assert_allclose(found, expected[name], atol=1e-5)


def test_keras_own_export_works_too(tmp_path):
    model = tokens_model()
    model.export(tmp_path / "own", verbose=False)
    artefact = tf.saved_model.load(str(tmp_path / "own"))
    x = tf.ones((2, 3, 8))
    np.testing.assert_allclose(artefact.serve(x), model(x), atol=1e-6)


def test_several_inputs_outputs_and_gates_keep_their_names(tmp_path):
    a, b = keras.Input((4,), name="a"), keras.Input((4,), name="b")
    first = GatingLayer(2, name="first")(a)
    second = GatingLayer(3, name="second")(b)
    one = WeightedFusion(name="one")([DenseExpert(5, 2)(a, first), first])
    two = WeightedFusion(name="two")([DenseExpert(6, 3)(b, second), second])
    for outputs in ([one, two], {"one": one, "two": two}):
        model = keras.Model({"a": a, "b": b}, outputs)
        export_saved_model(model, tmp_path)
        artefact = tf.saved_model.load(str(tmp_path))
        x = {name: tf.ones((2, 4)) for name in "ab"}
        result = artefact.signatures["explain"](**x)
        shapes = {name: tuple(value.shape) for name, value in result.items()}
        assert shapes == {
            "one": (2, 5),
            "two": (2, 6),
            "gates_first": (2, 2),
            "gates_second": (2, 3),
        }


def test_a_nested_mixture_is_explained(tmp_path):
    x = keras.Input((3, 8), name="x")
    model = keras.Model(x, keras.layers.Dense(2)(tokens_model()(x)))
    export_saved_model(model, tmp_path)
    artefact = tf.saved_model.load(str(tmp_path))
    result = artefact.signatures["explain"](x=tf.ones((2, 3, 8)))
    assert tuple(result["gates"].shape) == (2, 3, 4)


def test_an_artefact_that_differs_is_refused(tmp_path, monkeypatch):
    model = tokens_model()
    serve = saved_model._serve

    def wrong(model):
        inner = serve(model)
        return lambda inputs: {"outputs": inner(inputs)["outputs"] + 1e-3}

    monkeypatch.setattr(saved_model, "_serve", wrong)
    with pytest.raises(
        ValueError, match=r"is not the model's\. Received: larg"
    ):
        export_saved_model(model, tmp_path)


def test_bad_arguments_are_named(tmp_path):
    with pytest.raises(
        ValueError, match=r"must be a keras\.Model that is built"
    ):
        export_saved_model(keras.Sequential(), tmp_path)
    with pytest.raises(ValueError, match="Received: dispatch='loop'"):
        export_saved_model(tokens_model(), tmp_path, dispatch="loop")


def test_a_model_without_inputs_of_its_own_is_refused(tmp_path):
    class Own(keras.Model):
        def call(self, inputs):
            return inputs

    model = Own()
    model(np.ones((2, 3)))
    with pytest.raises(ValueError, match=r"knows its inputs.*Received: model="):
        export_saved_model(model, tmp_path)


def test_a_sequential_model_gets_the_one_tensor_that_it_was_built_for():
    layers = [keras.Input((3,), name="row"), keras.layers.Dense(2)]
    model = keras.Sequential(layers)
    rows = np.ones((2, 3), "float32")
    # Keras would warn of a list, and warnings are errors.
    found = saved_model._call(model, {"row": rows})
    np.testing.assert_array_equal(found["outputs"], model(rows))
