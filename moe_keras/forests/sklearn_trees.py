"""Trees of scikit-learn: single ones, forests, and both kinds of boosting.

Rows are float32, thresholds float64, and `x <= threshold` goes left; a missing
value goes where it went in training. Forests average the classes' shares in the
leaves. Boosted trees sum raw scores; with the exponential loss, the margin is
twice the score.
"""

from typing import Any

import numpy as np

from moe_keras.errors import require
from moe_keras.forests.tree import LEFT, RIGHT, Forest, Tests, Tree, at_most

OWNER = "read_forest"


def read(model: Any, levels: Any = None) -> Forest:
    """The forest of a fitted classifier; see `read_forest`."""
    from sklearn import ensemble, tree

    require(
        hasattr(model, "classes_"),
        OWNER,
        "`model` must be a fitted classifier.",
        model=model,
    )
    averaged = (
        ensemble.RandomForestClassifier,
        ensemble.ExtraTreesClassifier,
    )
    if isinstance(model, tree.DecisionTreeClassifier):
        return _averaged(model, [model])
    if isinstance(model, averaged):
        return _averaged(model, model.estimators_)
    if isinstance(model, ensemble.GradientBoostingClassifier):
        return _boosted(model)
    if isinstance(model, ensemble.HistGradientBoostingClassifier):
        return _binned(model)
    raise ValueError(
        f"{OWNER}: of scikit-learn, `model` must be a decision tree, a forest "
        f"or a gradient boosting classifier. Received: model={model!r}"
    )


def _averaged(model: Any, estimators: Any) -> Forest:
    require(
        model.n_outputs_ == 1 and len(model.classes_) > 1,
        OWNER,
        "`model` must tell two or more classes of one target apart.",
        outputs=model.n_outputs_,
        classes=model.classes_,
    )
    classes = len(model.classes_)
    forest = Forest(
        model.n_features_in_, classes, np.zeros(classes), averaged=True
    )
    for estimator in estimators:
        values = estimator.tree_.value[:, 0, :]
        # Counts in old versions, shares in new ones.
        shares = values / np.maximum(values.sum(1, keepdims=True), 1e-300)
        forest.trees.append(_tree_of(estimator.tree_, shares))
    return forest


def _tree_of(tree: Any, values: np.ndarray, score: int = 0) -> Tree:
    left = tree.children_left.astype("int64")
    count = len(left)
    tests = Tests(
        np.maximum(tree.feature, 0).astype("int64"),
        at_most(tree.threshold),
        np.where(tree.missing_go_to_left, LEFT, RIGHT),
        np.zeros(count, bool),
        np.full(count, -1),
    )
    right = tree.children_right.astype("int64")
    return Tree(tests, left, right, values, score)


def _boosted(model: Any) -> Forest:
    require(
        model.init is None or isinstance(model.init, str),
        OWNER,
        "`init` of a GradientBoostingClassifier must be None or 'zero'.",
        init=model.init,
    )
    scale = 2.0 if model.loss == "exponential" else 1.0
    row = np.zeros((1, model.n_features_in_), "float32")
    offsets = np.asarray(model._raw_predict_init(row), "float64").ravel()
    forest = Forest(model.n_features_in_, len(model.classes_), scale * offsets)
    for stage in model.estimators_:
        for score, estimator in enumerate(stage):
            values = estimator.tree_.value[:, :, 0] * model.learning_rate
            found = _tree_of(estimator.tree_, scale * values, score)
            forest.trees.append(found)
    return forest


def _binned(model: Any) -> Forest:
    """Of `HistGradientBoostingClassifier`, whose categories are encoded."""
    offsets = np.asarray(model._baseline_prediction, "float64").ravel()
    forest = Forest(model.n_features_in_, len(model.classes_), offsets)
    columns, places = _encoded(model)
    for stage in model._predictors:
        for score, predictor in enumerate(stage):
            tree = _binned_tree(forest, predictor, columns, places, score)
            forest.trees.append(tree)
    return forest


def _encoded(model: Any) -> tuple[np.ndarray, dict[int, np.ndarray]]:
    """The column of each encoded one, and the places of the encoded levels.

    Encoded are first the categories, then the numbers. Levels that are numbers
    are their own places; others stand in ascending order.
    """
    columns = np.arange(model.n_features_in_)
    places: dict[int, np.ndarray] = {}
    if getattr(model, "_preprocessor", None) is None:
        return columns, places
    is_category = np.asarray(model.is_categorical_)
    columns = np.concatenate([columns[is_category], columns[~is_category]])
    encoder = model._preprocessor.named_transformers_["encoder"]
    for encoded, known in enumerate(encoder.categories_):
        if known.dtype.kind in "biuf":
            known = known[~np.isnan(known.astype("float64"))]
            require(
                np.all((known >= 0) & (known == np.floor(known))),
                OWNER,
                "levels that are numbers must be places 0..L-1.",
                column=int(columns[encoded]),
                levels=known.tolist(),
            )
            places[encoded] = known.astype("int64")
        else:
            # A missing level, if any, is the last one.
            named = [one for one in known if one is not None and one == one]
            places[encoded] = np.arange(len(named))
    return columns, places


def _binned_tree(
    forest: Forest, predictor: Any, columns: Any, places: Any, score: int
) -> Tree:
    nodes = predictor.nodes
    is_leaf = nodes["is_leaf"].astype(bool)
    encoded = np.where(is_leaf, 0, nodes["feature_idx"])
    fills = np.where(nodes["missing_go_to_left"], LEFT, RIGHT)
    sets = np.full(len(nodes), -1)
    for node in np.flatnonzero(nodes["is_categorical"].astype(bool) & ~is_leaf):
        known = places[encoded[node]]
        words = predictor.raw_left_cat_bitsets[nodes["bitset_idx"][node]]
        bits = np.unpackbits(
            np.asarray(words, "<u4").view("uint8"), bitorder="little"
        )
        goes_right = np.full(3 + known.max(initial=-1), fills[node] == RIGHT)
        goes_right[2 + known] = bits[: len(known)] == 0
        sets[node] = forest.add_set(columns[encoded[node]], goes_right)
    tests = Tests(
        columns[encoded],
        at_most(nodes["num_threshold"]),
        fills,
        np.zeros(len(nodes), bool),
        sets,
    )
    left = np.where(is_leaf, -1, nodes["left"].astype("int64"))
    right = np.where(is_leaf, -1, nodes["right"].astype("int64"))
    values = np.asarray(nodes["value"], "float64")[:, None]
    return Tree(tests, left, right, values, score)
