"""Banks whose experts end, on request, in a dense map of their own."""

import math
from typing import Any

import keras
from keras import ops

from moe_keras.errors import is_count, require, require_rates
from moe_keras.layers.expert_bank import ExpertBank
from moe_keras.layers.initializers import PerExpert
from moe_keras.ops import kernels


class ProjectedBank(ExpertBank):
    """Bank with a trunk, and behind it `output_units` dense units per expert.

    With the projection, banks of different kinds have outputs of one width, so
    that one gate can span them. A subclass implements `build_trunk`,
    `split_trunk`, `run_trunk`, `trunk_output_shape` and `count_trunk`, which
    mean for the trunk what the methods of `ExpertBank` mean for the whole.

    Args:
        num_experts: int > 0. E.
        output_units: int > 0 or None. U; None for the trunk's own output.
        output_activation: str, callable or None, after the last layer.
        dropout: float in [0, 1), on the projection's input, in training.
        **kwargs: `keras.layers.Layer` arguments.
    """

    needs_floats = True

    def __init__(
        self,
        num_experts: int,
        output_units: int | None,
        output_activation: Any,
        dropout: float,
        **kwargs: Any,
    ):
        super().__init__(num_experts, **kwargs)
        owner = type(self).__name__
        require(
            output_units is None or is_count(output_units),
            owner,
            "`output_units` must be an integer above 0, or None.",
            output_units=output_units,
        )
        require_rates(owner, dropout=dropout)
        self.output_units = output_units
        self.output_activation = keras.activations.get(output_activation)
        self.dropout = dropout
        self._dropout_layer = keras.layers.Dropout(dropout, name="dropout")

    def build_trunk(self, row_shape: tuple[int | None, ...]) -> None:
        raise NotImplementedError

    def split_trunk(self) -> list[Any]:
        raise NotImplementedError

    def run_trunk(
        self, trunk: Any, rows: Any, mask: Any, training: bool | None
    ) -> Any:
        raise NotImplementedError

    def trunk_output_shape(
        self, row_shape: tuple[int | None, ...]
    ) -> tuple[int | None, ...]:
        raise NotImplementedError

    def count_trunk(self, row_shape: tuple[int, ...]) -> int:
        raise NotImplementedError

    def build_bank(self, row_shape: tuple[int | None, ...]) -> None:
        self.build_trunk(row_shape)
        if self.output_units is None:
            return
        features = self.trunk_output_shape(row_shape)[-1]
        require(
            features is not None,
            type(self).__name__,
            "the size of the projection's input must be known.",
            row_shape=row_shape,
        )
        self.output_kernel = self.add_weight(
            (self.num_experts, features, self.output_units),
            PerExpert("glorot_uniform"),
            name="output_kernel",
        )
        self.output_bias = self.add_weight(
            (self.num_experts, self.output_units), "zeros", name="output_bias"
        )

    def split_bank(self) -> list[Any]:
        """E pairs: the trunk, and the projection's kernel and bias or None."""
        trunks = self.split_trunk()
        if self.output_units is None:
            return [(trunk, None) for trunk in trunks]
        projections = zip(
            kernels.unstack(ops.convert_to_tensor(self.output_kernel)),
            kernels.unstack(ops.convert_to_tensor(self.output_bias)),
            strict=True,
        )
        return list(zip(trunks, projections, strict=True))

    def run_expert(
        self,
        expert: Any,
        rows: Any,
        mask: Any = None,
        training: bool | None = None,
    ) -> Any:
        trunk, projection = expert
        outputs = self.run_trunk(trunk, rows, mask, training)
        outputs = self._dropout_layer(outputs, training=training)
        if projection is not None:
            kernel, bias = projection
            outputs = ops.matmul(outputs, kernel) + bias
        return self.output_activation(outputs)

    def finish_all(self, outputs: Any, training: bool | None) -> Any:
        """What is behind the trunks, `(N, E, ..., F) -> (N, E, ..., U)`."""
        outputs = self._dropout_layer(outputs, training=training)
        if self.output_units is not None:
            outputs = ops.einsum("nef,efu->neu", outputs, self.output_kernel)
            outputs = outputs + self.output_bias
        return self.output_activation(outputs)

    def row_output_shape(
        self, row_shape: tuple[int | None, ...]
    ) -> tuple[int | None, ...]:
        shape = self.trunk_output_shape(row_shape)
        return (
            shape
            if self.output_units is None
            else (*shape[:-1], self.output_units)
        )

    def count_expert(self, row_shape: tuple[int, ...]) -> int:
        count = self.count_trunk(row_shape)
        if self.output_units is not None:
            count += (
                math.prod(self.trunk_output_shape(row_shape))
                * self.output_units
            )
        return count

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "output_units": self.output_units,
            "output_activation": keras.activations.serialize(
                self.output_activation
            ),
            "dropout": self.dropout,
        }
