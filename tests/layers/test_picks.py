"""Gates hand the mixture the experts that they chose, so that it need not."""

import keras
import numpy as np
import pytest
from keras import ops

from moe_keras.layers import (
    DenseExpert,
    GatingLayer,
    HashGating,
    MixtureOfExperts,
)
from moe_keras.layers.gates_record import record_picks
from moe_keras.ops import kernels
from tests.tools import assert_close, draw, numpy_of

pytestmark = pytest.mark.jax

GATES = {
    "top_k": lambda: GatingLayer(5, top_k=2),
    "top_p": lambda: GatingLayer(5, top_k=3, top_p=0.5),
    "sigmoid": lambda: GatingLayer(5, top_k=2, activation="sigmoid"),
    "load_bias": lambda: GatingLayer(5, top_k=2, load_bias=1e-3),
    "order": lambda: GatingLayer(5, top_k=2, order="top_k_softmax"),
    "scores": lambda: GatingLayer(5, top_k=2, normalize=False),
    "top_1": lambda: GatingLayer(5, top_k=1),
    "half": lambda: GatingLayer(5, top_k=2, dtype="mixed_float16"),
    "hash": lambda: HashGating(5, column=0),
}


def inputs_for(name):
    if name == "hash":
        return np.arange(12, dtype="int32").reshape(6, 2)
    return draw(6, 4)


@pytest.mark.parametrize("name", GATES)
def test_picks_are_the_experts_with_gates(name):
    gate = GATES[name]()
    with record_picks() as picks:
        gates = numpy_of(gate(ops.convert_to_tensor(inputs_for(name))))
    (found,) = picks
    experts, weights = map(numpy_of, found)
    assert experts.shape == (6, gate.choices)
    assert weights.dtype == gates.dtype
    np.testing.assert_array_equal(
        weights, np.take_along_axis(gates, experts, axis=1)
    )
    for row, mine in zip(gates, experts, strict=True):
        assert len(set(mine.tolist())) == gate.choices
        assert set(np.flatnonzero(row)) <= set(mine.tolist())
        assert (np.diff(row[mine]) <= 0).all()


def test_a_broken_row_goes_to_the_experts_that_are_spoiled():
    gate = GatingLayer(5, top_k=2, load_bias=1e-3)
    rows = draw(4, 3)
    gate(ops.convert_to_tensor(rows))
    gate.selection_bias.assign([0.0, 0.0, 0.0, 9.0, 8.0])
    rows[1, 0] = np.nan
    with record_picks() as picks:
        gates = numpy_of(gate(ops.convert_to_tensor(rows)))
    experts = numpy_of(picks[0].experts)
    assert np.isnan(gates[1, experts[1]]).all()
    assert experts[[0, 2, 3]].tolist() == [[3, 4]] * 3


def test_an_expert_mask_leaves_the_choice_to_the_mixture():
    gate = GatingLayer(5, top_k=2)
    with record_picks() as picks:
        gate(
            ops.convert_to_tensor(draw(4, 3)),
            expert_mask=[True, False, True, True, False],
        )
    assert picks == []


def test_nothing_is_kept_without_a_record():
    with record_picks() as outer:
        pass
    GatingLayer(5, top_k=2)(ops.convert_to_tensor(draw(4, 3)))
    assert outer == []


def test_a_mixture_sorts_the_scores_once(monkeypatch):
    calls = []
    original = kernels.top_k

    def counted(scores, k):
        calls.append(k)
        return original(scores, k)

    monkeypatch.setattr(kernels, "top_k", counted)
    layer = MixtureOfExperts(
        DenseExpert(4, 5), GatingLayer(5, top_k=2), dispatch="sorted"
    )
    x = ops.convert_to_tensor(draw(6, 3))
    y = layer(x)
    calls.clear()
    y = layer(x)
    assert calls == [2]
    layer.dispatch = "dense"
    assert_close(y, numpy_of(layer(x)))


def test_a_users_gate_with_a_gating_layer_inside_is_read_by_its_output():
    inside = keras.Input((3,))
    gates = GatingLayer(4, top_k=2)(inside)
    # Another choice than the inner one.
    turned = keras.layers.Reshape((4,))(ops.flip(gates, axis=-1))
    layer = MixtureOfExperts(
        DenseExpert(2, 4), keras.Model(inside, turned), dispatch="sorted"
    )
    x = ops.convert_to_tensor(draw(6, 3))
    y = layer(x)
    layer.dispatch = "dense"
    assert_close(y, numpy_of(layer(x)))
