"""Trees of LightGBM, from its own dump.

Rows and thresholds are float64, and `x <= threshold` goes left. A split says
what is missing: nothing (NaN is read as 0), NaN, or NaN and all of at most
1e-35 in absolute value, which are read as 0 in any case. A level that is in a
split's set goes left, any other right, and so does a missing one.
"""

from typing import Any

import numpy as np

from moe_keras.errors import require
from moe_keras.forests.tree import (
    AS_ZERO,
    LEFT,
    RIGHT,
    ZERO,
    Forest,
    Tests,
    Tree,
    at_most,
)

OWNER = "read_forest"


def read(model: Any, levels: Any = None) -> Forest:
    """The forest of a `Booster` or an `LGBMClassifier`; see `read_forest`."""
    booster = getattr(model, "booster_", model)
    asked = model.get_params() if booster is not model else {}
    # Of its parameters, this one reaches `predict_proba`, row by row.
    require(
        not asked.get("pred_early_stop"),
        OWNER,
        "of LightGBM, `pred_early_stop` must be False.",
        pred_early_stop=asked.get("pred_early_stop"),
    )
    # With early stopping, up to the best round, as `predict` does.
    dump = booster.dump_model()
    scale, scores = _objective(dump)
    forest = Forest(
        dump["max_feature_idx"] + 1, max(2, scores), np.zeros(scores)
    )
    trees = dump["tree_info"]
    if dump["average_output"]:
        scale /= len(trees) / scores
    for place, tree in enumerate(trees):
        root = tree["tree_structure"]
        forest.trees.append(_tree_of(forest, root, scale, place % scores))
    return forest


def _objective(dump: Any) -> tuple[float, int]:
    """What raw scores are multiplied by, and how many there are."""
    name, *options = dump.get("objective", "none").split()
    require(
        name in ("binary", "multiclass"),
        OWNER,
        "of LightGBM, `objective` must be 'binary' or 'multiclass'.",
        objective=dump.get("objective"),
    )
    given = dict(option.split(":") for option in options if ":" in option)
    scale = float(given.get("sigmoid", 1)) if name == "binary" else 1.0
    return scale, int(dump["num_tree_per_iteration"])


def _tree_of(forest: Forest, root: Any, scale: float, score: int) -> Tree:
    nodes, children = [root], []
    # A list that grows while it is read: parents first.
    for node in nodes:
        inner = "split_feature" in node
        children.append((len(nodes), len(nodes) + 1) if inner else (-1, -1))
        if inner:
            nodes += [node["left_child"], node["right_child"]]
    left, right = np.asarray(children, "int64").T
    tests = Tests.blank(len(nodes))
    thresholds = np.full(len(nodes), np.inf)
    values = np.zeros((len(nodes), 1))
    for place, node in enumerate(nodes):
        if left[place] < 0:
            require(
                "leaf_coeff" not in node,
                OWNER,
                "of LightGBM, `linear_tree` must be False.",
                leaf=node.get("leaf_index"),
            )
            values[place] = scale * node["leaf_value"]
        else:
            threshold = _read_test(forest, tests, place, node)
            thresholds[place] = threshold
    tests.thresholds[:] = _around_zero(at_most(thresholds))
    return Tree(tests, left, right, values, score)


def _around_zero(thresholds: np.ndarray) -> np.ndarray:
    """The same answers to numbers that LightGBM reads as 0: all of ZERO."""
    zero = np.float32(ZERO)
    beneath = np.nextafter(-zero, np.float32(-np.inf))
    inside = np.where(thresholds < 0, beneath, zero)
    return np.where(np.abs(thresholds) <= zero, inside, thresholds)


def _read_test(forest: Forest, tests: Tests, place: int, node: Any) -> float:
    """Note what a node asks, all but its threshold, which it returns."""
    tests.columns[place] = node["split_feature"]
    if node["decision_type"] == "==":
        members = np.asarray(node["threshold"].split("||"), "int64")
        goes_right = np.ones(3 + members.max(initial=-1), bool)
        goes_right[2 + members] = False
        tests.sets[place] = forest.add_set(node["split_feature"], goes_right)
        return np.inf
    require(
        node["decision_type"] == "<=",
        OWNER,
        "of LightGBM, `decision_type` must be '<=' or '=='.",
        decision_type=node["decision_type"],
    )
    side = LEFT if node["default_left"] else RIGHT
    missing = node["missing_type"]
    tests.fills[place] = AS_ZERO if missing == "None" else side
    tests.zeros[place] = missing == "Zero"
    return float(node["threshold"])
