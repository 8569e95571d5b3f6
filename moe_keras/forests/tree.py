"""What every library's trees become: nodes that ask, and leaves that answer.

A node asks `x <= threshold`, and yes goes left. Libraries compare in float32 or
in float64, with `<=` or with `<`; `at_most` and `below` turn each threshold
into the float32 at which no float32 goes another way.
"""

from dataclasses import dataclass, field

import numpy as np

# Where a missing value goes.
LEFT, AS_ZERO, RIGHT = -1, 0, 1
# In the flags of a set of levels, in front of level 0.
MISSING, OTHER = 0, 1
# What LightGBM takes for zero, in absolute value (its kZeroThreshold).
ZERO = 1e-35

SMALLEST = np.finfo("float32").tiny


def at_most(thresholds: np.ndarray) -> np.ndarray:
    """The largest float32 <= t: `x <= t` of all float32 x asks the same of it.

    Backends read subnormal numbers (below 1.2e-38 in absolute value) as 0 or
    not, so that no threshold is one: those below 0 become the normal number
    that is next, those above become 0. It is the same to all other x.

    Args:
        thresholds: float64 `(n,)`.

    Returns:
        float32 `(n,)`.
    """
    with np.errstate(over="ignore", under="ignore"):
        rounded = np.asarray(thresholds, "float64").astype("float32")
        above = rounded.astype("float64") > thresholds
        lower = np.nextafter(rounded, np.float32(-np.inf))
    return _without_subnormals(np.where(above, lower, rounded))


def below(thresholds: np.ndarray) -> np.ndarray:
    """The largest float32 < t: it makes `x <= t'` of a library's `x < t`.

    Args:
        thresholds: float64 `(n,)`, above -inf, which no number is below.

    Returns:
        float32 `(n,)`; see `at_most`.
    """
    with np.errstate(over="ignore", under="ignore"):
        rounded = np.asarray(thresholds, "float64").astype("float32")
        lower = np.nextafter(rounded, np.float32(-np.inf))
        is_less = rounded.astype("float64") < thresholds
    return _without_subnormals(np.where(is_less, rounded, lower))


def _without_subnormals(numbers: np.ndarray) -> np.ndarray:
    small = np.abs(numbers) < SMALLEST
    near = np.where(numbers < 0, -SMALLEST, np.float32(0))
    return np.where(small, near, numbers).astype("float32")


@dataclass(frozen=True)
class LevelSet:
    """Which levels of a category go right.

    Attributes:
        column: int >= 0.
        goes_right: bool `(2 + L,)`: what a missing value does, what any number
            but 0..L-1 does, and what the levels do.
    """

    column: int
    goes_right: np.ndarray


@dataclass(frozen=True)
class Tests:
    """What nodes ask, one entry for each; all fields but the first are given.

    Attributes:
        columns: int `(n,)`; anything in leaves.
        thresholds: float32 `(n,)`; of a category, anything.
        fills: int `(n,)`, of LEFT, AS_ZERO and RIGHT.
        zeros: bool `(n,)`, whether a zero is missing too.
        sets: int `(n,)`, places in `Forest.sets`; -1 for a number.
    """

    columns: np.ndarray
    thresholds: np.ndarray
    fills: np.ndarray
    zeros: np.ndarray
    sets: np.ndarray

    @classmethod
    def blank(cls, count: int) -> "Tests":
        """Of so many nodes, which go left on all numbers."""
        return cls(
            np.zeros(count, "int64"),
            np.full(count, np.inf, "float32"),
            np.full(count, LEFT),
            np.zeros(count, bool),
            np.full(count, -1),
        )


@dataclass(frozen=True)
class Tree:
    """A tree; its root is node 0.

    Attributes:
        tests: of n nodes.
        left: int `(n,)`, the child on the left; -1 in leaves.
        right: int `(n,)`.
        values: float64 `(n, W)`, what leaves answer.
        score: int >= 0. Which of the scores the answer is for, where W is 1.
    """

    tests: Tests
    left: np.ndarray
    right: np.ndarray
    values: np.ndarray
    score: int = 0


@dataclass(frozen=True)
class SymmetricTree:
    """A tree that asks the same in all nodes of a depth.

    Attributes:
        tests: of d depths; depth i has bit i of the leaf's number, 1 on the
            right.
        values: float64 `(2**d, W)`.
    """

    tests: Tests
    values: np.ndarray
    score: int = 0


@dataclass
class Forest:
    """An ensemble of one kind of tree.

    Attributes:
        num_columns: int > 0, of the rows that it reads.
        num_classes: int > 1. C.
        offsets: float64 `(S,)`. S, the scores, is 1 for the margin of class 1
            against class 0, C for a logit or a probability of each class.
        averaged: bool. Whether the answers are probabilities, to be averaged;
            else they are logits, to be summed.
        trees: list of `Tree`, or of `SymmetricTree`.
        sets: list of `LevelSet`.
    """

    num_columns: int
    num_classes: int
    offsets: np.ndarray
    averaged: bool = False
    trees: list[Tree] | list[SymmetricTree] = field(default_factory=list)
    sets: list[LevelSet] = field(default_factory=list)

    def add_set(self, column: int, goes_right: np.ndarray) -> int:
        """The place of a new set of levels."""
        self.sets.append(LevelSet(int(column), np.asarray(goes_right, bool)))
        return len(self.sets) - 1
