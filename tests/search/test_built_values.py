"""A trial's values are those of the model that was built."""

import numpy as np
import pytest

from moe_keras.data import load_dataset
from moe_keras.search.hypermodels import HYPERMODELS
from tests.search.tuning import search, tiny_digits

TASKS = ["image", "sentiment", "risk"]


@pytest.fixture(scope="module")
def models():
    data = {
        "image": tiny_digits(),
        "sentiment": load_dataset("synthetic_reviews", size=80, test_size=1),
        "risk": load_dataset("breast_cancer"),
    }
    return {task: HYPERMODELS[task](data[task]) for task in TASKS}


def _first(model, **changes):
    return {**{name: v[0] for name, v in model.space.items()}, **changes}


@pytest.mark.parametrize("task", TASKS)
def test_every_value_changes_the_model(task, models):
    model, rng = models[task], np.random.default_rng(0)
    seen = set()
    for _ in range(20):
        asked = {
            name: options[rng.integers(len(options))]
            for name, options in model.space.items()
        }
        built = model.built_values(asked)
        whole = model.whole_values(built)
        # It is the same model, and what is left out does not matter to it.
        assert model.key(whole) == model.key(asked)
        for name in model.space:
            keys = [
                model.key({**whole, name: value}) for value in model.space[name]
            ]
            if name in built:
                assert len(set(keys)) > 1
                # No other word for the same model.
                assert keys.index(model.key(whole)) == (
                    model.space[name].index(built[name])
                )
            else:
                assert len(set(keys)) == 1
                seen.add(name)
    assert seen


@pytest.mark.parametrize(
    ("task", "asked", "built"),
    [
        ("image", {"kinds": "conv", "gate": "position"}, {"gate": "image"}),
        ("image", {"kinds": "mixed", "gate": "uniform"}, {"gate": "image"}),
        ("image", {"kinds": "mixed", "gate": "position"}, {"gate": "position"}),
        ("image", {"kinds": "residual", "gate": "position"}, {"gate": None}),
        ("image", {"kinds": "recurrent", "depth": 3}, {"depth": None}),
        (
            "image",
            {"kinds": "conv", "gate": "uniform", "top_k": 2},
            {"gate": "uniform", "top_k": None, "balance_loss": None},
        ),
        ("sentiment", {"kinds": "ngram", "width": 64}, {"width": None}),
        (
            "sentiment",
            {"kinds": "ngram+conv+attention", "experts": 2},
            {"kinds": "ngram+conv"},
        ),
        ("risk", {"kinds": "linear", "bins": 32}, {"bins": None}),
        ("risk", {"experts": 2, "top_k": 4}, {"top_k": 2}),
    ],
)
def test_what_is_not_acted_on_is_not_told(task, asked, built, models):
    found = models[task].built_values(_first(models[task], **asked))
    assert {name: found.get(name) for name in built} == built


def test_a_narrowed_space_tells_the_model_too(models):
    only = {"kinds": ["conv"], "gate": ["position"]}
    model = HYPERMODELS["image"](models["image"].data, only=only)
    built = model.built_values(_first(model))
    assert built["gate"] == "image"
    assert model.key(model.whole_values(built)) == model.key(_first(model))


@pytest.mark.slow
def test_the_trials_of_a_search(tmp_path):
    only = {
        "kinds": ["residual"],
        "gate": ["position"],
        "width": [8],
        "depth": [1],
        "balance_loss": [0.0],
    }
    result = search(tiny_digits(), tmp_path, only=only, trials=1)
    (trial,) = result.trials
    assert "gate" not in trial.values
    assert trial.arguments["level"] == "sample"
    assert result.recipe.builder.arguments == trial.arguments
