"""Dense experts: f_e(x) = a(x W_e + b_e), or with a hidden layer between."""

import math
from itertools import pairwise
from typing import Any

import keras
from keras import ops

from moe_keras.errors import is_count, require
from moe_keras.layers.expert_bank import ExpertBank
from moe_keras.layers.initializers import PerExpert
from moe_keras.layers.registration import register
from moe_keras.ops import kernels


@register
class DenseExpert(ExpertBank):
    """Bank of dense experts that read the last axis of their input.

    Without `hidden_units`, one map: `f_e(x) = activation(x W_e + b_e)`. With
    them, the feed-forward block of a Transformer: `f_e(x) =
    output_activation(activation(x W_e + b_e) V_e + c_e)`.

    Args:
        units: int > 0. U, width of one expert's output.
        num_experts: int > 0. E. Defaults to `1`.
        hidden_units: int > 0 or None. Width of the hidden layer; without it
            there is none. Defaults to `None`.
        activation: str or callable, element-wise: after the hidden layer, or
            after the only one. Defaults to `"relu"`.
        output_activation: str, callable or None: after the last layer when
            there is a hidden one, or behind `activation` when there is none.
            Defaults to `None`.
        dropout: float in [0, 1). Share of the hidden values (of the inputs,
            without a hidden layer) that are dropped in training. Defaults to
            `0.0`.
        use_bias: bool. Defaults to `True`.
        kernel_initializer: for one expert's kernel; every expert has a draw of
            its own. Defaults to `"he_normal"`.
        kernel_regularizer: applied to each bank of kernels. Defaults to `None`.
        **kwargs: `keras.layers.Layer` arguments.

    Call arguments:
        inputs: float `(..., D)`.
        gates: float `(P..., E)` or None; where 0, the expert is not run (JAX,
            whose shapes are static, runs it and clears the result).
        group_sizes: int `(E,)` or None; with it, `inputs` are rows `(M, D)`
            sorted by expert, and the result is `(M, U)`.

    Returns:
        float `(..., E, U)`, one slice per expert, not yet weighted; with gates
        `(P..., E, ..., U)`, zeros where the gate is 0.

    Source: Jacobs et al. (1991), Neural Computation 3(1); Shazeer et al.
        (2017), arXiv:1701.06538, E_i(x) of eq. 1.

    Example:
    >>> DenseExpert(16, num_experts=4)(np.ones((2, 8), "float32")).shape
    TensorShape([2, 4, 16])
    """

    row_rank = 1
    reads_samples = False

    def __init__(
        self,
        units: int,
        num_experts: int = 1,
        hidden_units: int | None = None,
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
            0 <= dropout < 1,
            "DenseExpert",
            "`dropout` must be in [0, 1).",
            dropout=dropout,
        )
        self.units = units
        self.hidden_units = hidden_units
        self.activation = keras.activations.get(activation)
        self.output_activation = keras.activations.get(output_activation)
        self.dropout = dropout
        self.use_bias = use_bias
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.kernel_regularizer = keras.regularizers.get(kernel_regularizer)
        self._dropout_layer = keras.layers.Dropout(dropout, name="dropout")

    def build_bank(self, row_shape: tuple[int | None, ...]) -> None:
        widths = [row_shape[-1], self.units]
        if self.hidden_units is not None:
            widths.insert(1, self.hidden_units)
        self._kernels, self._biases = [], []
        for depth, (fan_in, fan_out) in enumerate(pairwise(widths)):
            suffix = f"_{depth}" if depth else ""
            self._kernels.append(
                self.add_weight(
                    (self.num_experts, fan_in, fan_out),
                    PerExpert(self.kernel_initializer),
                    regularizer=self.kernel_regularizer,
                    name=f"kernel{suffix}",
                )
            )
            if self.use_bias:
                self._biases.append(
                    self.add_weight(
                        (self.num_experts, fan_out),
                        "zeros",
                        name=f"bias{suffix}",
                    )
                )

    def split_bank(self) -> list[Any]:
        """E pairs: the kernels and the biases of one expert, layer by layer."""
        pairs = (
            zip(
                *[
                    kernels.unstack(ops.convert_to_tensor(bank))
                    for bank in banks
                ],
                strict=True,
            )
            for banks in (self._kernels, self._biases)
        )
        matrices, biases = pairs
        return list(
            zip(
                matrices,
                biases if self.use_bias else ((),) * self.num_experts,
                strict=True,
            )
        )

    def run_expert(
        self,
        expert: Any,
        rows: Any,
        mask: Any = None,
        training: bool | None = None,
    ) -> Any:
        matrices, biases = expert
        return self._forward(rows, matrices, biases, ops.matmul, training)

    def run_all(
        self, rows: Any, mask: Any = None, training: bool | None = None
    ) -> Any:
        # (1, N, ..., D) @ (E, 1.., D, U): one batched product for all experts.
        extra = (1,) * (len(rows.shape) - 2)
        matrices = [
            ops.reshape(bank, (self.num_experts, *extra, *bank.shape[1:]))
            for bank in self._kernels
        ]
        biases = [
            ops.reshape(bank, (self.num_experts, 1, *extra, bank.shape[-1]))
            for bank in self._biases
        ]
        outputs = self._forward(
            ops.expand_dims(rows, 0), matrices, biases, ops.matmul, training
        )
        return ops.swapaxes(outputs, 0, 1)

    def run_group(self, expert: Any, group: Any, training: bool | None) -> Any:
        # A product with no rows is right as it is.
        return self.run_expert(expert, *group, training=training)

    def run_groups(
        self,
        rows: Any,
        group_sizes: Any,
        mask: Any = None,
        training: bool | None = None,
    ) -> Any:
        if kernels.DYNAMIC_SHAPES:
            return super().run_groups(rows, group_sizes, mask, training)
        if len(rows.shape) > 2:
            # Every position of a row is a row of the products.
            positions = math.prod(rows.shape[1:-1])
            flat = ops.reshape(rows, (-1, rows.shape[-1]))
            outputs = self.run_groups(
                flat, group_sizes * positions, None, training
            )
            return ops.reshape(outputs, (*rows.shape[:-1], self.units))
        # Static shapes: the products are ragged, the biases spread over rows.
        ends = ops.cumsum(group_sizes)
        places = ops.arange(rows.shape[0], dtype=ends.dtype)
        experts = ops.sum(ops.cast(places[:, None] >= ends, "int32"), axis=-1)
        biases = [
            ops.take(bank, ops.minimum(experts, self.num_experts - 1), axis=0)
            for bank in self._biases
        ]
        return self._forward(
            rows,
            [ops.convert_to_tensor(bank) for bank in self._kernels],
            biases,
            lambda x, kernel: kernels.grouped_matmul(x, kernel, group_sizes),
            training,
        )

    def _forward(
        self,
        rows: Any,
        matrices: Any,
        biases: Any,
        product: Any,
        training: bool | None,
    ) -> Any:
        """One expert's formula, whatever its product of rows and kernel."""
        last = len(matrices) - 1
        for depth, matrix in enumerate(matrices):
            if depth == last:
                rows = self._dropout_layer(rows, training=training)
            rows = product(rows, matrix)
            if self.use_bias:
                rows = rows + biases[depth]
            if depth < last or last == 0:
                rows = self.activation(rows)
        return self.output_activation(rows)

    def row_output_shape(
        self, row_shape: tuple[int | None, ...]
    ) -> tuple[int | None, ...]:
        return (*row_shape[:-1], self.units)

    def count_expert(self, row_shape: tuple[int, ...]) -> int:
        *positions, features = row_shape
        hidden = self.hidden_units
        one = (
            features * self.units
            if hidden is None
            else hidden * (features + self.units)
        )
        for size in positions:
            one *= size
        return one

    def widths(self) -> dict[str, Any]:
        return {"hidden_units": self.hidden_units or self.units}

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        return {
            **config,
            "units": self.units,
            "hidden_units": self.hidden_units,
            "activation": keras.activations.serialize(self.activation),
            "output_activation": keras.activations.serialize(
                self.output_activation
            ),
            "dropout": self.dropout,
            "use_bias": self.use_bias,
            "kernel_initializer": keras.initializers.serialize(
                self.kernel_initializer
            ),
            "kernel_regularizer": keras.regularizers.serialize(
                self.kernel_regularizer
            ),
        }
