"""Random columns that are the same on every machine, row by row.

The raw numbers of numpy's Philox generator never change between versions, which
numpy does not promise of its distributions. Each column has a stream of its
own, so row i is the same whatever the number of rows.
"""

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from moe_keras.errors import is_count, require


class Stream:
    """Columns of random numbers, each by its name.

    Args:
        name: of the data set and the split.
        seed: int.
        size: int > 0. N, number of rows.
    """

    def __init__(self, name: str, seed: int, size: int):
        self.key, self.size = f"{name}/{seed}", size

    def uniform(self, column: str) -> np.ndarray:
        """Float `(N,)`, uniform in [0, 1)."""
        name = f"{self.key}/{column}".encode()
        key = int.from_bytes(hashlib.blake2b(name, digest_size=16).digest())
        raw = np.random.Philox(key=key).random_raw(self.size)
        # The upper 53 bits, as many as a float holds.
        found: np.ndarray = (raw >> np.uint64(11)) * 2.0**-53
        return found

    def normal(self, column: str) -> np.ndarray:
        """Float `(N,)`, normal with mean 0 and variance 1."""
        from scipy.special import ndtri

        found: np.ndarray = ndtri(self.uniform(column) + 2.0**-54)
        return found

    def choice(self, column: str, shares: Mapping[str, float]) -> np.ndarray:
        """Object `(N,)` of `str`, each name with its share; they sum to 1."""
        names = np.array([*shares], dtype=object)
        bounds = np.cumsum([*shares.values()])[:-1]
        return np.take(names, np.searchsorted(bounds, self.uniform(column)))


def sigmoid(logits: np.ndarray) -> np.ndarray:
    """1 / (1 + exp(-x)), element by element."""
    found: np.ndarray = 1 / (1 + np.exp(-logits))
    return found


def check_sizes(owner: str, **sizes: Any) -> None:
    """Refuse numbers of rows that are none.

    Args:
        owner: the function that was called.
        **sizes: the numbers by the names of their arguments.

    Raises:
        ValueError: for anything but an integer above 0.
    """
    for name, size in sizes.items():
        rule = f"`{name}` must be an integer above 0."
        require(is_count(size), owner, rule, **{name: size})
