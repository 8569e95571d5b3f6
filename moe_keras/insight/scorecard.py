"""A linear expert behind a tabular encoding as a card of points."""

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from moe_keras.errors import require
from moe_keras.layers import LinearExpert, TabularEncoding
from moe_keras.layers.preprocessing.row_layout import (
    EncodedColumn,
    check_names,
    format_number,
)

OWNER = "scorecard"
BASE = "base points"
# From one value to another one: what a bin is called, its ends, its points at
# both.
_Bin = tuple[str, float, float, float, float]


def scorecard(
    expert: LinearExpert,
    encoding: TabularEncoding,
    row_names: Sequence[str],
    level_names: Mapping[str, Sequence[Any]] | None = None,
    number: int = 0,
    base_points: float = 600.0,
    base_odds: float = 50.0,
    pdo: float = 20.0,
) -> list[dict[str, Any]]:
    """The points of each bin of each column.

    Points = offset + factor * log(odds), with odds of class 0 (good) against
    class 1 (bad), factor = pdo / log(2) and offset = base_points - factor *
    log(base_odds). So more points mean less risk, and a row has the base points
    and those of one bin of each column, in sum offset - factor * s with s the
    expert's score.

    Args:
        expert: `LinearExpert` of two classes, or of one score, built.
        encoding: the `TabularEncoding` that it reads, adapted.
        row_names: D names of the columns of the row.
        level_names: by the name of a category, the names of its levels.
            Defaults to their places.
        number: int in 0..E-1, which expert of the bank. Defaults to `0`.
        base_points: float, points of a row with `base_odds`. Defaults to
            `600.0`.
        base_odds: float > 0, good to bad. Defaults to `50.0`.
        pdo: float > 0, points that double the odds. Defaults to `20.0`.

    Returns:
        One record for each bin, for `pandas.DataFrame`, the base points first:
        `column`, `bin` (a text), `lower` and `upper` (floats, a bin of a number
        has lower <= x < upper; None for the others), `points` (at the lower
        end) and `upper_points` (just below the upper end). Those two differ
        for pieces only, between whose ends points are on a straight line.

    Raises:
        ValueError: for an expert of more classes, for another number of
            features than the encoding has, and where edges are not known.

    Source: Siddiqi (2006), Credit risk scorecards, Wiley, chapter 6 (scaling;
        the base points are a record here and not spread over the columns).
    """
    require(
        isinstance(expert, LinearExpert)
        and isinstance(encoding, TabularEncoding),
        OWNER,
        "`expert` must be a LinearExpert and `encoding` a TabularEncoding.",
        expert=expert,
        encoding=encoding,
    )
    for name, value in (("base_odds", base_odds), ("pdo", pdo)):
        require(value > 0, OWNER, f"`{name}` must be > 0.", **{name: value})
    check_names(encoding.layout, row_names, level_names, OWNER)
    weights, bias = _read(expert, encoding, number)
    factor = pdo / math.log(2)
    offset = base_points - factor * math.log(base_odds)
    records = [_record(BASE, ("", None, None, *[offset - factor * bias] * 2))]
    points = -factor * weights
    for column in encoding.layout.encoded():
        name = row_names[column.place]
        own = points[column.start : column.stop]
        if column.levels is None:
            bins = _bins(encoding, column, own)
        else:
            levels = (level_names or {}).get(name, range(column.levels))
            texts = map(str, levels)
            bins = (
                (text, None, None, value, value)
                for text, value in zip(texts, own, strict=True)
            )
        records += [_record(name, one) for one in bins]
        missing = points[column.missing]
        records.append(_record(name, ("missing", None, None, missing, missing)))
    return records


def _record(column: str, one: Any) -> dict[str, Any]:
    text, lower, upper, points, upper_points = one
    return {
        "column": column,
        "bin": text,
        "lower": lower,
        "upper": upper,
        "points": float(points),
        "upper_points": float(upper_points),
    }


def _read(
    expert: LinearExpert, encoding: TabularEncoding, number: int
) -> tuple[np.ndarray, float]:
    """The weights of one expert's score and its bias, in float64."""
    kernel, bias = expert.coefficients()
    require(
        kernel.shape[2] == 1,
        OWNER,
        "`expert` must have one score: `output_units` of 1 or 2.",
        output_units=expert.output_units,
    )
    require(
        kernel.shape[1] == encoding.layout.num_features,
        OWNER,
        "`expert` must read the features of `encoding`.",
        weights=kernel.shape[1],
        features=encoding.layout.num_features,
    )
    require(
        0 <= number < len(kernel),
        OWNER,
        f"`number` must be an integer in 0..{len(kernel) - 1}.",
        number=number,
    )
    return kernel[number, :, 0].astype("float64"), float(bias[number, 0])


def _bins(
    encoding: TabularEncoding, column: EncodedColumn, points: np.ndarray
) -> Iterator[_Bin]:
    """The bins of a number, from the lowest to the highest."""
    edges = encoding.edges_of(column.place)
    is_pieces = encoding.numbers == "pieces"
    ends = [-math.inf, *map(float, edges), math.inf]
    texts = ["", *map(format_number, edges), ""]
    used = points[: max(0, len(edges) - is_pieces)]
    # What has been reached at each edge, and below all of them.
    sums = np.concatenate([[0.0], np.cumsum(used)])
    starts = np.concatenate([[0.0], sums]) if is_pieces else sums
    stops = np.append(sums, sums[-1]) if is_pieces else sums
    if not len(edges):
        starts = stops = np.zeros(1)
    for place, (lower, upper) in enumerate(pairwise(ends)):
        low, high = texts[place], texts[place + 1]
        text = f"{low} to {high}" if low and high else "any"
        if not low and high:
            text = f"< {high}"
        elif low and not high:
            text = f">= {low}"
        yield text, lower, upper, starts[place], stops[place]
