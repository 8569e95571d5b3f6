"""Experts that share kernels: h_e = a(((h_e * r_e) W) * s_e + b_e)."""

import math
from functools import partial
from itertools import pairwise
from typing import Any

import keras
from keras import ops

from moe_keras.errors import is_count, require, require_counts, require_rates
from moe_keras.layers.initializers import FullPrecision, PerExpert, numbered
from moe_keras.layers.product_bank import ProductBank
from moe_keras.layers.registration import register
from moe_keras.ops.feed_forward import add_bias

OWNER = "LowRankExpert"


@register
class LowRankExpert(ProductBank):
    """Bank of networks that share their kernels, but for a factor of rank one.

    Expert e computes h <- activation(((h * r_e) W) * s_e + b_e) with each
    hidden layer: its kernel is W times the outer product of r_e and s_e, entry
    by entry. W is one for all experts, so E of them have little more weights
    than one. Each has an output h V_e + c_e of its own.

    The first r_e are random signs, which set the experts apart; all other
    factors begin as 1.

    Args:
        output_units: int > 0. U, width of one expert's output.
        num_experts: int > 0. E. Defaults to `1`.
        hidden_units: int > 0 or a sequence of them, the widths of the hidden
            layers. Defaults to `(64, 64)`.
        activation: str or callable, element-wise, after each hidden layer.
            Defaults to `"relu"`.
        output_activation: str, callable or None, after the output. Defaults to
            `None`.
        dropout: float in [0, 1). Share of the hidden values, of each layer,
            that are dropped in training. Defaults to `0.0`.
        kernel_initializer: for the shared kernels, each with a draw of its own.
            Defaults to `"he_normal"`.
        kernel_regularizer: applied to each shared kernel, and to the bank of
            output kernels. Defaults to `None`.
        **kwargs: `keras.layers.Layer` arguments.

    Call arguments:
        inputs: float `(..., F)`.
        gates: float `(P..., E)` or None; where 0, the expert is not run (JAX,
            whose shapes are static, runs it and clears the result).
        group_sizes, dispatch, experts: see `ExpertBank`.

    Returns:
        float `(..., E, U)`, one slice per expert, not yet weighted; zeros where
        the gate is 0.

    Source: Wen et al. (2020), BatchEnsemble, arXiv:2002.06715, eq. 1 to 5;
        Gorishniy et al. (2024), TabM, arXiv:2410.24210, section 3 (where the
        factors begin, and an output of its own for each).

    Example:
    >>> bank = LowRankExpert(2, num_experts=16, hidden_units=(128, 128))
    >>> bank(np.ones((8, 50), "float32")).shape
    TensorShape([8, 16, 2])
    """

    def __init__(
        self,
        output_units: int,
        num_experts: int = 1,
        hidden_units: Any = (64, 64),
        activation: Any = "relu",
        output_activation: Any = None,
        dropout: float = 0.0,
        kernel_initializer: Any = "he_normal",
        kernel_regularizer: Any = None,
        **kwargs: Any,
    ):
        super().__init__(num_experts, **kwargs)
        require_counts(OWNER, output_units=output_units)
        widths = (
            (hidden_units,)
            if isinstance(hidden_units, int)
            else tuple(hidden_units)
        )
        require(
            widths and all(map(is_count, widths)),
            OWNER,
            "`hidden_units` must be an integer above 0 or a sequence of them.",
            hidden_units=hidden_units,
        )
        require_rates(OWNER, dropout=dropout)
        self.output_units = output_units
        self.hidden_units = widths
        self.activation = keras.activations.get(activation)
        self.output_activation = keras.activations.get(output_activation)
        self.dropout = dropout
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.kernel_regularizer = keras.regularizers.get(kernel_regularizer)
        self._dropout_layer = keras.layers.Dropout(
            dropout, dtype=self.dtype_policy, name="dropout"
        )

    def build_bank(self, row_shape: tuple[int | None, ...]) -> None:
        widths = (row_shape[-1], *self.hidden_units)
        add = partial(self.add_weight, regularizer=self.kernel_regularizer)
        self._shared, self._own = [], []
        for depth, (fan_in, fan_out) in enumerate(pairwise(widths)):
            initializer = FullPrecision(
                numbered(self.kernel_initializer, depth)
            )
            name = f"kernel_{depth}"
            self._shared.append(add((fan_in, fan_out), initializer, name=name))
            start = _random_signs if depth == 0 else "ones"
            self._add_vector(f"inner_{depth}", fan_in, start)
            self._add_vector(f"outer_{depth}", fan_out, "ones")
            self._add_vector(f"bias_{depth}", fan_out, "zeros")
        initializer = numbered(self.kernel_initializer, len(self._shared))
        shape = (self.num_experts, widths[-1], self.output_units)
        self._own.append(
            add(shape, PerExpert(initializer), name="output_kernel")
        )
        self._add_vector("output_bias", self.output_units, "zeros")

    def _add_vector(self, name: str, width: Any, initializer: Any) -> None:
        shape = (self.num_experts, width)
        self._own.append(self.add_weight(shape, initializer, name=name))

    def weight_banks(self) -> list[Any]:
        """Those that each expert has of its own."""
        return list(self._own)

    def shared_weights(self) -> list[Any]:
        return list(self._shared)

    def formula(
        self, rows: Any, weights: list[Any], product: Any, training: Any
    ) -> Any:
        *vectors, output_kernel, output_bias = weights
        for depth, kernel in enumerate(self._shared):
            inner, outer, bias = vectors[3 * depth : 3 * depth + 3]
            rows = ops.matmul(rows * inner, kernel) * outer
            rows = self.activation(add_bias(rows, bias))
            if self.dropout:
                rows = self._dropout_layer(rows, training=training)
        outputs = add_bias(product(rows, output_kernel), output_bias)
        return self.output_activation(outputs)

    def row_output_shape(
        self, row_shape: tuple[int | None, ...]
    ) -> tuple[int | None, ...]:
        return (*row_shape[:-1], self.output_units)

    def count_expert(self, row_shape: tuple[int, ...]) -> int:
        *positions, features = row_shape
        widths = (features, *self.hidden_units, self.output_units)
        return math.prod(positions) * sum(a * b for a, b in pairwise(widths))

    def widths(self) -> dict[str, Any]:
        return {"hidden_units": self.hidden_units}

    def get_config(self) -> dict[str, Any]:
        serialize = keras.activations.serialize
        return {
            **super().get_config(),
            "output_units": self.output_units,
            "hidden_units": self.hidden_units,
            "activation": serialize(self.activation),
            "output_activation": serialize(self.output_activation),
            "dropout": self.dropout,
            "kernel_initializer": keras.initializers.serialize(
                self.kernel_initializer
            ),
            "kernel_regularizer": keras.regularizers.serialize(
                self.kernel_regularizer
            ),
        }


def _random_signs(shape: Any, dtype: Any = None) -> Any:
    """-1 or 1, each as often as not."""
    draws = keras.random.uniform(shape, dtype=dtype)
    return ops.where(draws < 0.5, -ops.ones_like(draws), ops.ones_like(draws))
