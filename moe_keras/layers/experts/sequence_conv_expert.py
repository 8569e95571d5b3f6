"""Convolutions over sequences: pool_t f(x[t-a:t+b] W_s), joined over all s."""

from typing import Any

import keras
from keras import ops

from moe_keras.errors import is_count, require, require_counts
from moe_keras.layers.initializers import PerExpert, numbered
from moe_keras.layers.input_checks import check_mask
from moe_keras.layers.projected_bank import ProjectedBank
from moe_keras.layers.registration import register
from moe_keras.ops import convolution, kernels
from moe_keras.ops.pooling import clear_padding, masked_max, masked_mean

# From values (N, T, F) and a mask to (N, F).
POOLINGS = {"max": masked_max, "mean": masked_mean}


@register
class SequenceConvExpert(ProjectedBank):
    """Bank of convolutional networks that read sequences, such as texts.

    Convolutions of several widths stand side by side. Each is activated and
    pooled over the positions: to its maximum, which says whether something is
    in the sequence, its mean, which says how much of it, or both. What is
    pooled of all is joined.

    The window of width s at position t reads positions t - (s-1)//2 to t + s//2
    and zeros beyond both ends of the sequence ("same" padding). Padded
    positions read as zeros too, and a window counts where its position t is
    real, so padding at the end changes nothing, and a sequence may be shorter
    than the widest window.

    Args:
        filters: int > 0. Filters of each width.
        num_experts: int > 0. E. Defaults to `1`.
        kernel_sizes: int > 0 or a sequence of them, the widths in positions.
            Defaults to `(3, 4, 5)`.
        activation: str or callable, in front of the pooling. Defaults to
            `"relu"`.
        pooling: `"max"`, `"mean"` or a sequence of both, over the real
            positions. Defaults to `"max"`.
        output_units: int > 0 or None. U, width of a dense map behind the
            pooling; None for none. Defaults to `None`.
        output_activation: str, callable or None, after the last layer.
            Defaults to `None`.
        dropout: float in [0, 1), on what is pooled, in training. Defaults to
            `0.0`.
        kernel_initializer: for one expert's kernel of one width; each has a
            draw of its own. Defaults to `"he_normal"`.
        kernel_regularizer: applied to each bank of kernels. Defaults to `None`.
        **kwargs: `keras.layers.Layer` arguments.

    Call arguments:
        inputs: float `(B, T, D)`.
        gates: float `(B, E)` or None; where 0, the expert is not run (JAX,
            whose shapes are static, runs it and clears the result).
        group_sizes: int `(E,)` or None; with it, `inputs` are sequences sorted
            by expert, and the result has no expert axis.
        mask: bool `(B, T)` or None, False for padding. Of a sequence without a
            real position, all that is pooled is 0.

    Returns:
        float `(B, E, U)`, one slice per expert, not yet weighted, zeros where
        the gate is 0. Without `output_units`, U is `filters` times the numbers
        of widths and of poolings.

    Source: Kim (2014), arXiv:1408.5882, section 2 (the maximum; its windows end
        where the text does, as "valid" padding has it); Johnson & Zhang (2015),
        arXiv:1412.1058 (the mean).

    Example:
    >>> bank = SequenceConvExpert(64, num_experts=4, output_units=2)
    >>> bank(np.ones((8, 50, 100), "float32")).shape
    TensorShape([8, 4, 2])
    """

    row_rank = 2

    def __init__(
        self,
        filters: int,
        num_experts: int = 1,
        kernel_sizes: Any = (3, 4, 5),
        activation: Any = "relu",
        pooling: Any = "max",
        output_units: int | None = None,
        output_activation: Any = None,
        dropout: float = 0.0,
        kernel_initializer: Any = "he_normal",
        kernel_regularizer: Any = None,
        **kwargs: Any,
    ):
        super().__init__(
            num_experts, output_units, output_activation, dropout, **kwargs
        )
        require_counts("SequenceConvExpert", filters=filters)
        sizes = (
            (kernel_sizes,)
            if isinstance(kernel_sizes, int)
            else tuple(kernel_sizes)
        )
        require(
            sizes and all(map(is_count, sizes)),
            "SequenceConvExpert",
            "`kernel_sizes` must be an integer above 0 or a sequence of them.",
            kernel_sizes=kernel_sizes,
        )
        poolings = (pooling,) if isinstance(pooling, str) else tuple(pooling)
        require(
            poolings
            and len(set(poolings)) == len(poolings)
            and all(name in POOLINGS for name in poolings),
            "SequenceConvExpert",
            f"`pooling` must be in {tuple(POOLINGS)} or a sequence of them.",
            pooling=pooling,
        )
        self.filters = filters
        self.kernel_sizes = sizes
        self.pooling = poolings
        self.activation = keras.activations.get(activation)
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.kernel_regularizer = keras.regularizers.get(kernel_regularizer)
        self.supports_masking = True

    def build_trunk(self, row_shape: tuple[int | None, ...]) -> None:
        require(
            len(row_shape) == 2 and row_shape[-1] is not None,
            "SequenceConvExpert",
            "`inputs` must be sequences (B, T, D) with a known D, and `gates`, "
            "if any, (B, E): a gate over whole sequences is "
            "GatingLayer(level='sample').",
            row_shape=row_shape,
        )
        self._kernels, self._biases = [], []
        for place, size in enumerate(self.kernel_sizes):
            initializer = numbered(
                self.kernel_initializer, place * self.num_experts
            )
            self._kernels.append(
                self.add_weight(
                    (self.num_experts, size, row_shape[-1], self.filters),
                    PerExpert(initializer),
                    regularizer=self.kernel_regularizer,
                    name=f"kernel_{place}",
                )
            )
            shape = (self.num_experts, self.filters)
            self._biases.append(
                self.add_weight(shape, "zeros", name=f"bias_{place}")
            )

    def split_trunk(self) -> list[Any]:
        """For each expert the kernel and the bias of every width."""
        pairs = [
            zip(
                kernels.unstack(ops.convert_to_tensor(kernel)),
                kernels.unstack(ops.convert_to_tensor(bias)),
                strict=True,
            )
            for kernel, bias in zip(self._kernels, self._biases, strict=True)
        ]
        return list(zip(*pairs, strict=True))

    def run_trunk(
        self, trunk: Any, rows: Any, mask: Any, training: bool | None
    ) -> Any:
        check_mask("SequenceConvExpert", mask, rows.shape[:2])
        rows = clear_padding(rows, mask)
        pooled = []
        for kernel, bias in trunk:
            values = ops.conv(
                rows, kernel, padding="same", data_format="channels_last"
            )
            pooled += self._pool(self.activation(values + bias), mask)
        return ops.concatenate(pooled, axis=-1)

    def run_all(
        self, rows: Any, mask: Any = None, training: bool | None = None
    ) -> Any:
        """For each width one wide convolution, which serves all experts."""
        check_mask("SequenceConvExpert", mask, rows.shape[:2])
        rows = clear_padding(rows, mask)
        pooled = []
        for kernel, bias in zip(self._kernels, self._biases, strict=True):
            values = convolution.conv_all(rows, ops.convert_to_tensor(kernel))
            values = convolution.split_experts(
                values + ops.reshape(bias, (-1,)), self.num_experts
            )
            pooled += self._pool(self.activation(values), mask)
        return self.finish_all(ops.concatenate(pooled, axis=-1), training)

    def _pool(self, values: Any, mask: Any) -> list[Any]:
        return [POOLINGS[name](values, mask) for name in self.pooling]

    def trunk_output_shape(
        self, row_shape: tuple[int | None, ...]
    ) -> tuple[int | None, ...]:
        return (self.filters * len(self.kernel_sizes) * len(self.pooling),)

    def count_trunk(self, row_shape: tuple[int, ...]) -> int:
        steps, features = row_shape
        return steps * sum(self.kernel_sizes) * features * self.filters

    def widths(self) -> dict[str, Any]:
        # Without a head what is pooled is the output.
        return {} if self.output_units is None else {"filters": self.filters}

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "filters": self.filters,
            "kernel_sizes": self.kernel_sizes,
            "activation": keras.activations.serialize(self.activation),
            "pooling": self.pooling,
            "kernel_initializer": keras.initializers.serialize(
                self.kernel_initializer
            ),
            "kernel_regularizer": keras.regularizers.serialize(
                self.kernel_regularizer
            ),
        }
