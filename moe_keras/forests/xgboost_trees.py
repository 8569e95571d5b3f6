"""Trees of XGBoost, from the JSON that it writes.

Rows and thresholds are float32, and `x < threshold` goes left. A level that is
in a split's set goes right, any other left. The raw scores are sums; for two
classes, `base_score` is a probability.
"""

import json
from typing import Any

import numpy as np

from moe_keras.errors import require
from moe_keras.forests.tree import (
    LEFT,
    MISSING,
    RIGHT,
    Forest,
    Tests,
    Tree,
    below,
)

OWNER = "read_forest"
BINARY = {"binary:logistic", "binary:logitraw", "reg:logistic"}
CLASSES = {"multi:softprob", "multi:softmax"}
# What is asked in the place of a number in JSON.
CATEGORY = 1


def read(model: Any, levels: Any = None) -> Forest:
    """The forest of a `Booster` or an `XGBClassifier`; see `read_forest`."""
    best = rounds = None
    if hasattr(model, "get_booster"):
        require(
            model.missing is not None and np.isnan(model.missing),
            OWNER,
            "`missing` of the model must be NaN.",
            missing=model.missing,
        )
        model = model.get_booster()
        # What `predict_proba` reads; a booster by itself predicts with all.
        best = model.attr("best_iteration")
        rounds = None if best is None else int(best) + 1
    learner = json.loads(model.save_raw("json"))["learner"]
    trees, weights = _trees_of(learner["gradient_booster"])
    parameters = learner["learner_model_param"]
    classes = max(2, int(parameters["num_class"]))
    forest = Forest(
        int(parameters["num_feature"]), classes, _offsets(learner, classes)
    )
    scores = learner["gradient_booster"]
    scores = scores.get("gbtree", scores)["model"]
    starts = scores["iteration_indptr"]
    require(
        rounds is None or rounds < len(starts),
        OWNER,
        "of XGBoost, `best_iteration` must be a round that the model has.",
        best_iteration=best,
        rounds=len(starts) - 1,
    )
    kept = len(trees) if rounds is None else starts[rounds]
    for tree, weight, score in zip(
        trees[:kept], weights[:kept], scores["tree_info"][:kept], strict=True
    ):
        forest.trees.append(_tree_of(forest, tree, weight, score))
    return forest


def _trees_of(booster: Any) -> tuple[list[Any], list[float]]:
    """The trees, and what each one's answers are multiplied by."""
    name = booster["name"]
    require(
        name in ("gbtree", "dart"),
        OWNER,
        "of XGBoost, `booster` must be 'gbtree' or 'dart'.",
        booster=name,
    )
    if name == "dart":
        trees = booster["gbtree"]["model"]["trees"]
        return trees, booster["weight_drop"]
    trees = booster["model"]["trees"]
    return trees, [1.0] * len(trees)


def _offsets(learner: Any, classes: int) -> np.ndarray:
    objective = learner["objective"]["name"]
    require(
        objective in BINARY | CLASSES,
        OWNER,
        f"of XGBoost, `objective` must be one of {sorted(BINARY | CLASSES)}.",
        objective=objective,
    )
    text = learner["learner_model_param"]["base_score"]
    base = np.asarray(json.loads(text), "float64").ravel()
    if objective in CLASSES:
        return np.broadcast_to(base, (classes,)).copy()
    if objective == "binary:logitraw":
        return base
    return np.log(base) - np.log1p(-base)


def _tree_of(forest: Forest, tree: Any, weight: float, score: int) -> Tree:
    require(
        int(tree["tree_param"]["size_leaf_vector"]) <= 1,
        OWNER,
        "of XGBoost, `multi_strategy` must be 'one_output_per_tree'.",
        size_leaf_vector=tree["tree_param"]["size_leaf_vector"],
    )
    left = np.asarray(tree["left_children"], "int64")
    numbers = np.asarray(tree["split_conditions"], "float32")
    fills = np.where(np.asarray(tree["default_left"]) != 0, LEFT, RIGHT)
    # Leaves ask nothing, and nodes that were pruned name no column.
    columns = np.where(left < 0, 0, np.asarray(tree["split_indices"], "int64"))
    sets = np.full(len(left), -1)
    places = zip(
        tree["categories_nodes"],
        tree["categories_segments"],
        tree["categories_sizes"],
        strict=True,
    )
    for node, start, size in places:
        members = np.asarray(tree["categories"][start : start + size], "int64")
        goes_right = np.zeros(3 + members.max(initial=-1), bool)
        goes_right[2 + members] = True
        goes_right[MISSING] = fills[node] == RIGHT
        sets[node] = forest.add_set(columns[node], goes_right)
    tests = Tests(
        columns, below(numbers), fills, np.zeros(len(left), bool), sets
    )
    right = np.asarray(tree["right_children"], "int64")
    values = weight * numbers.astype("float64")[:, None]
    return Tree(tests, left, right, values, score)
