"""Budgets, and costs before a training."""

import math

import pytest

from moe_keras.data import load_dataset
from moe_keras.ops.cost import count_multiply_adds
from moe_keras.search import Budget, ModelCost
from moe_keras.search.budget import measure_cost
from moe_keras.zoo import build_image_moe


def test_an_empty_budget_is_refused():
    rule = "Budget: at least one of max_multiply_adds, .* Received: max_m"
    with pytest.raises(ValueError, match=rule):
        Budget()


@pytest.mark.parametrize("name", ["multiply_adds", "parameters", "latency_ms"])
@pytest.mark.parametrize("limit", [0, -1.0, math.inf, math.nan, "2", True])
def test_a_limit_is_a_number_above_0(name, limit):
    rule = f"Budget: `max_{name}` must be a number above 0. Received"
    with pytest.raises(ValueError, match=rule):
        Budget(**{f"max_{name}": limit})


@pytest.mark.parametrize(
    ("name", "value", "unit"),
    [
        ("multiply_adds", 1001.0, "1,001 multiply-adds, above 1,000"),
        ("parameters", 1001, "1,001 parameters, above 1,000"),
        ("latency_ms", 1001.0, "1,001 ms, above 1,000"),
    ],
)
def test_which_limit_is_exceeded(name, value, unit):
    budget = Budget(**{f"max_{name}": 1000})
    free = {"multiply_adds": 9e9, "parameters": 10**9, "latency_ms": 9e9}
    assert budget.excess(ModelCost(**{**free, name: 1000})) is None
    assert budget.excess(ModelCost(**{**free, name: value})) == unit


def test_costs_of_a_model():
    split = load_dataset("digits").validation
    model = build_image_moe((8, 8, 1), 10, stem_filters=4, expert_filters=[4])
    cost = measure_cost(model, split)
    assert cost.multiply_adds == count_multiply_adds(model).active
    assert cost.parameters == sum(
        math.prod(weight.shape) for weight in model.weights
    )
    assert cost.latency_ms is None
    assert measure_cost(model, split, latency=True).latency_ms > 0
