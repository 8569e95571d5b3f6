"""Decision trees as gathers: which leaf each row falls into, of all trees.

A view is a column as a node reads it: a number with what stands for a missing
one put in its place, or 0 and 1 for a level that a set sends left and right. A
node asks whether its view is <= its threshold; a NaN is not, and goes right.

Nothing here has a gradient but the sums of leaves, in the leaves.
"""

from typing import Any

from keras import ops

from moe_keras.ops.scaling import widen

# What LightGBM takes for zero, in absolute value.
ZERO = 1e-35
# In front of the flags of a set's levels: of a missing one, of any other.
MISSING, OTHER, FIRST = 0, 1, 2


def number_views(rows: Any, columns: Any, fills: Any, zeros: Any) -> Any:
    """Numbers, with -inf, 0 or NaN in the place of missing ones.

    Args:
        rows: float32 `(N, D)`, NaN where missing.
        columns: int `(V,)` in 0..D-1.
        fills: int `(V,)`: -1 for -inf (left), 0 for 0, 1 for NaN (right).
        zeros: int `(V,)`, whether zeros are missing too.

    Returns:
        float32 `(N, V)`.
    """
    numbers = ops.take(rows, columns, axis=1)
    is_zero = ops.logical_and(zeros != 0, ops.abs(numbers) <= ZERO)
    missing = ops.logical_or(ops.isnan(numbers), is_zero)
    zero = ops.zeros_like(fills, dtype="float32")
    filled = ops.where(fills > 0, zero + float("nan"), zero)
    filled = ops.where(fills < 0, zero - float("inf"), filled)
    return ops.where(missing, filled, numbers)


def level_views(
    rows: Any, columns: Any, starts: Any, levels: Any, flags: Any
) -> Any:
    """1 where a set sends a row's level right, 0 where left.

    Args:
        rows: float32 `(N, D)`: places of levels, NaN where missing.
        columns: int `(S,)` in 0..D-1.
        starts: int `(S,)`, where a set's flags begin.
        levels: int `(S,)`, how many levels a set has flags of.
        flags: float32 `(M,)`: for each set, that of a missing level, that of
            any number that is no level, and those of the levels.

    Returns:
        float32 `(N, S)`.
    """
    numbers = ops.take(rows, columns, axis=1)
    known = ops.logical_and(
        numbers > -1, numbers < ops.cast(levels, numbers.dtype)
    )
    # Of numbers that fit, as the rest has no int32.
    places = ops.where(known, numbers, ops.zeros_like(numbers))
    places = ops.where(known, FIRST + ops.cast(places, "int32"), OTHER)
    places = ops.where(ops.isnan(numbers), MISSING, places)
    return ops.take(flags, starts + places, axis=0)


def walk_trees(
    views: Any, roots: Any, links: Any, thresholds: Any, depth: int, bits: int
) -> Any:
    """The node that each row ends at in each tree, step by step.

    Args:
        views: float32 `(N, V)`, from both functions above, one after the other.
        roots: int32 `(T,)`, the first node of each tree.
        links: int32 `(Q,)`: the left child, times 2**bits, plus the view.
        thresholds: float32 `(Q,)`.
        depth: int >= 0, steps.
        bits: int > 0.

    Returns:
        int32 `(N, T)`.
    """
    rows, width = ops.shape(views)[0], views.shape[1]
    flat = ops.reshape(views, (-1,))
    starts = ops.arange(rows, dtype="int32")[:, None] * width
    nodes = starts * 0 + roots
    # JAX takes nothing from an array without numbers.
    for _ in range(0 if views.shape[0] == 0 else depth):
        link = ops.take(links, nodes, axis=0)
        view = ops.bitwise_and(link, (1 << bits) - 1)
        values = ops.take(flat, starts + view, axis=0)
        goes_left = values <= ops.take(thresholds, nodes, axis=0)
        nodes = ops.right_shift(link, bits) + _step(goes_left)
    return nodes


def _step(goes_left: Any) -> Any:
    """1 to the right: not a logical "not", as TensorFlow makes > of not <=."""
    return 1 - ops.cast(goes_left, "int32")


def symmetric_leaves(
    views: Any, roots: Any, links: Any, thresholds: Any, depth: int
) -> Any:
    """The leaf of each row in trees that ask the same at each depth.

    Args:
        views: float32 `(N, V)`.
        roots: int32 `(T,)`, the first leaf of each tree.
        links: int32 `(T * depth,)`, the views.
        thresholds: float32 `(T * depth,)`.
        depth: int >= 0. Depth i has bit i of the leaf's number.

    Returns:
        int32 `(N, T)`.
    """
    trees = roots.shape[0]
    # Rows last, so that what is copied for each test is a run of them.
    columns = ops.transpose(views)
    leaves = ops.zeros_like(columns[:1], dtype="int32") + roots[:, None]
    if depth:
        values = ops.take(columns, links, axis=0)
        goes_left = values <= thresholds[:, None]
        rights = ops.reshape(_step(goes_left), (trees, depth, -1))
        weights = ops.left_shift(1, ops.arange(depth, dtype="int32"))
        leaves = leaves + ops.sum(rights * weights[:, None], axis=1)
    return ops.transpose(leaves)


def sum_leaves(leaves: Any, places: Any, scores: int) -> Any:
    """The sums over trees, in at least float32.

    Args:
        leaves: float `(L, W)`, with W either `scores` or 1; 1 for trees in
            turns, tree t for score t mod S.
        places: int `(N, T)` in 0..L-1.
        scores: int > 0, S.

    Returns:
        float `(N, S)`.
    """
    if leaves.shape[1] == scores > 1:
        return ops.sum(widen(ops.take(leaves, places, axis=0)), axis=1)
    values = widen(ops.take(leaves[:, 0], places, axis=0))
    turns = (-1, places.shape[1] // scores, scores)
    return ops.sum(ops.reshape(values, turns), axis=1)


def class_logits(sums: Any, trees: int, averaged: bool, floor: float) -> Any:
    """Logits of classes from the sums over trees.

    Args:
        sums: float `(N, S)`, offsets included.
        trees: int > 0, T.
        averaged: whether the sums over T are probabilities of S = C classes.
        floor: float > 0, the least probability.

    Returns:
        float `(N, C)`: log of the mean; or, of S = 1, `(0, margin)`; or `sums`.
    """
    if averaged:
        return ops.log(ops.maximum(sums / trees, floor))
    if sums.shape[1] > 1:
        return sums
    return ops.concatenate([ops.zeros_like(sums), sums], axis=1)
