"""Trees of a forest in one set of arrays, as `moe_keras.ops.forest` reads them.

A node's link is one number: its left child, times a power of two, plus the view
that it asks. The right child stands behind the left one. A leaf is its own left
child, and asks what all numbers answer with yes, so that short trees may be
walked as far as long ones.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from moe_keras.errors import require
from moe_keras.forests.tree import LEFT, Forest, SymmetricTree, Tests, Tree

OWNER = "pack_forest"
LARGEST = 2**31 - 1


@dataclass(frozen=True)
class ForestTables:
    """The arrays of a forest, and the sizes that their shapes follow from.

    Attributes:
        sizes: from names to ints: `columns` and `classes`; `scores` S, `width`
            W of a leaf, `averaged` 0 or 1; `trees` T, `depth`, `leaves`;
            `nodes`, 0 for symmetric trees; `views` of numbers, `sets` of levels
            and their `flags`.
        arrays: by their names; see `shapes_of`.
    """

    sizes: Mapping[str, int]
    arrays: Mapping[str, np.ndarray]


SIZES = (
    "columns", "classes", "scores", "width", "averaged", "trees", "depth",
    "nodes", "leaves", "views", "sets", "flags",
)  # fmt: skip


def shapes_of(sizes: Mapping[str, int]) -> dict[str, tuple[Any, str]]:
    """From each array's name to its shape and dtype."""
    views, sets = (sizes["views"],), (sizes["sets"],)
    found: dict[str, tuple[Any, str]] = {
        "view_columns": (views, "int32"),
        "view_fills": (views, "int32"),
        "view_zeros": (views, "int32"),
    }
    if sizes["sets"]:
        found["set_columns"] = (sets, "int32")
        found["set_starts"] = (sets, "int32")
        found["set_levels"] = (sets, "int32")
        found["set_flags"] = ((sizes["flags"],), "float32")
    if sizes["nodes"]:
        nodes = (sizes["nodes"],)
        found["links"] = (nodes, "int32")
        found["thresholds"] = (nodes, "float32")
        found["node_leaves"] = (nodes, "int32")
    else:
        tests = (sizes["trees"] * sizes["depth"],)
        found["links"] = (tests, "int32")
        found["thresholds"] = (tests, "float32")
    found["roots"] = ((sizes["trees"],), "int32")
    found["offsets"] = ((sizes["scores"],), "float32")
    found["leaves"] = ((1, sizes["leaves"], sizes["width"]), "float32")
    return found


def link_bits(sizes: Mapping[str, int]) -> int:
    """How many bits of a link are its view's."""
    return max(1, (sizes["views"] + sizes["sets"] - 1).bit_length())


def pack_forest(forest: Forest) -> ForestTables:
    """The tables of a forest.

    Raises:
        ValueError: for one that is too large for 32-bit numbers.
    """
    views = _Views(forest)
    scores = len(forest.offsets)
    trees = _in_turns(forest.trees, scores)
    symmetric = isinstance(trees[0], SymmetricTree)
    places = [views.places_of(tree.tests) for tree in trees]
    pack = _pack_symmetric if symmetric else _pack_nodes
    arrays = {**views.arrays(), **pack(trees, places, views.bits)}
    values = arrays.pop("values")
    depth = int(arrays.pop("depth"))
    sizes = {
        "columns": forest.num_columns,
        "classes": forest.num_classes,
        "scores": scores,
        "width": values.shape[1],
        "averaged": int(forest.averaged),
        "trees": len(trees),
        "depth": depth,
        "nodes": 0 if symmetric else len(arrays["links"]),
        "leaves": len(values),
        "views": views.count,
        "sets": len(arrays.get("set_starts", ())),
        "flags": len(arrays.get("set_flags", ())),
    }
    arrays["offsets"] = forest.offsets
    arrays["leaves"] = values[None]
    typed = {
        name: np.asarray(arrays[name]).astype(dtype)
        for name, (_, dtype) in shapes_of(sizes).items()
    }
    return ForestTables(sizes, typed)


def _in_turns(trees: list[Any], scores: int) -> list[Any]:
    """Trees of one number per leaf in turns: tree t is for score t mod S."""
    if trees[0].values.shape[1] > 1 or scores == 1:
        return trees
    groups = [[t for t in trees if t.score == s] for s in range(scores)]
    longest = max(map(len, groups))
    none, zero = np.full(1, -1), np.zeros((1, 1))
    blank: Any = Tree(Tests.blank(1), none, none, zero)
    if isinstance(trees[0], SymmetricTree):
        blank = SymmetricTree(Tests.blank(0), zero)
    for group in groups:
        group += [blank] * (longest - len(group))
    return [tree for turn in zip(*groups, strict=True) for tree in turn]


class _Views:
    """The distinct views of columns that a forest asks; sets of levels last."""

    def __init__(self, forest: Forest) -> None:
        # The first is what a leaf asks.
        keys = {(0, LEFT, False): 0}
        for tree in forest.trees:
            for key in self._keys(tree.tests):
                keys.setdefault(key, len(keys))
        self._numbers = keys
        self.count = len(keys)
        self._sets: dict[tuple[int, bytes], int] = {}
        self._set_places = np.asarray(
            [
                self._sets.setdefault(
                    (one.column, one.goes_right.tobytes()), len(self._sets)
                )
                for one in forest.sets
            ],
            "int64",
        )
        total = self.count + len(self._sets)
        self.bits = max(1, (total - 1).bit_length())

    @staticmethod
    def _keys(tests: Tests) -> Iterable[Any]:
        numbers = tests.sets < 0
        return zip(
            tests.columns[numbers].tolist(),
            tests.fills[numbers].tolist(),
            tests.zeros[numbers].tolist(),
            strict=True,
        )

    def places_of(self, tests: Tests) -> np.ndarray:
        """The view of each node."""
        places = np.zeros(len(tests.columns), "int64")
        is_set = tests.sets >= 0
        places[~is_set] = [self._numbers[key] for key in self._keys(tests)]
        if is_set.any():
            places[is_set] = self.count + self._set_places[tests.sets[is_set]]
        return places

    def arrays(self) -> dict[str, Any]:
        columns, fills, zeros = np.asarray(list(self._numbers)).T
        found = {
            "view_columns": columns,
            "view_fills": fills,
            "view_zeros": zeros,
        }
        if self._sets:
            flags = [np.frombuffer(key, bool) for _, key in self._sets]
            lengths = np.asarray([len(one) for one in flags])
            found["set_columns"] = np.asarray([c for c, _ in self._sets])
            found["set_starts"] = np.cumsum(lengths) - lengths
            found["set_levels"] = lengths - 2
            found["set_flags"] = np.concatenate(flags)
        return found


def _pack_symmetric(
    trees: list[SymmetricTree], places: list[np.ndarray], bits: int
) -> dict[str, Any]:
    depth = max(len(tree.tests.columns) for tree in trees)
    # View 0 and no number above: bit 0, at depths that a tree has not got.
    views = np.zeros((len(trees), depth), "int64")
    thresholds = np.full((len(trees), depth), np.inf, "float32")
    for row, (tree, place) in enumerate(zip(trees, places, strict=True)):
        views[row, : len(place)] = place
        numbers = tree.tests.sets < 0
        asked = np.where(numbers, tree.tests.thresholds, 0.5)
        thresholds[row, : len(place)] = asked
    counts = np.asarray([len(tree.values) for tree in trees])
    return {
        "links": views.ravel(),
        "thresholds": thresholds.ravel(),
        "roots": np.cumsum(counts) - counts,
        "values": np.concatenate([tree.values for tree in trees]),
        "depth": depth,
    }


def _pack_nodes(
    trees: list[Tree], places: list[np.ndarray], bits: int
) -> dict[str, Any]:
    total = sum(len(tree.left) for tree in trees)
    require(
        total << bits <= LARGEST,
        OWNER,
        "a forest's nodes times its views must be below 2**31.",
        nodes=total,
        views=1 << bits,
    )
    parts: dict[str, list[np.ndarray]] = {
        name: [] for name in ("links", "thresholds", "node_leaves", "values")
    }
    roots, depths, first, leaf = [], [], 0, 0
    for tree, place in zip(trees, places, strict=True):
        order, children, depth = _by_depth(tree)
        inner = children >= 0
        own = np.arange(len(order))
        views = np.where(inner, place[order], 0)
        target = first + np.where(inner, children, own)
        parts["links"].append((target << bits) + views)
        asked = np.where(tree.tests.sets < 0, tree.tests.thresholds, 0.5)
        parts["thresholds"].append(np.where(inner, asked[order], np.inf))
        numbers = leaf + np.cumsum(~inner) - 1
        parts["node_leaves"].append(np.where(inner, 0, numbers))
        parts["values"].append(tree.values[order[~inner]])
        roots.append(first)
        depths.append(depth)
        first, leaf = first + len(order), int(numbers[-1]) + 1
    joined = {name: np.concatenate(part) for name, part in parts.items()}
    return {**joined, "roots": np.asarray(roots), "depth": max(depths)}


def _by_depth(tree: Tree) -> tuple[np.ndarray, np.ndarray, int]:
    """Nodes from the root down, siblings side by side.

    Returns:
        The old number of each node, the new one of its left child (-1 in
        leaves), and the depth.
    """
    level = np.zeros(1, "int64")
    order, children, depth, count = [level], [], -1, 1
    while len(level):
        inner = tree.left[level] >= 0
        numbers = np.full(len(level), -1, "int64")
        numbers[inner] = count + 2 * np.arange(np.sum(inner))
        children.append(numbers)
        pairs = tree.left[level[inner]], tree.right[level[inner]]
        level = np.stack(pairs, axis=1).ravel().astype("int64")
        order.append(level)
        count += len(level)
        depth += 1
    return np.concatenate(order), np.concatenate(children), depth
