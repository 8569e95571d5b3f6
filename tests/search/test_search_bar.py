"""What a search shows as its best is within the budget."""

import re

import pytest

from moe_keras.layers import GatingLayer
from moe_keras.search import search_bar, select_experts
from tests.search.models import DATA, mixed, mixture_of, model_of, quietly


@pytest.fixture(scope="module")
def model():
    return model_of(mixture_of(GatingLayer(5), mixed()))


@pytest.fixture
def shown(monkeypatch):
    """Each text of the bar that tells a loss, as a number."""
    texts = []
    update = search_bar.Progress.update

    def spy(self, task, **fields):
        texts.append(fields.get("loss", ""))
        return update(self, task, **fields)

    monkeypatch.setattr(search_bar.Progress, "update", spy)
    return texts


def _numbers(texts):
    return [float(re.search(r"(\S+)$", text)[1]) for text in texts if text]


@pytest.mark.parametrize(
    "method", ["greedy", "backward", "random", "exhaustive"]
)
def test_the_lowest_loss_is_of_what_fits(method, model, shown):
    costs = [cost for cost, _ in quietly(model, method="exhaustive").path]
    # The whole model, which does not fit, is better.
    whole = quietly(model, method="backward").path[0][1]
    shown.clear()
    found = select_experts(model, DATA, min(costs), method=method)
    assert whole < found.loss
    assert _numbers(shown)[-1] == pytest.approx(found.loss, abs=5e-5)
    assert min(_numbers(shown)) > whole + 1e-4


def test_each_of_several_budgets_has_its_own(model, shown):
    costs = sorted(
        {cost for cost, _ in quietly(model, method="exhaustive").path}
    )
    shown.clear()
    budgets = [costs[-1], costs[0]]
    wide, narrow = select_experts(model, DATA, budgets, method="exhaustive")
    assert wide.loss < narrow.loss
    numbers = _numbers(shown)
    assert min(numbers) == pytest.approx(wide.loss, abs=5e-5)
    assert numbers[-1] == pytest.approx(narrow.loss, abs=5e-5)


def test_nothing_is_shown_before_one_fits(shown):
    with search_bar.SearchBar("greedy", 1) as bar:
        bar.advance(3, [])
        assert shown == [""]
        bar.begin([])
        bar.advance(1, [0.5])
        bar.advance(1, [0.7])
    assert shown[1] == ""
    assert shown[2:] == ["lowest loss within the budget 0.5000"] * 2
