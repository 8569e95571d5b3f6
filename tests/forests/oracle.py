"""Trees walked node by node in Python, and forests drawn at random."""

import math

import numpy as np

from moe_keras.forests.tree import (
    AS_ZERO,
    LEFT,
    RIGHT,
    Forest,
    SymmetricTree,
    Tests,
    Tree,
)

FLOOR = 1e-7


def goes_right(forest, tests, node, row):
    value = float(row[tests.columns[node]])
    place = tests.sets[node]
    if place >= 0:
        flags = forest.sets[place].goes_right
        if math.isnan(value):
            return flags[0]
        known = -1 < value < len(flags) - 2
        return flags[2 + int(value)] if known else flags[1]
    is_zero = tests.zeros[node] and abs(value) <= 1e-35
    if math.isnan(value) or is_zero:
        if tests.fills[node] != AS_ZERO:
            return tests.fills[node] == RIGHT
        value = 0.0
    return value > float(tests.thresholds[node])


def answer(forest, tree, row):
    if isinstance(tree, SymmetricTree):
        leaf = 0
        for depth in range(len(tree.tests.columns)):
            leaf += 2**depth * int(goes_right(forest, tree.tests, depth, row))
        return tree.values[leaf]
    node = 0
    while tree.left[node] >= 0:
        right = goes_right(forest, tree.tests, node, row)
        node = (tree.right if right else tree.left)[node]
    return tree.values[node]


def logits(forest, row):
    sums = np.array(forest.offsets, "float64")
    for tree in forest.trees:
        values = answer(forest, tree, row)
        if len(values) == len(sums):
            sums += values
        else:
            sums[tree.score] += values[0]
    if forest.averaged:
        return np.log(np.maximum(sums / len(forest.trees), FLOOR))
    return np.array([0.0, sums[0]]) if len(sums) == 1 else sums


def draw_forest(classes=2, symmetric=False, averaged=False, seed=0, trees=5):
    """A forest of 4 columns, of which the last is a category of 5 levels."""
    rng = np.random.default_rng(seed)
    scores = classes if averaged or classes > 2 else 1
    width = classes if averaged else 1
    forest = Forest(4, classes, np.zeros(scores), averaged)
    if not averaged:
        forest.offsets[:] = rng.normal(size=scores)
    for place in range(trees):
        make = _draw_symmetric if symmetric else _draw_tree
        forest.trees.append(make(forest, rng, width, place * place % scores))
    return forest


def _draw_tests(forest, rng, count):
    tests = Tests.blank(count)
    tests.columns[:] = rng.integers(0, 4, count)
    tests.thresholds[:] = rng.choice([-0.5, 0.0, 0.5, 1.0, np.inf], count)
    tests.fills[:] = rng.choice([LEFT, AS_ZERO, RIGHT], count)
    tests.zeros[:] = rng.uniform(size=count) < 0.3
    for node in np.flatnonzero(tests.columns == 3):
        flags = rng.uniform(size=2 + rng.integers(1, 6)) < 0.5
        tests.sets[node] = forest.add_set(3, flags)
    return tests


def _draw_values(rng, count, width):
    if width == 1:
        return rng.normal(size=(count, 1))
    values = rng.dirichlet(np.full(width, 0.3), size=count)
    # So that there are classes without a leaf.
    return np.where(values < 0.1, 0.0, values)


def _draw_symmetric(forest, rng, width, score):
    depth = int(rng.integers(0, 4))
    tests = _draw_tests(forest, rng, depth)
    values = _draw_values(rng, 2**depth, width)
    return SymmetricTree(tests, values, score)


def _draw_tree(forest, rng, width, score):
    """Nodes are split one after the other, those that come first or last."""
    left, right = [-1], [-1]
    for _ in range(int(rng.integers(0, 7))):
        leaves = [node for node, child in enumerate(left) if child < 0]
        node = int(rng.choice(leaves))
        # Children that are not side by side.
        left[node], right[node] = len(left) + 1, len(left)
        left += [-1, -1]
        right += [-1, -1]
    count = len(left)
    return Tree(
        _draw_tests(forest, rng, count),
        np.asarray(left),
        np.asarray(right),
        _draw_values(rng, count, width),
        score,
    )


def draw_rows(count=60, seed=0):
    """Numbers at and beside thresholds, levels known or not, and NaN."""
    rng = np.random.default_rng(seed)
    near = np.float32([-0.5, 0.0, 0.5, 1.0, 3.0, -3.0, np.inf, -np.inf])
    rows = rng.choice(near, (count, 4))
    step = rng.choice(np.float32([-np.inf, np.inf]), (count, 4))
    moved = np.nextafter(rows, step)
    # Beside 0 there are numbers that a backend may read as 0.
    keep = (rng.uniform(size=rows.shape) < 0.5) | (rows == 0)
    rows = np.where(keep, rows, moved)
    rows[:, 3] = rng.choice([-1, 0, 1, 2, 3, 4, 5, 9, 1e9], count)
    rows[rng.uniform(size=rows.shape) < 0.2] = np.nan
    return rows.astype("float32")
