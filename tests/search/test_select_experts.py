"""The best subset within a budget, against models that are really smaller."""

from itertools import combinations

import keras
import numpy as np
import pytest

from moe_keras.data import load_digits
from moe_keras.layers import (
    ConvExpert,
    DenseExpert,
    GatingLayer,
    MixtureOfExperts,
)
from moe_keras.lifecycle import keep_experts
from moe_keras.ops.cost import count_multiply_adds
from moe_keras.search import Selection, select_experts
from moe_keras.training import Stage
from tests.search.models import (
    DATA,
    LABELS,
    MODELS,
    ROWS,
    dense,
    mixed,
    mixture_of,
    model_of,
    quietly,
)
from tests.tools import numpy_of

METHODS = ("greedy", "backward", "random", "genetic", "exhaustive")
COSTS = {
    "parameters": lambda model: model.count_params(),
    "multiply_adds": lambda model: count_multiply_adds(model).active,
}


def really(model, kept, mixture="moe"):
    """Loss of a model that is made of a subset, by NumPy."""
    smaller = keep_experts(model, kept, mixture)
    outputs = numpy_of(smaller(ROWS, training=False)).astype("float64")
    chances = outputs[np.arange(len(LABELS)), LABELS]
    return -np.log(np.maximum(chances, 1e-7)).mean()


def brute_force(model, budget, cost):
    """The best of all subsets, each built and run."""
    count = model.get_layer("moe").num_experts
    subsets = [
        c for n in range(1, count + 1) for c in combinations(range(count), n)
    ]
    fitting = [
        kept
        for kept in subsets
        if COSTS[cost](keep_experts(model, kept)) <= budget
    ]
    return min(fitting, key=lambda kept: really(model, kept)), len(fitting)


@pytest.mark.parametrize("kind", ["soft", "sparse"])
def test_exhaustive_is_brute_force(kind):
    model = MODELS[kind]()
    whole = model.count_params()
    for share in (0.55, 0.8, 1.0):
        best, count = brute_force(model, share * whole, "parameters")
        found = quietly(
            model, budget=share * whole, cost="parameters", method="exhaustive"
        )
        assert (found.indices, found.evaluations) == (best, count)
        assert found.loss == pytest.approx(really(model, best), abs=1e-5)
        assert found.cost == found.model.count_params() <= share * whole


@pytest.mark.parametrize("method", METHODS)
def test_every_method_keeps_to_the_budget_and_tells_the_truth(method):
    model = model_of(mixture_of(GatingLayer(5), mixed()))
    whole = count_multiply_adds(model).active
    budget = 0.7 * whole
    found = quietly(model, budget=budget, method=method, evaluations=12)
    assert isinstance(found, Selection)
    assert found.cost == count_multiply_adds(found.model).active <= budget
    assert found.loss == pytest.approx(really(model, found.indices), abs=1e-5)
    assert found.loss == min(
        loss for cost, loss in found.path if cost <= budget
    )
    assert (found.cost, found.loss) in found.path
    assert found.model.get_layer("moe").num_experts == len(found.indices)
    assert (found.method, found.budget) == (method, budget)
    best, _ = brute_force(model, budget, "multiply_adds")
    assert found.loss >= really(model, best) - 1e-5
    assert found.tuned_loss is None


def test_greedy_adds_and_backward_removes():
    model, everyone = model_of(mixture_of()), set(range(4))

    def best(options):
        return min(options, key=lambda kept: really(model, sorted(kept)))

    added, steps = set(), []
    while added != everyone:
        added = best([added | {e} for e in sorted(everyone - added)])
        steps.append(really(model, sorted(added)))
    found = quietly(model, method="greedy")
    assert [loss for _, loss in found.path] == pytest.approx(steps, abs=1e-5)
    assert found.evaluations == 4 + 3 + 2 + 1
    left, steps = everyone, [really(model, range(4))]
    while len(left) > 1:
        left = best([left - {e} for e in sorted(left)])
        steps.append(really(model, sorted(left)))
    found = quietly(model, method="backward")
    assert [loss for _, loss in found.path] == pytest.approx(steps, abs=1e-5)
    assert found.evaluations == 1 + 4 + 3 + 2


def test_backward_ends_where_something_is_affordable():
    banks = [dense(2, name="cheap"), DenseExpert(3, 2, hidden_units=99)]
    model = model_of(mixture_of(GatingLayer(4), banks))
    # The others are the better ones.
    for weight in model.get_layer("moe").experts[0].weights:
        weight.assign(5 * numpy_of(weight))
    assert min(really(model, [2]), really(model, [3])) < 0.5 * really(
        model, [0]
    )
    budget = count_multiply_adds(keep_experts(model, [0])).active
    found = quietly(model, budget=budget, method="backward")
    assert found.indices in ((0,), (1,))


def test_several_budgets_and_what_they_share():
    model = model_of(mixture_of(GatingLayer(5), mixed()))
    whole = count_multiply_adds(model).active
    budgets = [0.4 * whole, 0.7 * whole, whole]
    found = quietly(model, budget=budgets, method="exhaustive")
    assert [one.budget for one in found] == budgets
    assert found[0].loss >= found[1].loss >= found[2].loss
    assert found[2].evaluations == 2**5 - 1
    alone = quietly(model, budget=budgets[1], method="exhaustive")
    assert (alone.indices, alone.evaluations) == (
        found[1].indices,
        found[1].evaluations,
    )
    assert isinstance(quietly(model, budget=[whole]), list)


@pytest.mark.parametrize("method", ["random", "genetic"])
def test_draws_follow_the_seed_and_stop(method):
    model = model_of(mixture_of(GatingLayer(9), dense(9)))
    options = {"method": method, "evaluations": 40}
    first, again, other = (
        quietly(model, seed=seed, **options) for seed in (1, 1, 2)
    )
    assert first.indices == again.indices
    assert first.path == again.path != other.path
    assert 40 <= first.evaluations < 40 + 24
    if method == "random":
        assert first.evaluations == 40
    few = quietly(model, evaluations=1, **{"method": method})
    assert few.evaluations == 1


def test_an_expert_whose_weight_is_0_is_not_enough():
    model = MODELS["uniform"]()
    for method in METHODS:
        found = quietly(
            model, budget=model.count_params(), cost="parameters", method=method
        )
        assert found.indices != (1,)
        expected = really(model, found.indices)
        assert found.loss == pytest.approx(expected, abs=1e-5)


def test_one_mixture_of_two_and_a_sequential_model():
    first = mixture_of(experts=dense(units=5), name="first")
    second = mixture_of(
        experts=dense(output_activation="softmax"), name="second"
    )
    model = keras.Sequential([keras.Input((5,)), first, second])
    with pytest.raises(ValueError, match="`mixture` must be one"):
        quietly(model)
    found = quietly(model, mixture="first", budget=1e9, method="exhaustive")
    assert found.model.get_layer("second").num_experts == 4
    expected = really(model, found.indices, "first")
    assert found.loss == pytest.approx(expected, abs=1e-5)


def test_logits_and_splits_and_images():
    data = load_digits()
    inputs = keras.Input((8, 8, 1))
    bank = ConvExpert((4,), 4, pooling="avg", output_units=10)
    outputs = MixtureOfExperts(bank, GatingLayer(4), name="moe")(inputs)
    model = keras.Model(inputs, outputs)
    found = quietly(model, data.validation, from_logits=True, method="backward")
    values = keras.losses.SparseCategoricalCrossentropy(from_logits=True)(
        data.validation.labels,
        found.model.predict(data.validation.inputs, verbose=0),
    )
    assert found.loss == pytest.approx(float(numpy_of(values)), abs=1e-4)


def test_fine_tuning_of_the_gate_alone():
    model = model_of(mixture_of())
    stages = [Stage(name="gate", train="gate", epochs=20, learning_rate=0.05)]
    options = {"tuning_data": DATA, "tuning_stages": stages}
    budget = count_multiply_adds(keep_experts(model, [0, 1, 2])).active
    found = quietly(model, budget=budget, **options)
    assert found.tuned_loss < found.loss
    outputs = numpy_of(found.model(ROWS)).astype("float64")
    expected = -np.log(outputs[np.arange(30), LABELS]).mean()
    assert found.tuned_loss == pytest.approx(expected, abs=1e-5)
    untouched = keep_experts(model, found.indices)
    tuned, before = (m.get_layer("moe") for m in (found.model, untouched))
    for ours, theirs in zip(
        tuned.experts[0].weights, before.experts[0].weights, strict=True
    ):
        np.testing.assert_array_equal(numpy_of(ours), numpy_of(theirs))
    assert np.any(numpy_of(tuned.gate.kernel) != numpy_of(before.gate.kernel))
    with pytest.raises(ValueError, match="`tuning_stages` must name a part"):
        quietly(MODELS["uniform"](), tuning_data=DATA, cost="parameters")


def test_the_smaller_model_saves_and_loads(tmp_path):
    model = model_of(mixture_of())
    budget = count_multiply_adds(keep_experts(model, [0, 1])).active
    found = quietly(model, budget=budget)
    found.model.save(tmp_path / "kept.keras")
    loaded = keras.saving.load_model(tmp_path / "kept.keras")
    np.testing.assert_array_equal(
        loaded.predict(ROWS, verbose=0), found.model.predict(ROWS, verbose=0)
    )


def test_the_picture_shows_the_path_and_the_budget():
    found = quietly(model_of(mixture_of()), budget=200.0)
    (axes,) = found.plot().axes
    steps, chosen, budget = axes.lines
    np.testing.assert_allclose(steps.get_xydata(), found.path)
    np.testing.assert_allclose(chosen.get_xydata(), [(found.cost, found.loss)])
    assert set(budget.get_xdata()) == {200.0}
    assert axes.get_xlabel() == "multiply-adds per example"


def test_progress_is_shown_or_not(capsys):
    model = model_of(mixture_of())
    select_experts(model, DATA, 1e9)
    assert "greedy 10 subsets" in " ".join(capsys.readouterr().out.split())
    quietly(model)
    assert capsys.readouterr().out == ""
