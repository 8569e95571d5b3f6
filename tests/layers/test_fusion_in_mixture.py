"""Every fusion behind every dispatch, and in a saved model."""

import keras
import numpy as np
import pytest

from moe_keras.layers import (
    DenseExpert,
    GatingLayer,
    HashGating,
    HierarchicalGating,
    LogitFusion,
    MixtureOfExperts,
    UniformGating,
    WeightedFusion,
    record_gates,
)
from tests.gradients import gradients_of
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
    if (kind, top_k) == ("linear", 1):
        pytest.skip("refused, see below")
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


LONE = {
    "top_1": lambda: GatingLayer(4, 1),
    "sigmoid": lambda: GatingLayer(4, 1, activation="sigmoid"),
    "hierarchical": lambda: HierarchicalGating(2, 2, 1, 1),
    "one_group": lambda: HierarchicalGating(2, 2, top_groups=1),
}


def cross_entropy(log_probabilities):
    labels = np.arange(len(log_probabilities)) % 3
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    return loss(keras.ops.convert_to_tensor(labels), log_probabilities)


@pytest.mark.parametrize("kind", LONE)
def test_a_linear_pool_of_a_lone_gate_is_refused(kind, monkeypatch):
    gate, bank = LONE[kind](), DenseExpert(3, 4, activation=None)
    message = "MixtureOfExperts: `fusion` must not be a linear pool where a row"
    with pytest.raises(ValueError, match=message) as error:
        MixtureOfExperts(bank, gate, LogitFusion())
    assert "Received: fusion=<LogitFusion" in str(error.value)
    # This is what it is refused for: the router would learn nothing.
    inputs = draw(12, 5)
    slopes = []
    for pool in ("linear", "logarithmic"):
        monkeypatch.setattr(LogitFusion, "loses_scale", False)
        gate = LONE[kind]()
        for loss in ("balance_loss", "z_loss"):
            setattr(gate, loss, 0.0)
        moe = MixtureOfExperts(bank, gate, LogitFusion(pool), dispatch="dense")
        moe(inputs)
        randomize(moe)
        _, gradients, _ = gradients_of(moe, (inputs,), cross_entropy)
        router = gate.weights[0]
        (place,) = [
            i for i, w in enumerate(moe.trainable_weights) if w is router
        ]
        slopes.append(np.max(np.abs(gradients[place])))
    assert slopes[0] < 1e-6
    assert slopes[1] > 1e-3


def test_a_linear_pool_of_other_gates_is_not():
    bank = DenseExpert(3, 4)
    for gate in (
        GatingLayer(4),
        GatingLayer(4, 2),
        HierarchicalGating(2, 2, 2, 1),
        # Nothing is learned there.
        HashGating(4, column=0),
        UniformGating(4, [0, 1, 0, 0]),
        keras.layers.Dense(4, activation="softmax"),
    ):
        MixtureOfExperts(bank, gate, LogitFusion())
    MixtureOfExperts(DenseExpert(3, 1), GatingLayer(1, 1), LogitFusion())


@only_tensorflow
def test_a_broken_expert_does_not_reach_a_saved_model(tmp_path):
    import tensorflow as tf

    from moe_keras.export import export_saved_model

    inputs = keras.Input((5,), name="x")
    moe = MixtureOfExperts(
        DenseExpert(4, 3, activation="linear"),
        GatingLayer(3, top_k=2, kernel_initializer="glorot_normal"),
        WeightedFusion(drop_non_finite=True),
        name="moe",
    )
    model = keras.Model(inputs, moe(inputs))
    randomize(model)
    # Weights must be finite; what this expert makes of inputs above 2 is not.
    kernel = numpy_of(moe.experts[0]._kernels[0]).copy()
    kernel[1] = 3e38
    moe.experts[0]._kernels[0].assign(kernel)
    x = np.abs(draw(20, 5)) + 2
    for dispatch in ("dense", "sorted"):
        path = tmp_path / dispatch
        export_saved_model(model, path, dispatch=dispatch)
        artefact = tf.saved_model.load(str(path))
        result = artefact.signatures["explain"](x=tf.constant(x))
        gates = numpy_of(result["gates"])
        assert np.any(gates[:, 1] > 0)
        functions = functions_of(moe.experts[0])
        with np.errstate(over="ignore"):
            outputs = np.stack(
                [np.stack([one(row) for one in functions]) for row in x]
            )
        assert not np.isfinite(outputs[gates[:, 1] > 0, 1]).any()
        outputs[gates == 0] = 0
        expected = expected_of(moe.fusion, outputs, gates)
        assert_close(result["outputs"], expected)
    again = keras.saving.load_model(_saved(model, tmp_path))
    assert_close(again(x), numpy_of(model(x)))


def _saved(model, folder):
    path = folder / "model.keras"
    model.save(path)
    return path
