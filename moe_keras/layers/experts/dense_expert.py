"""Dense experts: f_e(x) = a(x W_e + b_e), or with a hidden layer between."""

import math
from functools import partial
from itertools import pairwise, zip_longest
from typing import Any

import keras

from moe_keras.errors import is_count, require, require_rates
from moe_keras.layers.initializers import PerExpert
from moe_keras.layers.product_bank import ProductBank
from moe_keras.layers.registration import register
from moe_keras.ops.feed_forward import draw_halves, feed_forward


@register
class DenseExpert(ProductBank):
    """Bank of dense experts that read the last axis of their input.

    Without `hidden_units`, one map: `f_e(x) = activation(x W_e + b_e)`. With
    them, the feed-forward block of a Transformer: `f_e(x) =
    output_activation(activation(x W_e + b_e) V_e + c_e)`. With `gated` too, its
    hidden layer is a gated linear unit, `activation(x W_e + b_e) * (x G_e +
    d_e)`: SwiGLU with the activation "silu", GEGLU with "gelu".

    Args:
        units: int > 0. U, width of one expert's output.
        num_experts: int > 0. E. Defaults to `1`.
        hidden_units: int > 0 or None. Width of the hidden layer; without it
            there is none. Defaults to `None`.
        gated: bool. Whether the hidden layer is a gated linear unit, which
            takes two kernels; W and G are the halves of one bank `(E, D, 2H)`.
            Needs `hidden_units`. Defaults to `False`.
        activation: str or callable, element-wise: after the hidden layer, or
            after the only one. Defaults to `"relu"`.
        output_activation: str, callable or None: after the last layer when
            there is a hidden one, or behind `activation` when there is none.
            Defaults to `None`.
        dropout: float in [0, 1). Share of the hidden values (of the inputs,
            without a hidden layer) that are dropped in training. Defaults to
            `0.0`.
        use_bias: bool. Defaults to `True`.
        kernel_initializer: for one expert's kernel. Defaults to `"he_normal"`.
        kernel_regularizer: applied to each bank of kernels. Defaults to `None`.
        **kwargs: `keras.layers.Layer` arguments.

    Call arguments:
        inputs: float `(..., D)`.
        gates: float `(P..., E)` or None; where 0, the expert is not run (JAX,
            whose shapes are static, runs it and clears the result).
        group_sizes, dispatch, experts: see `ExpertBank`.

    Returns:
        float `(..., E, U)`, one slice per expert, not yet weighted; with gates
        `(P..., E, ..., U)`, zeros where the gate is 0.

    Source: Jacobs et al. (1991), Neural Computation 3(1); Shazeer et al.
        (2017), arXiv:1701.06538, E_i(x) of eq. 1; Shazeer (2020),
        arXiv:2002.05202 (gated).
    """

    def __init__(
        self,
        units: int,
        num_experts: int = 1,
        hidden_units: int | None = None,
        gated: bool = False,
        activation: Any = "relu",
        output_activation: Any = None,
        dropout: float = 0.0,
        use_bias: bool = True,
        kernel_initializer: Any = "he_normal",
        kernel_regularizer: Any = None,
        **kwargs: Any,
    ):
        super().__init__(num_experts, **kwargs)
        require(
            is_count(units),
            "DenseExpert",
            "`units` must be an integer above 0.",
            units=units,
        )
        require(
            hidden_units is None or is_count(hidden_units),
            "DenseExpert",
            "`hidden_units` must be an integer above 0, or None.",
            hidden_units=hidden_units,
        )
        require(
            not gated or hidden_units is not None,
            "DenseExpert",
            "`gated` needs `hidden_units`: the hidden layer is what is gated.",
            gated=gated,
        )
        require_rates("DenseExpert", dropout=dropout)
        self.units = units
        self.hidden_units = hidden_units
        self.gated = gated
        self.activation = keras.activations.get(activation)
        self.output_activation = keras.activations.get(output_activation)
        self.dropout = dropout
        self.use_bias = use_bias
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.kernel_regularizer = keras.regularizers.get(kernel_regularizer)
        self._dropout_layer = keras.layers.Dropout(
            dropout, dtype=self.dtype_policy, name="dropout"
        )

    def build_bank(self, row_shape: tuple[int | None, ...]) -> None:
        widths = [row_shape[-1], self.units]
        if self.hidden_units is not None:
            widths.insert(1, self.hidden_units)
        self._kernels, self._biases = [], []
        for depth, (fan_in, fan_out) in enumerate(pairwise(widths)):
            suffix = f"_{depth}" if depth else ""
            initializer: Any = PerExpert(self.kernel_initializer)
            if self.gated and depth == 0:
                fan_out *= 2
                initializer = partial(draw_halves, initializer)
            self._kernels.append(
                self.add_weight(
                    (self.num_experts, fan_in, fan_out),
                    initializer,
                    regularizer=self.kernel_regularizer,
                    name=f"kernel{suffix}",
                )
            )
            if self.use_bias:
                shape, name = (self.num_experts, fan_out), f"bias{suffix}"
                self._biases.append(self.add_weight(shape, "zeros", name=name))

    def weight_banks(self) -> list[Any]:
        return [*self._kernels, *self._biases]

    def formula(
        self, rows: Any, weights: list[Any], product: Any, training: Any
    ) -> Any:
        depth = len(self._kernels)
        outputs = feed_forward(
            rows,
            list(zip_longest(weights[:depth], weights[depth:])),
            product,
            self.activation,
            partial(self._dropout_layer, training=training)
            if self.dropout
            else lambda values: values,
            self.gated,
        )
        return self.output_activation(outputs)

    def row_output_shape(
        self, row_shape: tuple[int | None, ...]
    ) -> tuple[int | None, ...]:
        return (*row_shape[:-1], self.units)

    def count_expert(self, row_shape: tuple[int, ...]) -> int:
        *positions, features = row_shape
        rows, hidden = math.prod(positions), self.hidden_units
        if hidden is None:
            return rows * features * self.units
        inward = (2 if self.gated else 1) * features
        return rows * hidden * (inward + self.units)

    def widths(self) -> dict[str, Any]:
        return {"hidden_units": self.hidden_units or self.units}

    def get_config(self) -> dict[str, Any]:
        serialize = keras.activations.serialize
        return {
            **super().get_config(),
            "units": self.units,
            "hidden_units": self.hidden_units,
            "gated": self.gated,
            "activation": serialize(self.activation),
            "output_activation": serialize(self.output_activation),
            "dropout": self.dropout,
            "use_bias": self.use_bias,
            "kernel_initializer": keras.initializers.serialize(
                self.kernel_initializer
            ),
            "kernel_regularizer": keras.regularizers.serialize(
                self.kernel_regularizer
            ),
        }
