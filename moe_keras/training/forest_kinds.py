"""Classifiers of trees by name, as a recipe writes them."""

import importlib
import inspect
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Literal

from pydantic import field_validator

from moe_keras.training.part import Part

Library = tuple[str, str, Mapping[str, Any]]

# By kind: module, class, and what keeps it quiet.
KINDS: Mapping[str, Library] = MappingProxyType(
    {
        "lightgbm": ("lightgbm", "LGBMClassifier", {"verbose": -1}),
        "xgboost": ("xgboost", "XGBClassifier", {"verbosity": 0}),
        "catboost": (
            "catboost",
            "CatBoostClassifier",
            {"verbose": 0, "allow_writing_files": False},
        ),
        "hist_boosting": (
            "sklearn.ensemble",
            "HistGradientBoostingClassifier",
            {},
        ),
        "extra_trees": ("sklearn.ensemble", "ExtraTreesClassifier", {}),
        "random_forest": ("sklearn.ensemble", "RandomForestClassifier", {}),
    }
)


class ForestKind(Part):
    """A classifier of trees that is not fitted yet.

    Attributes:
        kind: a key of `KINDS`: `"lightgbm"`, `"xgboost"` and `"catboost"`, if
            they are installed, and `"hist_boosting"`, `"extra_trees"` and
            `"random_forest"` of scikit-learn.
        arguments: of its class.
    """

    kind: Literal[
        "lightgbm",
        "xgboost",
        "catboost",
        "hist_boosting",
        "extra_trees",
        "random_forest",
    ]
    arguments: dict[str, Any] = {}

    @field_validator("arguments")
    @classmethod
    def _known(cls, arguments: dict[str, Any], info: Any) -> dict[str, Any]:
        module, name, _ = KINDS.get(info.data.get("kind", ""), ("", "", {}))
        # Other libraries take further ones by any name.
        if module.startswith("sklearn"):
            found = getattr(importlib.import_module(module), name)
            known = inspect.signature(found).parameters
            if wrong := sorted(set(arguments) - set(known)):
                raise ValueError(f"{name} has no {', '.join(wrong)}")
        return arguments

    def make(self, monotone: bool = False) -> Any:
        """The classifier, with scikit-learn's interface.

        Args:
            monotone: whether `fit_forests` is to set monotone constraints.

        Raises:
            ImportError: when its library is not installed.
        """
        module, name, quiet = KINDS[self.kind]
        try:
            found = getattr(importlib.import_module(module), name)
        except ModuleNotFoundError as error:
            raise ImportError(
                f"forests of the kind {self.kind} need the package {module}. "
                "Run `pip install moe_keras[trees]`."
            ) from error
        # Or they do not say that they take constraints.
        signed = monotone and self.kind in ("lightgbm", "catboost")
        signs = {"monotone_constraints": []} if signed else {}
        return found(**{**quiet, **signs, **self.arguments})
