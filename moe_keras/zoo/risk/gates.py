"""The gates of a risk model: what they read, and how they choose."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from moe_keras.errors import require
from moe_keras.layers import FeatureGating, Gate, GatingLayer, UniformGating
from moe_keras.zoo.risk.experts import OWNER, Columns, adapted


@dataclass(frozen=True)
class GateMaker:
    """Makes gates of one kind, over rows or over features made of them.

    Attributes:
        columns: of the row.
        rows: float `(N, D)`, for quantiles.
        bins: int > 1, pieces of a number at most.
        uniform: whether all gates are equal and fixed.
        router: arguments of `GatingLayer`.
    """

    columns: Columns
    rows: np.ndarray
    bins: int
    uniform: bool
    router: Mapping[str, Any]

    def of_rows(
        self, sizes: Sequence[int], name: str, router: str = "router"
    ) -> Gate:
        """A gate that reads an encoding of the row.

        Args:
            sizes: experts of each bank. All banks begin with equal weights: a
                kind with many experts is not to outvote the others.
            name: of the gate.
            router: the name of the layer behind the encoding.
        """
        if self.uniform:
            gate = UniformGating(sum(sizes), level="sample", name=router)
            # It reads no value, but rows that are not finite are broken to a
            # gate, and here they only lack something.
            places = list(range(len(self.columns.levels)))
            return self._behind_encoding(places, gate, name)
        require(
            self.columns.free,
            OWNER,
            "the gate needs a column that does not depend on a monotone one, "
            "or must be 'uniform'.",
            columns=list(self.columns.names),
        )
        gate = self._router(sizes, router)
        return self._behind_encoding(self.columns.free, gate, name)

    def _behind_encoding(
        self, places: Sequence[int], gate: Gate, name: str
    ) -> FeatureGating:
        features = adapted(self.columns, places, self.rows, self.bins, "pieces")
        return FeatureGating(features, gate, name=name)

    def of_features(self, sizes: Sequence[int], name: str) -> Gate:
        """A gate that reads features `(B, F)`; see `of_rows`."""
        if self.uniform:
            return UniformGating(sum(sizes), level="sample", name=name)
        return self._router(sizes, name)

    def _router(self, sizes: Sequence[int], name: str) -> GatingLayer:
        start = [-math.log(size) for size in sizes for _ in range(size)]
        return GatingLayer(
            len(start),
            level="sample",
            bias_initializer=keras.initializers.Constant(start),
            name=name,
            **self.router,
        )
