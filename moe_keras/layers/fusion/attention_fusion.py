"""Attention fusion: y = sum_e w_e f_e(x), w_e ~ g_e exp(q . k_e / sqrt(A))."""

import math
from typing import Any

import keras
from keras import ops

from moe_keras.errors import is_count, require
from moe_keras.layers.fusion_layer import Fusion
from moe_keras.layers.initializers import FullPrecision, numbered
from moe_keras.layers.registration import register
from moe_keras.ops.cost import Cost
from moe_keras.ops.cost_rules import size_of
from moe_keras.ops.fusion import attention_gates, weighted_sum
from moe_keras.ops.scaling import scale_to_sum, widen

QUERIES = ("mean", "learned")


@register
class AttentionFusion(Fusion):
    """Weighted sum whose weights look at the outputs, not at the gates alone.

    Each expert's output (its mean over all axes but the last) gives a key `k_e
    = f_e(x) W_k`. The gates are multiplied by `exp(q . k_e / sqrt(units))` and
    scaled back to their sum, so that an expert whose gate is 0 has no say, and
    with equal scores this is `WeightedFusion`.

    Args:
        units: int > 0. A, width of the query and the keys.
        query: `"mean"`: the gates-weighted mean of the outputs, times W_q, so
            that experts who agree with the mixture count more or less, as is
            learned; `"learned"`: one vector for all rows. Defaults to `"mean"`.
        kernel_initializer: for W_q and W_k. Defaults to `"glorot_uniform"`.
        drop_non_finite: bool. Whether an expert whose output for a row holds
            NaN or infinity is left out of that row, the other gates scaled up
            to the sum that all had; a row without a finite expert gives zeros.
            Defaults to `False`.
        **kwargs: `keras.layers.Layer` arguments.

    Call arguments:
        inputs: list of one or several banks' outputs `(P..., E_b, ..., U)` and,
            last, the gates `(P..., E)`, not negative.

    Returns:
        float `(P..., ..., U)`.

    Source: Bahdanau et al. (2015), arXiv:1409.0473; Vaswani et al. (2017),
        arXiv:1706.03762, eq. 1; here over experts instead of positions.

    Example:
    >>> fusion = AttentionFusion(16)
    >>> MixtureOfExperts(DenseExpert(64, 8), GatingLayer(8, 2), fusion)
    """

    def __init__(
        self,
        units: int,
        query: str = "mean",
        kernel_initializer: Any = "glorot_uniform",
        drop_non_finite: bool = False,
        **kwargs: Any,
    ):
        super().__init__(drop_non_finite, **kwargs)
        require(
            is_count(units),
            "AttentionFusion",
            "`units` must be an integer above 0.",
            units=units,
        )
        require(
            query in QUERIES,
            "AttentionFusion",
            f"`query` must be one of {QUERIES}.",
            query=query,
        )
        self.units = units
        self.query = query
        self.kernel_initializer = keras.initializers.get(kernel_initializer)

    def build_fusion(self, row_shape: tuple[int | None, ...]) -> None:
        require(
            row_shape and row_shape[-1] is not None,
            "AttentionFusion",
            "experts must return vectors or maps (..., U) with a known U.",
            row_shape=row_shape,
        )
        shape = (row_shape[-1], self.units)
        # Not the same initializer twice, which draws the same twice.
        key, query = (
            FullPrecision(numbered(self.kernel_initializer, i))
            for i in range(2)
        )
        self.key_kernel = self.add_weight(shape, key, name="key_kernel")
        if self.query == "mean":
            self.query_kernel = self.add_weight(
                shape, query, name="query_kernel"
            )
        else:
            self.query_vector = self.add_weight(
                (self.units,), "random_normal", name="query_vector"
            )

    def fuse(self, outputs: Any, gates: Any) -> Any:
        gates = widen(gates)
        weights = attention_gates(widen(self._scores(outputs, gates)), gates)
        weights = ops.cast(weights, outputs.dtype)
        return weighted_sum(outputs, weights, cleared=True)

    def _scores(self, outputs: Any, gates: Any) -> Any:
        """Products q . k_e / sqrt(A), `(P..., E)`; 0 where the gate is 0."""
        maps = tuple(range(len(gates.shape), len(outputs.shape) - 1))
        # A mean of many halves may overflow on the way.
        vectors = (
            ops.cast(ops.mean(widen(outputs), axis=maps), outputs.dtype)
            if maps
            else outputs
        )
        keys = ops.matmul(vectors, self.key_kernel) / math.sqrt(self.units)
        if self.query == "learned":
            return ops.matmul(keys, self.query_vector)
        shares = ops.cast(scale_to_sum(gates), vectors.dtype)
        mean = weighted_sum(vectors, shares, cleared=True)
        query = ops.expand_dims(ops.matmul(mean, self.query_kernel), -2)
        return ops.sum(widen(query) * widen(keys), axis=-1)

    def count_cost(self, shapes: Any, load: Any = None) -> Cost:
        """Multiply-adds per example; see `moe_keras.ops.cost`.

        Args:
            shapes: those of the banks' outputs, then of the gates.
            load: `(E,)` share of the rows that reach each expert; None for all.
        """
        gates_shape = shapes[-1]
        width = shapes[0][-1]
        rows, num_experts = size_of(gates_shape[1:-1]), gates_shape[-1]
        by_row, by_expert = 0, width * self.units + self.units
        if self.query == "mean":
            by_row, by_expert = width * self.units, by_expert + width
        reached = num_experts if load is None else sum(load)
        return super().count_cost(shapes, load) + Cost(
            rows * (by_row + by_expert * num_experts),
            rows * (by_row + by_expert * reached),
        )

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "units": self.units,
            "query": self.query,
            "kernel_initializer": keras.initializers.serialize(
                self.kernel_initializer
            ),
        }
