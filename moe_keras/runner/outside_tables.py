"""What users of tables would pick instead of a mixture."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd
from pandas.api.types import is_numeric_dtype
from sklearn.base import BaseEstimator
from sklearn.compose import make_column_transformer
from sklearn.ensemble import RandomForestClassifier, VotingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, StratifiedShuffleSplit
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder

from moe_keras.data import Split
from moe_keras.runner.number_bins import NumberBins
from moe_keras.runner.tabm import TabMClassifier
from moe_keras.training.few_threads import MANY_ROWS, threads_for
from moe_keras.training.forest_kinds import ForestKind

# Of what a model is fitted to, the share that its settings are compared on.
HELD_OUT = 0.15


def _numbers(frame: pd.DataFrame) -> list[str]:
    return [name for name in frame if is_numeric_dtype(frame[name])]


def _texts(frame: pd.DataFrame) -> list[str]:
    return [name for name in frame if not is_numeric_dtype(frame[name])]


def _logistic_bins() -> tuple[Any, Mapping[str, Any]]:
    # A level or a bin that no row of the fit has says nothing.
    levels = OneHotEncoder(handle_unknown="ignore")
    columns = make_column_transformer(
        (make_pipeline(NumberBins(10), levels), _numbers),
        (levels, _texts),
    )
    model = Pipeline(
        [("columns", columns), ("model", LogisticRegression(max_iter=2000))]
    )
    return model, {"model__C": [0.03, 0.3, 3.0]}


def _tabm() -> tuple[Any, Any]:
    # It stops itself on rows that it holds out.
    return TabMClassifier(), {}


def _trees(model: Any, settings: Mapping[str, Any]) -> tuple[Any, Any]:
    """A classifier of trees, behind the places of texts' levels."""
    columns = make_column_transformer(
        (
            OrdinalEncoder(
                handle_unknown="use_encoded_value", unknown_value=-1
            ),
            _texts,
        ),
        remainder="passthrough",
        verbose_feature_names_out=False,
    )
    found = Pipeline([("columns", columns), ("model", model)])
    return found, {f"model__{key}": value for key, value in settings.items()}


def _random_forest() -> tuple[Any, Any]:
    return _trees(
        RandomForestClassifier(500, random_state=0),
        {"min_samples_leaf": [1, 5, 20]},
    )


def _boosted(kind: str, **settings: Any) -> Callable[[], tuple[Any, Any]]:
    """A library's gradient boosting, of three sizes of trees."""

    def make() -> tuple[Any, Any]:
        common = {"learning_rate": 0.05, "random_state": 0}
        size = "iterations" if kind == "catboost" else "n_estimators"
        model = ForestKind(kind=kind, arguments={**common, size: 200}).make()
        return _trees(model, settings)

    return make


BOOSTED = {
    "lightgbm": _boosted("lightgbm", num_leaves=[7, 15, 31]),
    "xgboost": _boosted("xgboost", max_depth=[3, 4, 6]),
    "catboost": _boosted("catboost", depth=[4, 6, 8]),
}
MODELS: Mapping[str, Callable[[], tuple[Any, Any]]] = MappingProxyType(
    {
        "logistic_bins": _logistic_bins,
        "random_forest": _random_forest,
        **BOOSTED,
        "tabm": _tabm,
    }
)
# The mean of these three's probabilities.
MEAN = "boosting"
TABLES = (*MODELS, MEAN)


def fit_table(name: str, split: Split) -> BaseEstimator:
    """Fit a model of scikit-learn, or of a library like it, to a table.

    Three settings are compared by log-loss on 15 % of the rows; the best is
    fitted to all.

    Args:
        name: `"logistic_bins"`: logistic regression of bins and of categories;
            see `NumberBins`; C = 0.03, 0.3 or 3. `"random_forest"`: 500 trees,
            leaves of at least 1, 5 or 20 rows. `"lightgbm"`, `"xgboost"`,
            `"catboost"`: 200 trees at a rate of 0.05, of 7, 15 or 31 leaves, or
            of depth 3, 4 or 6, or 4, 6 or 8. `"boosting"`: the mean of these
            three's probabilities. `"tabm"`: see `TabMClassifier`; only one
            setting.
        split: of a table.

    Returns:
        With `predict_proba` of a data frame.

    Raises:
        ImportError: when a library is not installed.
    """
    if name == MEAN:
        parts = [(part, _search(*MODELS[part]())) for part in BOOSTED]
        model = VotingClassifier(parts, voting="soft")
    else:
        model = _search(*MODELS[name]())
    if name in (*BOOSTED, MEAN) and len(split) < MANY_ROWS:
        # LightGBM asks for all threads itself.
        given = [key for key in model.get_params() if key.endswith("n_jobs")]
        model.set_params(**dict.fromkeys(given, 1))
    with threads_for(len(split)):
        return model.fit(split.frame(), split.labels)


def _search(model: Any, settings: Mapping[str, Any]) -> BaseEstimator:
    if not settings:
        return model
    held_out = StratifiedShuffleSplit(1, test_size=HELD_OUT, random_state=0)
    return GridSearchCV(model, settings, scoring="neg_log_loss", cv=held_out)


def predict_table(model: Any, inputs: Mapping[str, np.ndarray]) -> np.ndarray:
    """Probabilities `(N, C)` of the rows of a table."""
    frame = Split(dict(inputs), np.empty(0)).frame()
    with threads_for(len(frame)):
        found: np.ndarray = model.predict_proba(frame)
    return found
