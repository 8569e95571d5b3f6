"""Whether trees are monotone in a column, read from a forest's arrays."""

from collections.abc import Mapping

import numpy as np

from moe_keras.forests.tables import link_bits


def read_columns(
    sizes: Mapping[str, int], arrays: Mapping[str, np.ndarray]
) -> set[int]:
    """The columns that some node asks.

    Args:
        sizes: of `ForestTables`.
        arrays: of the same.
    """
    views = _views_asked(sizes, arrays)
    columns = _columns_of(sizes, arrays)
    return set(columns[views[views >= 0]].tolist())


def is_monotone(
    sizes: Mapping[str, int],
    arrays: Mapping[str, np.ndarray],
    column: int,
    sign: int,
) -> bool:
    """Whether every split on a column has its left leaves below its right ones.

    Args:
        sizes: of `ForestTables` of two classes.
        arrays: of the same.
        column: int, of the forest.
        sign: 1, or -1 for above.
    """
    views = _views_asked(sizes, arrays)
    asked = (views >= 0) & (_columns_of(sizes, arrays)[views] == column)
    if not asked.any():
        return True
    # A level has no order; and where zeros are missing, they jump.
    numbers = views[asked] < sizes["views"]
    if not numbers.all() or arrays["view_zeros"][views[asked]].any():
        return False
    answers = sign * _answers(sizes, arrays["leaves"][0].astype("float64"))
    if sizes["nodes"]:
        return _nodes_are(sizes, arrays, asked, answers)
    return _symmetric_are(sizes, arrays, asked, answers)


def _answers(sizes: Mapping[str, int], leaves: np.ndarray) -> np.ndarray:
    """`(L,)`: what a leaf says for class 1 against class 0."""
    answers: np.ndarray = leaves[:, -1]
    return answers if sizes["width"] == 1 else answers - leaves[:, 0]


def _columns_of(
    sizes: Mapping[str, int], arrays: Mapping[str, np.ndarray]
) -> np.ndarray:
    """The column of each view, those of sets last."""
    columns = arrays["view_columns"]
    if not sizes["sets"]:
        return columns
    return np.concatenate([columns, arrays["set_columns"]])


def _views_asked(
    sizes: Mapping[str, int], arrays: Mapping[str, np.ndarray]
) -> np.ndarray:
    """The view of each node or test; -1 where nothing is asked."""
    links = arrays["links"]
    if not sizes["nodes"]:
        blank = (links == 0) & np.isposinf(arrays["thresholds"])
        return np.where(blank, -1, links)
    bits = link_bits(sizes)
    is_leaf = links >> bits == np.arange(len(links))
    return np.where(is_leaf, -1, links & ((1 << bits) - 1))


def _nodes_are(
    sizes: Mapping[str, int],
    arrays: Mapping[str, np.ndarray],
    asked: np.ndarray,
    answers: np.ndarray,
) -> bool:
    left = arrays["links"] >> link_bits(sizes)
    is_leaf = left == np.arange(len(left))
    right = np.where(is_leaf, left, left + 1)
    answers = answers[arrays["node_leaves"]]
    if sizes["width"] < sizes["scores"]:
        # In turns: what a tree for class 0 says counts against class 1.
        tree = np.searchsorted(arrays["roots"], np.arange(len(left)), "right")
        answers = np.where(tree % 2, -answers, answers)
    low = np.where(is_leaf, answers, np.inf)
    high = np.where(is_leaf, answers, -np.inf)
    # Each step lifts the bounds by one level of the trees.
    for _ in range(sizes["depth"]):
        low = np.where(is_leaf, low, np.minimum(low[left], low[right]))
        high = np.where(is_leaf, high, np.maximum(high[left], high[right]))
    return bool(np.all(high[left[asked]] <= low[right[asked]]))


def _symmetric_are(
    sizes: Mapping[str, int],
    arrays: Mapping[str, np.ndarray],
    asked: np.ndarray,
    answers: np.ndarray,
) -> bool:
    shape = (sizes["trees"], sizes["depth"])
    asked = asked.reshape(shape)
    thresholds = arrays["thresholds"].reshape(shape)
    starts = arrays["roots"]
    ends = np.append(starts[1:], sizes["leaves"])
    for tree in np.flatnonzero(asked.any(axis=1)):
        values = answers[starts[tree] : ends[tree]]
        if sizes["width"] < sizes["scores"] and tree % 2 == 0:
            values = -values
        bits = np.flatnonzero(asked[tree])
        leaves = np.arange(len(values))
        rest = leaves[(leaves & np.sum(1 << bits)) == 0]
        # As the number grows, it passes one threshold after the other.
        before, passed = values[rest], 0
        for threshold in np.unique(thresholds[tree, bits]):
            passed += np.sum(1 << bits[thresholds[tree, bits] == threshold])
            after = values[rest + passed]
            if np.any(after < before):
                return False
            before = after
    return True
