"""Rows of numbers and categories as features: pieces, steps, indicators."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from moe_keras.errors import is_count, require
from moe_keras.layers.input_checks import ReadsOneTensor, check_floats
from moe_keras.layers.preprocessing.row_layout import (
    RowLayout,
    name_features,
    spread_signs,
)
from moe_keras.layers.registration import register
from moe_keras.ops.cost import Cost
from moe_keras.ops.cost_rules import size_of
from moe_keras.ops.tabular import (
    encode_pieces,
    encode_steps,
    find_all_edges,
    is_place,
    sample_rows,
)

OWNER = "TabularEncoding"
NUMBERS = ("pieces", "steps")
# Pieces, or edges, of a number before `adapt`.
UNKNOWN = -1


@register
class TabularEncoding(ReadsOneTensor, keras.layers.Layer):
    """Features of about 0 to 1 of a row of numbers and categories.

    A row has one float for each column, NaN where it is missing. Of a number
    there are, at edges b_0 < b_1 < ... that `adapt` finds:

    - as pieces, (x - b_t) / (b_t+1 - b_t), clipped to 0..1: how much of each
      piece lies below x, so that a linear map of them is a line with a bend at
      each edge;
    - as steps, 1[x >= b_t] ("thermometer code"): of them a linear map makes a
      staircase.

    Both are non-decreasing in x. The outermost pieces are clipped too: what is
    beyond all that `adapt` has seen, infinite values included, reads as the
    nearest that it has seen. A category of L levels is one-hot. Every column
    has an indicator of being missing, and then nothing but that: a number that
    is NaN, or a category that is none of 0..L-1. The features stand in this
    order: pieces or steps, column by column; levels, column by column; the
    indicators of the numbers, and of the categories.

    Edges are weights that are not trained, saved with the model. Before
    `adapt`, all pieces and steps are 0, and a number says only whether it is
    missing.

    Args:
        levels: sequence of D entries: None for a number, int L > 0 for a
            category, whose values are the places 0..L-1 of its levels.
        bins: int > 1. A number has at most so many pieces, or bins between its
            steps. It has `bins` pieces, or `bins - 1` steps, whatever `adapt`
            finds; those that are not used are 0. Defaults to `32`.
        numbers: `"pieces"` or `"steps"`. Defaults to `"pieces"`.
        columns: sequence of int or None. Which of the D columns are read, each
            once; None for all. Defaults to `None`.
        **kwargs: `keras.layers.Layer` arguments.

    Call arguments:
        inputs: float `(..., D)`. They are read in float32, or, under a policy
            of float64, in that, so places and edges are never rounded further.

    Returns:
        float `(..., F)` in 0..1, no NaN.

    Source: Gorishniy et al. (2022), arXiv:2203.05556, eq. 1 and section 3.2.1
        (pieces between quantiles; clipping at both ends is ours).

    Example:
    >>> encoding = TabularEncoding([None, 3], bins=4)
    >>> encoding.adapt(rows)
    >>> encoding(rows).shape
    TensorShape([1000, 9])
    """

    def __init__(
        self,
        levels: Any,
        bins: int = 32,
        numbers: str = "pieces",
        columns: Any = None,
        **kwargs: Any,
    ):
        # The places of levels and large amounts do not fit in half precision.
        super().__init__(autocast=False, **kwargs)
        require(
            is_count(bins) and bins > 1,
            OWNER,
            "`bins` must be an integer above 1.",
            bins=bins,
        )
        rule = f"`numbers` must be one of {NUMBERS}."
        require(numbers in NUMBERS, OWNER, rule, numbers=numbers)
        self.bins = bins
        self.numbers = numbers
        self._is_pieces = numbers == "pieces"
        steps = bins if self._is_pieces else bins - 1
        self.layout = RowLayout(levels, columns, steps, OWNER)
        self.levels, self.columns = self.layout.levels, self.layout.columns
        edges = bins + 1 if self._is_pieces else bins - 1
        self._edges_shape = (len(self.layout.numbers), edges)

    def build(self, input_shape: Any) -> None:
        self._check_width(input_shape)
        if not self.layout.numbers:
            return
        # On one axis: presets keep what has more of them in half precision.
        self.edges = self.add_weight(
            (math.prod(self._edges_shape),),
            "zeros",
            dtype=self._wide,
            trainable=False,
            autocast=False,
            name="edges",
        )
        self.counts = self.add_weight(
            (len(self.layout.numbers),),
            _unknown,
            dtype="int32",
            trainable=False,
            autocast=False,
            name="counts",
        )

    @property
    def _wide(self) -> str:
        return "float64" if self.compute_dtype == "float64" else "float32"

    def _check_width(self, shape: Any) -> None:
        require(
            len(shape) > 1 and shape[-1] == len(self.levels),
            OWNER,
            f"`inputs` must be rows (..., {len(self.levels)}), one value for "
            "each entry of `levels`.",
            shape=tuple(shape),
        )

    # --- edges ---

    def adapt(self, rows: Any) -> None:
        """Learn the edges of the numbers: quantiles of their finite values.

        Ties are one edge, and a number with few different values has an edge
        at each: it then has fewer than `bins` pieces. A number without a finite
        value, and steps of one with a single value, have none.

        Args:
            rows: float array `(N, D)`, or an iterable of batches `(n, D)`. Of
                more than a million rows, every second is read, or every fourth,
                and so on.

        Raises:
            ValueError: for rows of another shape, or without any.
        """
        if not self.built:
            self.build((None, len(self.levels)))
        table = sample_rows(rows, len(self.levels), self._wide, OWNER)
        if self.layout.numbers:
            table = table[:, self.layout.numbers]
            edges, counts = find_all_edges(table, self.bins, self._is_pieces)
            self.edges.assign(edges.reshape(-1))
            self.counts.assign(counts)

    def edges_of(self, place: int) -> np.ndarray:
        """The edges of a number, ascending.

        Args:
            place: int, of the column in the row.

        Returns:
            float `(m,)`: those of its pieces or steps; without any, `(0,)`.

        Raises:
            ValueError: for a column that is no number or is not read, and
                before `adapt`.
        """
        numbers = self.layout.numbers
        rule = "`place` must be that of a number that is read."
        require(place in numbers, OWNER, rule, place=place, numbers=numbers)
        counts = ops.convert_to_numpy(self.counts) if self.built else [UNKNOWN]
        require(
            min(counts) > UNKNOWN,
            OWNER,
            "the edges must be known: call `adapt` first.",
            name=self.name,
        )
        row = numbers.index(place)
        edges = np.reshape(ops.convert_to_numpy(self.edges), self._edges_shape)
        found = counts[row] + (self._is_pieces and counts[row] > 0)
        return np.asarray(edges[row, :found])

    def feature_names(
        self,
        row_names: Sequence[str],
        level_names: Mapping[str, Sequence[Any]] | None = None,
    ) -> list[str]:
        """A name for each feature.

        Such as "age 30 to 40" (a piece), "age >= 30" (a step), "age missing",
        "job = student", and "age (unused 7)" where it is always 0.

        Args:
            row_names: D names of the columns.
            level_names: by the name of a category, the names of its levels.
                Defaults to their places.

        Returns:
            F names.

        Raises:
            ValueError: for names that do not fit, and before `adapt`.
        """
        return name_features(self, row_names, level_names)

    def signs(self, monotone: Sequence[int]) -> np.ndarray:
        """The signs that a linear map of the features needs to be monotone.

        Args:
            monotone: D entries: 1 where the result must not fall with a number,
                -1 where it must not rise, 0 elsewhere and for categories.

        Returns:
            int `(F,)`: those of the pieces or steps; 0 for the indicators.
        """
        return spread_signs(self.layout, monotone, OWNER)

    # --- the call ---

    def call(self, inputs: Any) -> Any:
        check_floats(OWNER, inputs)
        self._check_width(inputs.shape)
        rows = ops.cast(inputs, self._wide)
        numbers, categories = self.layout.numbers, self.layout.categories
        parts, missing = [], []
        if numbers:
            values = ops.take(rows, np.asarray(numbers), axis=-1)
            parts.append(self._encode_numbers(values))
            missing.append(ops.isnan(values))
        if categories:
            values = ops.take(rows, np.asarray(self.layout.owners), axis=-1)
            parts.append(ops.equal(values, self._tensor(self.layout.places)))
            values = ops.take(rows, np.asarray(categories), axis=-1)
            lengths = [self.levels[place] for place in categories]
            known = is_place(values, self._tensor(lengths))
            missing.append(ops.logical_not(known))
        features = [
            ops.cast(part, self.compute_dtype) for part in (*parts, *missing)
        ]
        return ops.concatenate(features, axis=-1)

    def _tensor(self, values: list[Any]) -> Any:
        return ops.convert_to_tensor(values, self._wide)

    def _encode_numbers(self, values: Any) -> Any:
        """`(..., n) -> (..., n * T)`."""
        encode = encode_pieces if self._is_pieces else encode_steps
        edges = ops.reshape(self.edges, self._edges_shape)
        counts = ops.convert_to_tensor(self.counts)
        encoded = encode(values, edges, counts)
        width = encoded.shape[-2] * encoded.shape[-1]
        return ops.reshape(encoded, (*ops.shape(values)[:-1], width))

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        return (*input_shape[:-1], self.layout.num_features)

    def count_cost(self, shapes: Any, load: Any = None) -> Cost:
        """Multiply-adds per example: one for each piece, none for the rest."""
        pieces = len(self.layout.numbers) * self.bins * self._is_pieces
        count = size_of(shapes[0][1:-1]) * pieces
        return Cost(count, count)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "levels": list(self.levels),
            "bins": self.bins,
            "numbers": self.numbers,
            "columns": None if self.columns is None else list(self.columns),
        }


def _unknown(shape: Any, dtype: Any = None) -> Any:
    return ops.full(shape, UNKNOWN, dtype=dtype)
