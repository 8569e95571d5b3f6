"""What a choice of experts refuses: options, rows and models."""

import math

import keras
import numpy as np
import pytest

from moe_keras.layers import GatingLayer, HashGating, HierarchicalGating
from tests.search.models import (
    LABELS,
    MODELS,
    ROWS,
    dense,
    mixture_of,
    model_of,
    quietly,
)
from tests.tools import draw


@pytest.mark.parametrize(
    ("options", "rule"),
    [
        ({"budget": []}, "`budget` must be a finite number above 0"),
        ({"budget": 0}, "`budget` must be a finite number above 0"),
        ({"budget": [1e9, math.nan]}, "`budget` must be a finite number"),
        ({"budget": "much"}, "`budget` must be a finite number"),
        (
            {"budget": 5.0},
            r"the cheapest expert alone, 90\. Received: budget=5",
        ),
        ({"budget": [1e9, 5.0]}, "must reach the cost of the whole model"),
        ({"method": "best"}, r"`method` must be one of \('greedy'.*='best'"),
        ({"cost": "money"}, r"`cost` must be one of .*Received: cost='money'"),
        ({"evaluations": 0}, "`evaluations` must be an integer above 0"),
        ({"batch_size": 0}, "`batch_size` must be an integer above 0"),
        ({"seed": -1}, "`seed` must be an integer of at least 0"),
        ({"mixture": "other"}, "`mixture` must be one"),
        ({"data": (ROWS, LABELS + 9)}, r"a label in 0\.\.C-1"),
        ({"data": (np.full_like(ROWS, np.nan), LABELS)}, "must be finite"),
    ],
)
def test_what_is_refused(options, rule):
    with pytest.raises(ValueError, match=f"select_experts: .*{rule}"):
        quietly(model_of(mixture_of()), **options)


def test_models_that_are_refused():
    hashed = mixture_of(HashGating(4, column=0))
    grouped = mixture_of(HierarchicalGating(2, 2))
    for mixture in (hashed, grouped):
        with pytest.raises(
            ValueError, match="HashGating and HierarchicalGating"
        ):
            quietly(model_of(mixture))
    many = mixture_of(GatingLayer(13), dense(13))
    with pytest.raises(ValueError, match="takes at most 12 experts"):
        quietly(model_of(many), method="exhaustive")
    for cost in ("multiply_adds", "latency"):
        with pytest.raises(ValueError, match="use cost='parameters'"):
            quietly(MODELS["sparse"](), cost=cost)
    inputs = keras.Input((5,))
    twice = mixture_of(experts=dense(units=5))
    with pytest.raises(ValueError, match="must be called once"):
        quietly(keras.Model(inputs, twice(twice(inputs))))
    moe = mixture_of()(inputs)
    with pytest.raises(ValueError, match="`model` must have one output"):
        quietly(keras.Model(inputs, [moe, moe]))
    with pytest.raises(ValueError, match="banks with outputs of one shape"):
        mixture_of(GatingLayer(4), [dense(2), dense(2, units=4)])(draw(2, 5))
