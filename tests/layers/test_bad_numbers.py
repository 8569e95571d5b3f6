"""Arguments that are no numbers, or none that fit: an error with the name."""

import re

import numpy as np
import pytest

from moe_keras.layers import (
    CrossExpert,
    DenseExpert,
    ExpertChoiceGating,
    GatingLayer,
    LinearExpert,
    LowRankExpert,
    MoEFeedForward,
    MoETransformerBlock,
    RecurrentExpert,
    UniformGating,
)

# Made with the argument that the name says, and what else is needed.
RATES = {
    "dropout": [
        lambda value: CrossExpert(2, 2, dropout=value),
        lambda value: DenseExpert(3, 2, dropout=value),
        lambda value: LowRankExpert(3, 2, dropout=value),
        lambda value: RecurrentExpert(3, 2, dropout=value),
        lambda value: MoEFeedForward(3, 4, dropout=value),
        lambda value: MoETransformerBlock(2, 2, 3, 4, dropout=value),
    ],
    "jitter": [lambda value: GatingLayer(4, jitter=value)],
    "expert_dropout": [lambda value: GatingLayer(4, expert_dropout=value)],
}
MAKERS = [(name, make) for name, group in RATES.items() for make in group]
BANKS = [
    lambda: DenseExpert(3, 2),
    lambda: LinearExpert(3, 2),
    lambda: CrossExpert(2, 2),
    lambda: LowRankExpert(3, 2),
]


@pytest.mark.parametrize("value", ["0.1", None, 1.0, -0.1, np.nan, True, [0.1]])
@pytest.mark.parametrize(("name", "make"), MAKERS)
def test_a_rate_is_a_number_from_0_to_below_1(name, make, value):
    expected = f"`{name}` must be in [0, 1). Received: {name}={value!r}"
    with pytest.raises(ValueError, match=re.escape(expected)):
        make(value)


@pytest.mark.parametrize("value", [0, 0.0, 0.5, np.float32(0.25)])
@pytest.mark.parametrize(("name", "make"), MAKERS)
def test_rates_that_are_fine(name, make, value):
    assert getattr(make(value), name) == value


@pytest.mark.parametrize("value", ["1", np.nan, 0.0, 1.5, True])
def test_a_share_to_reach_is_a_number(value):
    with pytest.raises(ValueError, match=r"`top_p` must be .*top_p="):
        GatingLayer(4, 2, top_p=value)


@pytest.mark.parametrize("value", ["1", None, np.inf, 0, True])
def test_the_capacity_of_experts_that_choose_is_a_number(value):
    with pytest.raises(
        ValueError, match=r"capacity_factor` must be .*_factor="
    ):
        ExpertChoiceGating(4, value)


WRONG = ["ab", 0.5, [None, 1], [1], [[1, 2], 3], [np.nan, 1], [0, 0], [-1, 2]]


@pytest.mark.parametrize("weights", WRONG)
def test_weights_of_a_gate_are_a_number_for_each_expert(weights):
    with pytest.raises(ValueError, match="`weights` must be one number"):
        UniformGating(2, weights)


@pytest.mark.parametrize("weights", [[1, 3], (1.0, 3.0), np.array([1, 3])])
def test_weights_of_a_gate_may_be_any_sequence(weights):
    gate = UniformGating(2, weights)
    assert gate.get_config()["weights"] == [1.0, 3.0]
    assert gate.shares == [0.25, 0.75]


@pytest.mark.parametrize("shape", [(), (8,)])
@pytest.mark.parametrize("make", BANKS)
def test_banks_refuse_inputs_without_an_axis_of_rows(make, shape):
    rule = r"`inputs` must be \(\.\.\., D\) with a known D\. Received: "
    with pytest.raises(ValueError, match=rule + r"input_shape=\("):
        make()(np.ones(shape, "float32"))


@pytest.mark.parametrize("make", BANKS)
def test_banks_refuse_an_open_width(make):
    with pytest.raises(ValueError, match=r"input_shape=\(4, None\)"):
        make().build((4, None))
