"""Columns of a table as numbers of about 0 to 1, and edges from their values.

Numbers are cut into pieces at edges. Where one is missing (NaN), all that is
made of it is 0. Every piece and step is non-decreasing in its number, in
floating point too: differences, quotients by what is above 0 and comparisons
are, whatever is rounded.
"""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from keras import ops

from moe_keras.errors import require

# Rows that edges are learned from. Of more, every second is left out, then
# every second of those that are left, and so on.
MOST_ROWS = 1_000_000
# So that the difference of two edges is finite, and no denormal number, which
# some compilers read as 0.
LARGEST, SMALLEST = 1e38, 1e-30


def encode_pieces(values: Any, edges: Any, counts: Any) -> Any:
    """How much of each piece between two edges lies below a number.

    Piece t of x is (x - b_t) / (b_t+1 - b_t), clipped to 0..1, also at both
    ends: what is beyond the last edge reads as the last edge does.

    Args:
        values: float `(..., n)`; NaN where missing, infinite values are fine.
        edges: float `(n, T + 1)`, ascending where they count.
        counts: int `(n,)`, the pieces of each number; those behind are 0.

    Returns:
        float `(..., n, T)`, in 0..1.

    Source: Gorishniy et al. (2022), arXiv:2203.05556, eq. 1, which does not
        clip the first piece below nor the last one above.
    """
    lower, upper = edges[:, :-1], edges[:, 1:]
    used = _first(counts, lower.shape[-1])
    widths = ops.where(used, upper - lower, ops.ones_like(lower))
    known = ops.expand_dims(values == values, -1)
    # Both ends of what NaN would go through, or it is in the gradient.
    values = ops.expand_dims(values, -1)
    values = ops.where(known, values, ops.zeros_like(values))
    pieces = ops.clip((values - lower) / widths, 0.0, 1.0)
    on = ops.logical_and(used, known)
    return ops.where(on, pieces, ops.zeros_like(pieces))


def encode_steps(values: Any, edges: Any, counts: Any) -> Any:
    """Which edges a number has reached: 1[x >= b_t].

    Args:
        values: float `(..., n)`; NaN where missing.
        edges: float `(n, T)`.
        counts: int `(n,)`, the edges of each number; those behind are 0.

    Returns:
        float `(..., n, T)`, 0 or 1.
    """
    reached = ops.expand_dims(values, -1) >= edges
    on = ops.logical_and(_first(counts, edges.shape[-1]), reached)
    return ops.cast(on, values.dtype)


def is_place(values: Any, levels: Any) -> Any:
    """Whether each value is an integer in 0..L-1.

    Args:
        values: float `(..., c)`.
        levels: float `(c,)`, L of each.

    Returns:
        bool `(..., c)`.
    """
    whole = ops.floor(values) == values
    inside = ops.logical_and(values >= 0, values < levels)
    return ops.logical_and(whole, inside)


def _first(counts: Any, length: int) -> Any:
    """Whether a place is one of the first `counts`, bool `(n, length)`."""
    return ops.arange(length, dtype="int32") < ops.expand_dims(counts, -1)


def find_edges(values: np.ndarray, bins: int, ends: bool) -> np.ndarray:
    """Quantiles of a number's finite values, without ties.

    A number with few different values has an edge at each. Where the highest
    quantiles are ties, a step is behind them too.

    Args:
        values: float `(N,)`; what is not finite is left out.
        bins: int > 1. At most so many bins are between the edges.
        ends: whether the smallest and the largest value are edges too, as
            pieces want it; steps do not need them.

    Returns:
        float `(m,)`, ascending, of the dtype of `values`: at most `bins` + 1
        with the ends, `bins` - 1 without. None without values, and none without
        the ends where all values are equal.
    """
    values = values[np.isfinite(values)]
    values = np.clip(values, -LARGEST, LARGEST)
    values = np.where(np.abs(values) < SMALLEST, 0, values)
    distinct = np.unique(values)
    if len(distinct) > bins + ends:
        shares = np.arange(bins + 1) / bins
        # Values that there are, which also keep their dtype.
        found = np.quantile(values, shares, method="inverted_cdf")
        inner = found[1:-1]
        if not ends and inner[-1] in (distinct[0], *inner[:-1]):
            # A value that so many rows have would hide all that is above it.
            after = np.searchsorted(distinct, inner[-1], side="right")
            inner = np.append(inner, distinct[after : after + 1])
        distinct = np.unique(found if ends else [distinct[0], *inner])
    return np.asarray(distinct if ends else distinct[1:], values.dtype)


def find_all_edges(
    table: np.ndarray, bins: int, ends: bool
) -> tuple[np.ndarray, np.ndarray]:
    """The edges of each column; see `find_edges`.

    Args:
        table: float `(N, n)`.
        bins: int > 1.
        ends: see `find_edges`.

    Returns:
        float `(n, bins + 1)` with the ends, `(n, bins - 1)` without: zeros
        behind the edges that there are; int32 `(n,)`: how many pieces, or
        steps, they make.
    """
    edges = np.zeros((table.shape[1], bins + 1 if ends else bins - 1))
    edges = edges.astype(table.dtype)
    counts = np.zeros(len(edges), "int32")
    for row, column in enumerate(table.T):
        found = find_edges(column, bins, ends)
        edges[row, : len(found)] = found
        counts[row] = max(0, len(found) - ends)
    return edges, counts


def sample_rows(
    rows: Any, columns: int, dtype: str, owner: str, most: int = MOST_ROWS
) -> np.ndarray:
    """The rows of a table, or every 2nd, 4th, ... of more than there may be.

    Args:
        rows: array `(N, D)`, or an iterable of batches `(n, D)`.
        columns: int, D.
        dtype: of the result.
        owner: whom to name in errors.
        most: int > 0. At most about twice as many rows are held.

    Returns:
        `(n, D)`.

    Raises:
        ValueError: for a batch of another shape, and for no row at all.
    """
    kept: list[np.ndarray] = [np.zeros((0, columns), dtype)]
    stride, seen, held = 1, 0, 0
    for batch in _batches(rows):
        require(
            batch.ndim == 2 and batch.shape[1] == columns,
            owner,
            f"`rows` must be (N, {columns}), or batches of such rows.",
            shape=batch.shape,
        )
        part = batch[(-seen) % stride :: stride].astype(dtype)
        seen += len(batch)
        kept.append(part)
        held += len(part)
        while held > most:
            kept = [np.concatenate(kept)[::2]]
            stride, held = 2 * stride, len(kept[0])
    require(seen > 0, owner, "`rows` must not be empty.", rows=seen)
    return np.concatenate(kept)


def _batches(rows: Any) -> Iterator[np.ndarray]:
    batches: Iterable[Any] = [rows] if hasattr(rows, "shape") else rows
    for batch in batches:
        yield np.asarray(ops.convert_to_numpy(batch))
