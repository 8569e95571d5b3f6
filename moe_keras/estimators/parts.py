"""Parts of the classifier's `fit` that need nothing of the classifier."""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from sklearn.ensemble import (
    ExtraTreesClassifier,
    HistGradientBoostingClassifier,
)

from moe_keras.errors import require
from moe_keras.schema import RiskSchema


def default_forests(monotone: bool) -> list[Any]:
    """Classifiers of trees, not fitted, of a modest size.

    Args:
        monotone: whether the schema has monotone columns. Extremely randomized
            trees take no such column beside missing values.
    """
    boosted = HistGradientBoostingClassifier(
        max_iter=100, max_leaf_nodes=15, min_samples_leaf=20
    )
    if monotone:
        return [boosted]
    return [
        boosted,
        ExtraTreesClassifier(
            100, min_samples_leaf=5, max_leaf_nodes=256, max_features=0.5
        ),
    ]


def is_bad_first(owner: str, schema: RiskSchema, classes: np.ndarray) -> bool:
    """Whether the first of two classes is what a model calls bad, its class 1.

    Args:
        owner: whom to name in errors.
        schema: whose target, if any, says which value is bad.
        classes: `(C,)`, sorted.

    Raises:
        ValueError: where the bad value is none of two classes.
    """
    if schema.target is None or len(classes) > 2:
        return False
    bad = schema.target.bad
    require(
        bad in classes.tolist(),
        owner,
        "`y` must hold the value that the schema's target calls bad.",
        bad=bad,
        classes=classes.tolist(),
    )
    return bool(classes[0] == bad)


@contextmanager
def own_random_state() -> Iterator[None]:
    """Leave Python's and NumPy's generators as the caller has them.

    Keras seeds both. A search that draws from them would draw the same again.
    Only within `held_generators`: else threads would give each other's back.
    """
    python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)  # noqa: NPY002
