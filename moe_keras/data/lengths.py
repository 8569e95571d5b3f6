"""How long texts are: a batch takes as long as its longest text."""

from collections.abc import Callable
from typing import Any

import numpy as np


def text_lengths(inputs: Any) -> np.ndarray | None:
    """Of texts `(N,)` the characters or bytes of each; None for other inputs.

    Args:
        inputs: array of `object`, or anything else.
    """
    if not isinstance(inputs, np.ndarray) or inputs.dtype.kind != "O":
        return None
    return np.array([len(text) for text in inputs], dtype="int64")


def in_order_of_length(
    function: Callable[[Any], np.ndarray], inputs: Any
) -> np.ndarray:
    """What a function says of rows, asked in the order of their lengths.

    Args:
        function: from rows to an array `(N, ...)`, row by row, in batches.
        inputs: texts `(N,)`; others are asked about as they stand.

    Returns:
        `(N, ...)` in the order of the rows.
    """
    lengths = text_lengths(inputs)
    if lengths is None:
        return function(inputs)
    order = np.argsort(lengths, kind="stable")
    said = function(inputs[order])
    found = np.empty_like(said)
    found[order] = said
    return found
