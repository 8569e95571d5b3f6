"""Trees of CatBoost, from the JSON that it writes.

Rows and borders are float32, and `x > border` goes right. A missing number is
above all borders or below them, as `nan_mode` says. A category is asked whether
it is one level, by the level's hash, and a missing one is the level "nan".
Statistics of the target that CatBoost makes of categories (CTR) are refused.
"""

import json
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from moe_keras.errors import require
from moe_keras.forests.tree import (
    LEFT,
    MISSING,
    OTHER,
    RIGHT,
    Forest,
    SymmetricTree,
    Tests,
    Tree,
    at_most,
)

OWNER = "read_forest"
# The most levels of a column whose spelling is not given.
MOST_LEVELS = 1024
# How a missing category is spelt: CatBoost takes none that is not.
MISSING_SPELT = "nan"
LOSSES = ("CrossEntropy", "Logloss", "MultiClass")


def read(
    model: Any, levels: Mapping[int, Sequence[str]] | None = None
) -> Forest:
    """The forest of a fitted `CatBoostClassifier`; see `read_forest`."""
    require(model.is_fitted(), OWNER, "`model` must be fitted.", model=model)
    content = _content_of(model, levels or {})
    # A sum of models has no parameters, and could be one of regressions.
    known = content["model_info"].get("params", {})
    loss = known.get("loss_function", {}).get("type")
    require(
        loss in LOSSES,
        OWNER,
        f"of CatBoost, `loss_function` must be one of {sorted(LOSSES)}, and "
        "the model must know it.",
        loss_function=loss,
    )
    scale, offsets = content["scale_and_bias"]
    offsets = np.asarray(offsets, "float64").ravel()
    classes = max(2, len(offsets))
    forest = Forest(len(model.feature_names_), classes, offsets)
    reader = _Reader(forest, content["features_info"], levels or {})
    width = len(offsets)
    for tree in content.get("oblivious_trees", ()):
        tests = reader.tests_of(tree["splits"])
        values = scale * np.asarray(tree["leaf_values"], "float64")
        forest.trees.append(SymmetricTree(tests, values.reshape(-1, width)))
    for tree in content.get("trees", ()):
        forest.trees.append(reader.tree_of(tree, scale, width))
    return forest


def _content_of(model: Any, levels: Mapping[int, Sequence[str]]) -> Any:
    """What CatBoost writes, with the hashes of the levels."""
    import catboost

    categories = model.get_cat_feature_indices()
    pool = None
    if categories:
        spelt = {
            column: [MISSING_SPELT, *_spelling(levels, column)]
            for column in categories
        }
        rows = [
            [
                spelt[c][row % len(spelt[c])] if c in spelt else 0.0
                for c in range(len(model.feature_names_))
            ]
            for row in range(max(map(len, spelt.values())))
        ]
        pool = catboost.Pool(
            rows, cat_features=categories, feature_names=model.feature_names_
        )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model.json")
        model.save_model(str(path), format="json", pool=pool)
        return json.loads(path.read_text())


def _spelling(levels: Mapping[int, Sequence[str]], column: int) -> list[str]:
    return list(levels.get(column, map(str, range(MOST_LEVELS))))


class _Reader:
    """Reads splits of one model."""

    def __init__(self, forest: Forest, features: Any, levels: Any) -> None:
        self._forest = forest
        self._levels = levels
        self._floats = {
            one["feature_index"]: one for one in features["float_features"]
        }
        self._categories = {
            one["feature_index"]: one["flat_feature_index"]
            for one in features.get("categorical_features", ())
        }
        self._spelling = {
            one["hash"] % 2**32: one["value"]
            for one in features.get("cat_features_hash", ())
        }

    def tests_of(self, splits: Sequence[Any]) -> Tests:
        tests = Tests.blank(len(splits))
        for place, split in enumerate(splits):
            kind = split["split_type"]
            require(
                kind in ("FloatFeature", "OneHotFeature"),
                OWNER,
                "of CatBoost, no split may read statistics of the target "
                "(CTR): raise `one_hot_max_size` above the levels of every "
                "category, or give categories as numbers.",
                split_type=kind,
            )
            if kind == "OneHotFeature":
                self._read_level(tests, place, split)
                continue
            feature = self._floats[split["float_feature_index"]]
            tests.columns[place] = feature["flat_feature_index"]
            tests.thresholds[place] = at_most(np.float64(split["border"]))
            above = feature["nan_value_treatment"] == "AsTrue"
            tests.fills[place] = RIGHT if above else LEFT
        return tests

    def _read_level(self, tests: Tests, place: int, split: Any) -> None:
        column = self._categories[split["cat_feature_index"]]
        spelling = self._spelling.get(split["value"] % 2**32)
        spelt = _spelling(self._levels, column)
        require(
            spelling in (MISSING_SPELT, *spelt),
            OWNER,
            "a level that CatBoost asks for is none of the column's: name them "
            "in `levels`, in the order of their places.",
            column=column,
            levels=self._levels.get(column),
        )
        flag = MISSING if spelling not in spelt else 2 + spelt.index(spelling)
        goes_right = np.zeros(1 + max(flag, OTHER), bool)
        goes_right[flag] = True
        tests.columns[place] = column
        tests.sets[place] = self._forest.add_set(column, goes_right)

    def tree_of(self, root: Any, scale: float, width: int) -> Tree:
        """A tree that is not symmetric."""
        nodes, children = [root], []
        for node in nodes:
            inner = "split" in node
            pair = (len(nodes), len(nodes) + 1) if inner else (-1, -1)
            children.append(pair)
            if inner:
                nodes += [node["left"], node["right"]]
        left, right = np.asarray(children, "int64").T
        inner = np.flatnonzero(left >= 0)
        asked = self.tests_of([nodes[place]["split"] for place in inner])
        tests = Tests.blank(len(nodes))
        for name, values in vars(asked).items():
            getattr(tests, name)[inner] = values
        answers = np.zeros((len(nodes), width))
        for place in np.flatnonzero(left < 0):
            answers[place] = scale * np.asarray(nodes[place]["value"])
        return Tree(tests, left, right, answers)
