"""What a multi-gate mixture costs, and what it refuses."""

import keras
import pytest

from moe_keras.layers import (
    DenseExpert,
    GatingLayer,
    LogitFusion,
    MultiGateMixture,
)
from moe_keras.ops.cost import count_layer, count_multiply_adds
from tests.layers.test_multi_gate_mixture import ROWS, TASKS, built, make
from tests.tools import draw


def test_cost_counts_an_expert_once():
    layer = built("mmoe")
    # 5 x 4 and 4 x 3 of two experts, 5 x 3 of one.
    experts = 2 * (20 + 12) + 15
    gates = 2 * 5 * 3
    fusions = 2 * 3 * 3
    cost = count_layer(layer, [(None, 5)])
    assert cost.total == cost.active == experts + gates + fusions


def test_cost_of_sparse_choices_and_of_levels():
    bank, gates = DenseExpert(3, 4), {t: GatingLayer(4, 1) for t in TASKS}
    layer = MultiGateMixture(bank, gates)
    inputs = keras.Input((5,))
    layer(inputs)
    cost = count_layer(layer, [(None, 5)])
    assert cost.total == 4 * 15 + 2 * 5 * 4 + 2 * 4 * 3
    # A row reaches an expert unless both tasks pass it over.
    reached = 4 * (1 - 0.75**2)
    assert cost.active == pytest.approx(reached * 15 + 2 * 20 + 2 * 3)
    first, second = built("ple"), make("cgc", units=2)
    model = keras.Model(inputs, second(first(inputs)))
    found = count_multiply_adds(model).layers[second.name]
    # 3 x 4, 4 x 2 of three experts with a hidden layer, 3 x 2 of three others.
    experts = 3 * (12 + 8) + 3 * 6
    assert found.total == experts + 3 * 4 + 3 * 5 + 2 * 4 + 2 * 5


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"gates": {}}, "`gates` must be a dict of gates by task"),
        ({"gates": {"shared": GatingLayer(2)}}, "'shared' is no task"),
        ({"gates": {"a": keras.layers.Dense(2)}}, "kind Gate"),
        ({"gates": {"a": GatingLayer(3)}}, r"'a'.*2 experts.*gate_outputs=3"),
        ({"task_experts": {"b": DenseExpert(3)}}, "tasks that have a gate"),
        ({"task_experts": [DenseExpert(3)]}, "dict of banks by task"),
        ({"shared_gate": GatingLayer(3)}, r"'shared'.*gate_outputs=3"),
        ({"fusion": "sum"}, "`fusion` must be a Keras layer"),
        (
            {"gates": {"a": GatingLayer(2, 1)}, "fusion": LogitFusion()},
            "must not be a linear pool",
        ),
        ({"experts": []}, "one or more banks"),
    ],
)
def test_what_is_refused(change, message):
    usual = {"experts": DenseExpert(3, 2), "gates": {"a": GatingLayer(2)}}
    with pytest.raises(ValueError, match=message):
        MultiGateMixture(**{**usual, **change})


def test_inputs_that_do_not_fit():
    one = {"a": GatingLayer(2)}
    with pytest.raises(ValueError, match="a dict with 'shared' and each task"):
        MultiGateMixture(DenseExpert(3, 2), one)({"a": ROWS})
    layer = MultiGateMixture(
        DenseExpert(3, 2),
        {"a": GatingLayer(2), "b": GatingLayer(2, level="sample")},
    )
    with pytest.raises(ValueError, match="all gates must be of samples"):
        layer(draw(2, 3, 5))
    layer = MultiGateMixture(
        DenseExpert(3), {"a": GatingLayer(2)}, {"a": DenseExpert(4)}
    )
    with pytest.raises(ValueError, match="agree on the shape"):
        layer(ROWS)
