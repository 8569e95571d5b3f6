"""Where every row goes to every expert, their load needs no measuring."""

import keras
import numpy as np
import pytest

from moe_keras.data import Split
from moe_keras.layers import DenseExpert, GatingLayer, MixtureOfExperts
from moe_keras.ops.cost import count_multiply_adds
from moe_keras.runner import scoring


def _model(**gate):
    inputs = keras.Input((3,))
    mixture = MixtureOfExperts(
        [DenseExpert(2, 2), DenseExpert(2, 1, hidden_units=9)],
        GatingLayer(3, **gate),
        name="moe",
    )
    return keras.Model(inputs, mixture(inputs))


@pytest.mark.parametrize(
    ("gate", "measured"),
    [({}, 0), ({"top_k": 3}, 0), ({"top_k": 1}, 1), ({"top_p": 0.5}, 1)],
)
def test_only_sparse_gates_are_measured(gate, measured, monkeypatch):
    model, asked = _model(**gate), []
    split = Split(np.eye(3, dtype="float32"), np.array([0, 1, 1]))
    measure = scoring.expert_load
    expected = count_multiply_adds(model, expert_load=measure(model, split))

    def spy(*arguments):
        asked.append(arguments)
        return measure(*arguments)

    monkeypatch.setattr(scoring, "expert_load", spy)
    found = scoring.cost(model, split)
    assert len(asked) == measured
    assert found == {
        "parameters": model.count_params(),
        "active_multiply_adds": expected.active,
        "total_multiply_adds": expected.total,
    }
    assert type(found["active_multiply_adds"]) is float
