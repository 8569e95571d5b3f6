"""Stages in which sparse gates weigh all experts."""

import keras
import numpy as np
import pytest

from moe_keras.data.split import Split
from moe_keras.layers import (
    DenseExpert,
    GatingLayer,
    LogitFusion,
    MixtureOfExperts,
)
from moe_keras.training import Stage, fit_stages
from moe_keras.training.dense_gates import dense_gates
from moe_keras.training.input_pipeline import InputPipeline
from moe_keras.training.recipe_stages import fit_recipe_stages
from tests.tools import numpy_of
from tests.training.staged_recipe import SGD, recipe

ROWS = np.ones((32, 1), "float32")
LABELS = np.ones(32, "int32")
DENSE = Stage(
    name="gate", train="gate", epochs=4, learning_rate=0.5, dense_gates=True
)


def build(**options):
    """Two experts: one is always wrong, and chosen; the other always right."""
    inputs = keras.Input((1,))
    bank = DenseExpert(2, 2, use_bias=False, output_activation=None)
    options = {"top_k": 1, "balance_loss": 0.0, **options}
    router = GatingLayer(2, **options)
    x = MixtureOfExperts(bank, router, LogitFusion("logarithmic"), name="moe")(
        inputs
    )
    model = keras.Model(inputs, keras.layers.Softmax()(x))
    bank.set_weights([np.array([[[1.0, -1.0]], [[-1.0, 1.0]]])])
    router.weights[0].assign(np.array([[0.5, -0.5]]))
    model.compile(
        "sgd", "sparse_categorical_crossentropy", metrics=["accuracy"]
    )
    return model, router


def chosen(model):
    return numpy_of(model.get_layer("moe").gate(ROWS))[0] > 0


@pytest.mark.parametrize("options", [{}, {"top_k": 2, "top_p": 0.6}])
def test_a_dense_stage_finds_the_other(options):
    model, router = build(**options)
    assert chosen(model).tolist() == [True, False]
    # What was compiled of the sparse gate is not what is trained.
    assert model.evaluate(ROWS, LABELS, verbose=0)[1] == 0
    seen = []

    class Watch(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            seen.append(numpy_of(router(ROWS))[0])

    fit_stages(model, (ROWS, LABELS), [DENSE], verbose=0, callbacks=[Watch()])
    assert len(seen) == DENSE.epochs
    assert all((gates > 0).all() for gates in seen)
    assert seen[0][0] > seen[0][1]
    assert seen[-1][0] < seen[-1][1]
    # Sparse again, and what was compiled of the dense one is forgotten.
    assert (router.top_k, router.top_p) == (
        options.get("top_k", 1),
        options.get("top_p"),
    )
    assert chosen(model).tolist() == [False, True]
    fused = numpy_of(model.get_layer("moe")(ROWS))
    shown = np.exp(fused) / np.exp(fused).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(model.predict(ROWS, verbose=0), shown, atol=1e-6)


def test_in_a_recipe_too(tmp_path):
    model, router = build()
    stages = [{**DENSE.model_dump(), "epochs": 20}]
    batches = InputPipeline(ROWS, LABELS, 16, 0)
    found = fit_recipe_stages(
        model,
        recipe(stages=stages, optimizer=SGD),
        batches,
        Split(ROWS, LABELS).arrays,
        tmp_path,
        {},
    )
    assert found.history["accuracy"][-1] == 1
    assert router.top_k == 1
    scores = model.evaluate(ROWS, LABELS, verbose=0, return_dict=True)
    assert scores["accuracy"] == 1
    # That of the sparse gate, though it was compiled for the dense one.
    said = -np.log(numpy_of(model(ROWS))[:, 1]).mean()
    assert scores["log_loss"] == pytest.approx(said, abs=1e-6)
    assert found.history["val_log_loss"][-1] != pytest.approx(said, abs=1e-3)


def test_an_error_leaves_the_gate_sparse():
    model, router = build()

    def fail():
        with dense_gates(model):
            assert router.top_k == 2
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert router.top_k == 1
