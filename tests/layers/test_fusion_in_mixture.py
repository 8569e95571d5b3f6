"""Every fusion behind every dispatch, and in a saved model."""

import keras
import numpy as np
import pytest

from moe_keras.layers import (
    DenseExpert,
    GatingLayer,
    MixtureOfExperts,
    WeightedFusion,
    record_gates,
)
from tests.layers.test_dense_expert import functions_of
from tests.layers.test_fusion_kinds import KINDS, expected_of
from tests.tools import (
    assert_close,
    draw,
    numpy_of,
    only_tensorflow,
    randomize,
)


@pytest.mark.parametrize("dispatch", ["dense", "sorted"])
@pytest.mark.parametrize("top_k", [1, 2, None])
@pytest.mark.parametrize("kind", KINDS)
def test_every_dispatch_fuses_alike(kind, top_k, dispatch):
    inputs = draw(2, 3, 5)
    moe = MixtureOfExperts(
        DenseExpert(4, 4, activation="tanh"),
        GatingLayer(4, top_k),
        KINDS[kind](drop_non_finite=True),
        dispatch=dispatch,
    )
    moe(inputs)
    randomize(moe)
    # One expert is broken, and so is what it returns.
    bias = numpy_of(moe.experts[0]._biases[0]).copy()
    bias[2] = np.nan
    moe.experts[0]._biases[0].assign(bias)
    with record_gates() as record:
        fused = moe(inputs)
    (gates,) = map(numpy_of, record.values())
    functions = functions_of(moe.experts[0])
    outputs = np.stack(
        [
            np.stack([function(row) for function in functions])
            for row in inputs.reshape(-1, 5)
        ]
    ).reshape(2, 3, 4, 4)
    outputs[gates == 0] = 0
    assert np.any(gates[..., 2] > 0)
    assert_close(fused, expected_of(moe.fusion, outputs, gates))


@only_tensorflow
def test_a_broken_expert_does_not_reach_a_saved_model(tmp_path):
    import tensorflow as tf

    from moe_keras.export import export_saved_model

    inputs = keras.Input((5,), name="x")
    moe = MixtureOfExperts(
        DenseExpert(4, 3, activation="tanh"),
        GatingLayer(3, top_k=2, kernel_initializer="glorot_normal"),
        WeightedFusion(drop_non_finite=True),
        name="moe",
    )
    model = keras.Model(inputs, moe(inputs))
    randomize(model)
    bias = numpy_of(moe.experts[0]._biases[0]).copy()
    bias[1] = np.nan
    moe.experts[0]._biases[0].assign(bias)
    x = draw(20, 5)
    for dispatch in ("dense", "sorted"):
        path = tmp_path / dispatch
        export_saved_model(model, path, dispatch=dispatch)
        artefact = tf.saved_model.load(str(path))
        result = artefact.signatures["explain"](x=tf.constant(x))
        gates = numpy_of(result["gates"])
        assert np.any(gates[:, 1] > 0)
        functions = functions_of(moe.experts[0])
        outputs = np.stack(
            [np.stack([function(row) for function in functions]) for row in x]
        )
        outputs[gates == 0] = 0
        expected = expected_of(moe.fusion, outputs, gates)
        assert_close(result["outputs"], expected)
    again = keras.saving.load_model(_saved(model, tmp_path))
    assert_close(again(x), numpy_of(model(x)))


def _saved(model, folder):
    path = folder / "model.keras"
    model.save(path)
    return path
