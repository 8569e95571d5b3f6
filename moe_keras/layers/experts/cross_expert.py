"""Cross networks: x <- x_0 * (W x + b) + x, explicit products of features."""

import math
from typing import Any

import keras

from moe_keras.errors import is_count, require, require_counts, require_rates
from moe_keras.layers.initializers import PerExpert, numbered
from moe_keras.layers.product_bank import ProductBank
from moe_keras.layers.registration import register
from moe_keras.ops.feed_forward import add_bias

OWNER = "CrossExpert"


@register
class CrossExpert(ProductBank):
    """Bank of cross networks, and an affine map behind each.

    Layer l makes x_l+1 = x_0 * (x_l W_l + b_l) + x_l of the row x_0, so that L
    layers hold all products of up to L + 1 features; behind the last one the
    output is x_L V + c. With a `rank` R, W_l is a product of kernels of (F, R)
    and (R, F), with 2 F R weights instead of F^2.

    Products of features grow fast: this wants features of about 0 to 1, such as
    those of `TabularEncoding`.

    Args:
        output_units: int > 0. U, width of one expert's output.
        num_experts: int > 0. E. Defaults to `1`.
        num_layers: int > 0. L. Defaults to `2`.
        rank: int > 0 or None. R; None for whole kernels. Defaults to `None`.
        output_activation: str, callable or None, after the affine map. Defaults
            to `None`.
        dropout: float in [0, 1), on the affine map's input, in training.
            Defaults to `0.0`.
        kernel_initializer: for one expert's kernel; each has a draw of its own.
            Defaults to `"glorot_uniform"`.
        kernel_regularizer: applied to each bank of kernels. Defaults to `None`.
        **kwargs: `keras.layers.Layer` arguments.

    Call arguments:
        inputs: float `(..., F)`.
        gates: float `(P..., E)` or None; where 0, the expert is not run (JAX,
            whose shapes are static, runs it and clears the result).
        group_sizes, dispatch, experts: see `ExpertBank`.

    Returns:
        float `(..., E, U)`, one slice per expert, not yet weighted; zeros where
        the gate is 0.

    Source: Wang et al. (2021), DCN V2, arXiv:2008.13535, eq. 1 and 2 (whose
        cross network may stand in front of or beside a deep one; here it stands
        alone).

    Example:
    >>> bank = CrossExpert(2, num_experts=4, rank=8)
    >>> bank(np.ones((8, 50), "float32")).shape
    TensorShape([8, 4, 2])
    """

    def __init__(
        self,
        output_units: int,
        num_experts: int = 1,
        num_layers: int = 2,
        rank: int | None = None,
        output_activation: Any = None,
        dropout: float = 0.0,
        kernel_initializer: Any = "glorot_uniform",
        kernel_regularizer: Any = None,
        **kwargs: Any,
    ):
        super().__init__(num_experts, **kwargs)
        require_counts(OWNER, output_units=output_units, num_layers=num_layers)
        require(
            rank is None or is_count(rank),
            OWNER,
            "`rank` must be an integer above 0, or None.",
            rank=rank,
        )
        require_rates(OWNER, dropout=dropout)
        self.output_units = output_units
        self.num_layers = num_layers
        self.rank = rank
        self.output_activation = keras.activations.get(output_activation)
        self.dropout = dropout
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.kernel_regularizer = keras.regularizers.get(kernel_regularizer)
        self._dropout_layer = keras.layers.Dropout(
            dropout, dtype=self.dtype_policy, name="dropout"
        )

    def build_bank(self, row_shape: tuple[int | None, ...]) -> None:
        features = row_shape[-1]
        one = [(features, features)]
        if self.rank is not None:
            one = [(features, self.rank), (self.rank, features)]
        self._weights: list[Any] = []
        for layer in range(self.num_layers):
            for part, shape in enumerate(one):
                suffix = f"{layer}" if self.rank is None else f"{layer}_{part}"
                self._add_kernel(f"kernel_{suffix}", shape)
            self._add_bias(f"bias_{layer}", features)
        self._add_kernel("output_kernel", (features, self.output_units))
        self._add_bias("output_bias", self.output_units)

    def _add_kernel(self, name: str, shape: Any) -> None:
        initializer = numbered(
            self.kernel_initializer, len(self._weights) * self.num_experts
        )
        self._weights.append(
            self.add_weight(
                (self.num_experts, *shape),
                PerExpert(initializer),
                regularizer=self.kernel_regularizer,
                name=name,
            )
        )

    def _add_bias(self, name: str, width: Any) -> None:
        shape = (self.num_experts, width)
        self._weights.append(self.add_weight(shape, "zeros", name=name))

    def weight_banks(self) -> list[Any]:
        return list(self._weights)

    def formula(
        self, rows: Any, weights: list[Any], product: Any, training: Any
    ) -> Any:
        left, values = list(weights), rows
        for _ in range(self.num_layers):
            mapped = values
            for _ in range(1 if self.rank is None else 2):
                mapped = product(mapped, left.pop(0))
            values = rows * add_bias(mapped, left.pop(0)) + values
        if self.dropout:
            values = self._dropout_layer(values, training=training)
        kernel, bias = left
        return self.output_activation(add_bias(product(values, kernel), bias))

    def row_output_shape(
        self, row_shape: tuple[int | None, ...]
    ) -> tuple[int | None, ...]:
        return (*row_shape[:-1], self.output_units)

    def count_expert(self, row_shape: tuple[int, ...]) -> int:
        features = row_shape[-1]
        cross = features if self.rank is None else 2 * self.rank
        return math.prod(row_shape) * (
            self.num_layers * cross + self.output_units
        )

    def widths(self) -> dict[str, Any]:
        # Whole kernels are as wide as the features are many.
        return {} if self.rank is None else {"rank": self.rank}

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "output_units": self.output_units,
            "num_layers": self.num_layers,
            "rank": self.rank,
            "output_activation": keras.activations.serialize(
                self.output_activation
            ),
            "dropout": self.dropout,
            "kernel_initializer": keras.initializers.serialize(
                self.kernel_initializer
            ),
            "kernel_regularizer": keras.regularizers.serialize(
                self.kernel_regularizer
            ),
        }
