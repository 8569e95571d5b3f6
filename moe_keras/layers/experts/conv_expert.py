"""Convolutional experts: blocks of convolution, activation and max pooling."""

import math
from typing import Any

import keras
from keras import ops

from moe_keras.errors import is_count, require
from moe_keras.layers.initializers import PerExpert
from moe_keras.layers.projected_bank import ProjectedBank
from moe_keras.layers.registration import register
from moe_keras.ops import convolution, kernels

POOLINGS = (None, "avg", "max", "flatten")
# Activations that do not care which channels stand side by side.
ELEMENTWISE = (
    keras.activations.linear,
    keras.activations.relu,
    keras.activations.leaky_relu,
    keras.activations.elu,
    keras.activations.gelu,
    keras.activations.silu,
    keras.activations.sigmoid,
    keras.activations.tanh,
)


@register
class ConvExpert(ProjectedBank):
    """Bank of small convolutional networks that read feature maps.

    Each block is `pool(activation(conv(x) + b))` with "same" padding; `pooling`
    turns the last maps into a vector, `output_units` projects it.

    Args:
        filters: int > 0 or a sequence of them: one block for each.
        num_experts: int > 0. E. Defaults to `1`.
        kernel_size: int > 0. Height and width of the kernels. Defaults to `3`.
        pool_size: int > 0. Side of the max pooling (its stride too) at the end
            of each block; 1 for none. Defaults to `1`.
        pooling: `"avg"` or `"max"` over height and width, `"flatten"`, or None
            for feature maps. Defaults to `None`.
        output_units: int > 0 or None. U, width of a dense map behind the
            pooling; None for none. Defaults to `None`.
        activation: str or callable, in each block. Defaults to `"relu"`.
        linear_last: bool. Leave the activation out of the last block, as in
            the branch of a residual block. Defaults to `False`.
        output_activation: str, callable or None, after the last layer.
            Defaults to `None`.
        dropout: float in [0, 1), on the pooled maps, in training. Defaults to
            `0.0`.
        kernel_initializer: for one expert's kernel; every expert has a draw of
            its own. Defaults to `"he_normal"`.
        kernel_regularizer: applied to each bank of kernels. Defaults to `None`.
        **kwargs: `keras.layers.Layer` arguments.

    Call arguments:
        inputs: float `(B, H, W, C)`, channels last.
        gates: float `(B, E)` or None; where 0, the expert is not run (JAX,
            whose shapes are static, runs it and clears the result).
        group_sizes: int `(E,)` or None; with it, `inputs` are images sorted by
            expert, and the result has no expert axis.

    Returns:
        float `(B, E, H', W', U)`, or `(B, E, U)` with a `pooling`; one slice
        per expert, not yet weighted, zeros where the gate is 0.

    Example:
    >>> bank = ConvExpert((16, 32), num_experts=4, pool_size=2)
    >>> bank(np.ones((2, 28, 28, 1), "float32")).shape
    TensorShape([2, 4, 7, 7, 32])
    """

    row_rank = 3

    def __init__(
        self,
        filters: Any,
        num_experts: int = 1,
        kernel_size: int = 3,
        pool_size: int = 1,
        pooling: str | None = None,
        output_units: int | None = None,
        activation: Any = "relu",
        linear_last: bool = False,
        output_activation: Any = None,
        dropout: float = 0.0,
        kernel_initializer: Any = "he_normal",
        kernel_regularizer: Any = None,
        **kwargs: Any,
    ):
        super().__init__(
            num_experts, output_units, output_activation, dropout, **kwargs
        )
        widths = (filters,) if isinstance(filters, int) else tuple(filters)
        require(
            widths and all(map(is_count, widths)),
            "ConvExpert",
            "`filters` must be an integer above 0 or a sequence of them.",
            filters=filters,
        )
        for name, value in (
            ("kernel_size", kernel_size),
            ("pool_size", pool_size),
        ):
            require(
                is_count(value),
                "ConvExpert",
                f"`{name}` must be an integer above 0.",
                **{name: value},
            )
        require(
            pooling in POOLINGS,
            "ConvExpert",
            f"`pooling` must be one of {POOLINGS}.",
            pooling=pooling,
        )
        require(
            output_units is None or pooling is not None,
            "ConvExpert",
            "`output_units` needs a `pooling` that makes a vector.",
            output_units=output_units,
            pooling=pooling,
        )
        self.filters = widths
        self.kernel_size = kernel_size
        self.pool_size = pool_size
        self.pooling = pooling
        self.activation = keras.activations.get(activation)
        self.linear_last = linear_last
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.kernel_regularizer = keras.regularizers.get(kernel_regularizer)

    def build_trunk(self, row_shape: tuple[int | None, ...]) -> None:
        require(
            len(row_shape) == 3 and row_shape[-1] is not None,
            "ConvExpert",
            "`inputs` must be images (B, H, W, C) with a known C, and `gates`, "
            "if any, (B, E).",
            row_shape=row_shape,
        )
        side, channels = self.kernel_size, row_shape[-1]
        self._kernels, self._biases = [], []
        for block, width in enumerate(self.filters):
            self._kernels.append(
                self.add_weight(
                    (self.num_experts, side, side, channels, width),
                    PerExpert(self.kernel_initializer),
                    regularizer=self.kernel_regularizer,
                    name=f"kernel_{block}",
                )
            )
            self._biases.append(
                self.add_weight(
                    (self.num_experts, width), "zeros", name=f"bias_{block}"
                )
            )
            channels = width

    def split_trunk(self) -> list[Any]:
        """For each expert the kernel and the bias of every block."""
        blocks = [
            zip(
                kernels.unstack(ops.convert_to_tensor(kernel)),
                kernels.unstack(ops.convert_to_tensor(bias)),
                strict=True,
            )
            for kernel, bias in zip(self._kernels, self._biases, strict=True)
        ]
        return list(zip(*blocks, strict=True))

    def run_trunk(
        self, trunk: Any, rows: Any, mask: Any, training: bool | None
    ) -> Any:
        return convolution.pool_maps(
            self._run_blocks(trunk, rows), self.pooling
        )

    def run_all(
        self, rows: Any, mask: Any = None, training: bool | None = None
    ) -> Any:
        """One wide convolution for all experts, where that is not slower.

        The first blocks of all read the same images; the others are one
        convolution in groups on PyTorch, and one for each expert elsewhere.
        """
        if self.num_experts * self.filters[0] > convolution.WIDEST:
            return super().run_all(rows, mask, training)
        wide = len(self.filters) if convolution.FAST_GROUPS else 1
        maps = rows
        for block in range(wide):
            kernel, bias = self._kernels[block], self._biases[block]
            maps = convolution.conv_all(maps, ops.convert_to_tensor(kernel))
            maps = maps + ops.reshape(bias, (-1,))
            if not self._is_linear(block):
                maps = self._activate_all(maps)
            maps = convolution.max_pool(maps, self.pool_size)
        maps = convolution.split_experts(maps, self.num_experts)
        if wide == len(self.filters):
            pooled = convolution.pool_all_maps(maps, self.pooling)
            return self.finish_all(pooled, training)
        parts = [
            convolution.pool_maps(
                self._run_blocks(trunk, part, wide), self.pooling
            )
            for trunk, part in zip(
                self.split_trunk(),
                ops.unstack(maps, self.num_experts, axis=3),
                strict=True,
            )
        ]
        return self.finish_all(ops.stack(parts, axis=1), training)

    def _activate_all(self, maps: Any) -> Any:
        """On `(N, H, W, E*F)`; some work along the channels of one expert."""
        if self.activation in ELEMENTWISE:
            return self.activation(maps)
        split = convolution.split_experts(maps, self.num_experts)
        return convolution.join_experts(self.activation(split))

    def _is_linear(self, block: int) -> bool:
        return self.linear_last and block == len(self.filters) - 1

    def _run_blocks(self, trunk: Any, maps: Any, first: int = 0) -> Any:
        """The blocks of one expert from `first` on: maps to maps."""
        for block in range(first, len(trunk)):
            kernel, bias = trunk[block]
            maps = ops.conv(
                maps, kernel, padding="same", data_format="channels_last"
            )
            maps = maps + bias
            if not self._is_linear(block):
                maps = self.activation(maps)
            maps = convolution.max_pool(maps, self.pool_size)
        return maps

    def trunk_output_shape(
        self, row_shape: tuple[int | None, ...]
    ) -> tuple[int | None, ...]:
        *sides, _ = row_shape
        for _ in self.filters:
            sides = self._pooled(sides)
        if self.pooling is None:
            return (*sides, self.filters[-1])
        if self.pooling in ("avg", "max"):
            return (self.filters[-1],)
        return (None if None in sides else math.prod(sides) * self.filters[-1],)

    def count_trunk(self, row_shape: tuple[int, ...]) -> int:
        *sides, channels = row_shape
        count = 0
        for width in self.filters:
            count += math.prod(sides) * self.kernel_size**2 * channels * width
            sides, channels = self._pooled(sides), width
        return count

    def widths(self) -> dict[str, Any]:
        # Without a head the last block's maps are the output.
        last = len(self.filters) - (self.output_units is None)
        return {"filters": self.filters[:last]} if last else {}

    def scaled_widths(self, factor: float) -> dict[str, Any]:
        scaled = super().scaled_widths(factor).get("filters", ())
        return {"filters": (*scaled, *self.filters[len(scaled) :])}

    def _pooled(self, sides: list[int | None]) -> list[int | None]:
        """Sizes behind a "same" pooling, which rounds up."""
        return [
            None if side is None else -(-side // self.pool_size)
            for side in sides
        ]

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "filters": self.filters,
            "kernel_size": self.kernel_size,
            "pool_size": self.pool_size,
            "pooling": self.pooling,
            "activation": keras.activations.serialize(self.activation),
            "linear_last": self.linear_last,
            "kernel_initializer": keras.initializers.serialize(
                self.kernel_initializer
            ),
            "kernel_regularizer": keras.regularizers.serialize(
                self.kernel_regularizer
            ),
        }
