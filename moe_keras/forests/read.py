"""A fitted model of a library as a forest."""

import importlib
from collections.abc import Mapping, Sequence
from typing import Any

from moe_keras.errors import require
from moe_keras.forests.tree import Forest

OWNER = "read_forest"
# By the package that a model's class comes from.
READERS = {
    "catboost": "catboost_trees",
    "lightgbm": "lightgbm_trees",
    "sklearn": "sklearn_trees",
    "xgboost": "xgboost_trees",
}


def read_forest(
    model: Any, levels: Mapping[int, Sequence[str]] | None = None
) -> Forest:
    """The trees of a fitted classifier.

    Args:
        model: of scikit-learn `DecisionTreeClassifier`, `ExtraTreeClassifier`,
            `RandomForestClassifier`, `ExtraTreesClassifier`,
            `GradientBoostingClassifier` or `HistGradientBoostingClassifier`; of
            XGBoost `XGBClassifier` or `Booster`; of LightGBM `LGBMClassifier`
            or `Booster`; `CatBoostClassifier`. Of its trees those are read with
            which it predicts: after early stopping, up to the best round, of an
            XGBoost `Booster` all.
        levels: from columns to the spellings of their levels, in the order of
            the levels' places. CatBoost knows levels by their spelling alone;
            without it, a level is spelt as its place. A missing one is spelt
            "nan". Other libraries know places already.

    Raises:
        ValueError: for another model, one that is not fitted, and one whose
            trees hold what `moe_keras.forests` does not know, by its name.
    """
    for part in type(model).__mro__:
        library = part.__module__.split(".")[0]
        if library in READERS:
            name = f"moe_keras.forests.{READERS[library]}"
            forest: Forest = importlib.import_module(name).read(model, levels)
            require(
                forest.trees,
                OWNER,
                "`model` must have a tree at least.",
                model=model,
            )
            return forest
    raise ValueError(
        f"{OWNER}: `model` must be a classifier of scikit-learn, XGBoost, "
        f"LightGBM or CatBoost that is made of trees. Received: model={model!r}"
    )
