"""Costs of subsets are those of the models that would be kept."""

from itertools import combinations

import keras
import numpy as np
import pytest

from moe_keras.layers import (
    AttentionFusion,
    AugmentedExperts,
    ConvExpert,
    CrossExpert,
    EmbeddedExperts,
    ExpertChoiceGating,
    FeatureGating,
    GatingLayer,
    LowRankExpert,
    ModelExpert,
    MoEFeedForward,
    MoETransformerBlock,
    RecurrentExpert,
    SequenceConvExpert,
    TextFeatures,
    UniformGating,
)
from moe_keras.lifecycle import keep_experts
from moe_keras.ops.cost import count_multiply_adds
from moe_keras.search import costs
from moe_keras.search.costs import (
    latency_cost,
    multiply_add_cost,
    parameter_cost,
)
from tests.search.models import ROWS, dense, mixed, mixture_of, model_of


def model_with(layer, shape=(5,), dtype="float32"):
    inputs = keras.Input(shape, dtype=dtype)
    return keras.Model(inputs, keras.layers.Dense(3)(layer(inputs)))


def banks():
    frozen = keras.Sequential([keras.Input((5,)), keras.layers.Dense(3)])
    return [
        dense(2, name="dense"),
        LowRankExpert(3, 2, (5, 4), name="low_rank"),
        CrossExpert(3, 1, name="cross"),
        ModelExpert(frozen, name="model"),
    ]


def of_texts():
    inner = [
        SequenceConvExpert(3, num_experts=2, output_units=3, name="conv"),
        RecurrentExpert(3, num_experts=1, output_units=3, name="gru"),
    ]
    words = [
        EmbeddedExperts(inner, 20, 4, name="words"),
        EmbeddedExperts(
            RecurrentExpert(2, num_experts=2, output_units=3), 9, 3, name="few"
        ),
    ]
    gate = FeatureGating(TextFeatures(), GatingLayer(5))
    return model_with(mixture_of(gate, words), (6,), "int32")


def of_images():
    bank = ConvExpert((3,), 4, pooling="avg")
    mixture = mixture_of(GatingLayer(4), AugmentedExperts(bank))
    return model_with(mixture, (8, 8, 1))


SOFT = {
    "dense": lambda: model_of(mixture_of()),
    "banks": lambda: model_of(mixture_of(GatingLayer(6), banks())),
    "cosine": lambda: model_of(
        mixture_of(GatingLayer(4, scores="cosine", score_units=4))
    ),
    "attention_fusion": lambda: model_of(mixture_of(fusion=AttentionFusion(2))),
    "shared": lambda: model_of(mixture_of(shared=keras.layers.Dense(3))),
    "uniform": lambda: model_of(mixture_of(UniformGating(4))),
    "weighted": lambda: model_of(mixture_of(UniformGating(4, [1, 0, 2, 3]))),
    "texts": of_texts,
    "images": of_images,
    "block": lambda: model_with(
        MoEFeedForward(4, 6, None, shared_units=3, residual=True, name="moe"),
        (3, 5),
    ),
    "transformer": lambda: model_with(
        MoETransformerBlock(2, 3, 4, 6, None, name="moe"), (3, 5)
    ),
}
UNEVEN = {
    "sparse_banks": lambda: model_of(mixture_of(GatingLayer(6, 2), banks())),
    "choice": lambda: model_of(mixture_of(ExpertChoiceGating(5), mixed())),
}
EVEN = {
    "sparse": lambda: model_of(mixture_of(GatingLayer(4, 2, noisy=True))),
    "sparse_block": lambda: model_with(
        MoEFeedForward(4, 6, name="moe"), (3, 5)
    ),
}


def check(model, cost_of, cost):
    holder = model.get_layer("moe")
    cost_of = cost_of(model, holder, None)
    count = holder.num_experts
    every = [
        c
        for n in (1, 2, count - 1, count)
        for c in combinations(range(count), n)
    ]
    # Each of the kinds, and not all the time in the world.
    for kept in every[:: max(1, len(every) // 8)]:
        weights = getattr(holder.gate, "given_weights", None)
        if weights and not any(weights[index] for index in kept):
            continue
        expected = cost(keep_experts(model, kept))
        assert cost_of(kept) == pytest.approx(expected, rel=1e-9)
    everyone = cost_of(tuple(range(count)))
    assert everyone == pytest.approx(cost(model), rel=1e-9)


@pytest.mark.parametrize("kind", {**SOFT, **UNEVEN, **EVEN})
def test_parameters(kind):
    model = {**SOFT, **UNEVEN, **EVEN}[kind]()
    check(model, parameter_cost, lambda kept: kept.count_params())


@pytest.mark.parametrize("kind", {**SOFT, **UNEVEN})
def test_multiply_adds(kind):
    model = {**SOFT, **UNEVEN}[kind]()
    check(
        model, multiply_add_cost, lambda kept: count_multiply_adds(kept).active
    )


@pytest.mark.parametrize("cost", [multiply_add_cost, latency_cost])
@pytest.mark.parametrize("kind", EVEN)
def test_removal_does_not_pay_where_others_step_in(kind, cost, monkeypatch):
    monkeypatch.setattr(costs, "_time", lambda model, rows: 1.0)
    model = EVEN[kind]()
    inputs = np.zeros((4, *model.input_shape[1:]), "float32")
    with pytest.raises(ValueError, match="use cost='parameters'"):
        cost(model, model.get_layer("moe"), inputs)


def test_latency_is_fitted_to_its_two_ends(monkeypatch):
    times = {"wide": 2.0, "cross": 3.0, "whole": 9.0, "one": 4.0}
    asked = []

    def time(model, rows):
        names = [layer.name for layer in model.layers]
        found = next((n for n in ("wide", "cross") if n in names), None)
        if found is None:
            (moe,) = (layer for layer in model.layers if layer.name == "moe")
            found = "whole" if moe.num_experts == 5 else "one"
        asked.append(found)
        return times[found]

    monkeypatch.setattr(costs, "_time", time)
    model = model_of(mixture_of(GatingLayer(5), mixed()))
    cost_of = latency_cost(model, model.get_layer("moe"), ROWS)
    assert sorted(asked) == ["cross", "one", "whole", "wide"]
    assert cost_of((0,)) == pytest.approx(4.0)
    assert cost_of(tuple(range(5))) == pytest.approx(9.0)
    # Ten units of time more for five milliseconds: each is half of one.
    assert cost_of((0, 4)) == pytest.approx(4.0 + 3.0 / 2)
    times.update(whole=4.0)
    level = latency_cost(model, model.get_layer("moe"), ROWS)
    assert level((0, 4)) == pytest.approx(4.0 + 3.0)


def test_latency_is_measured():
    model = model_of(mixture_of(GatingLayer(5), mixed()))
    cost_of = latency_cost(model, model.get_layer("moe"), ROWS)
    assert 0 < cost_of((0,)) < cost_of(tuple(range(5)))
