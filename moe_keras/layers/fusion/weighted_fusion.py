"""Weighted fusion: y = sum_e g_e f_e(x)."""

from typing import Any

import keras
from keras import ops

from moe_keras.errors import require
from moe_keras.layers.registration import register
from moe_keras.ops.cost import Cost
from moe_keras.ops.cost_rules import size_of
from moe_keras.ops.fusion import weighted_sum


@register
class WeightedFusion(keras.layers.Layer):
    """Sum of the expert outputs, each times its gate.

    If the experts return class probabilities, so does the fusion, and the
    cross-entropy of the result is the negative log-likelihood of the mixture.

    Args:
        **kwargs: `keras.layers.Layer` arguments.

    Call arguments:
        inputs: list of one or several banks' outputs `(P..., E_b, R...)` and,
            last, the gates `(P..., E)` with E the sum of all E_b, in the order
            of the banks.

    Returns:
        float `(P..., R...)`.

    Source: Jacobs et al. (1991), Neural Computation 3(1), eq. 1.2.

    Example:
    >>> gates = GatingLayer(4)(x)
    >>> WeightedFusion()([DenseExpert(16, num_experts=4)(x, gates), gates])
    """

    def call(self, inputs: Any) -> Any:
        *outputs, gates = inputs
        axis = len(gates.shape) - 1
        joined = (
            outputs[0]
            if len(outputs) == 1
            else ops.concatenate(outputs, axis=axis)
        )
        return weighted_sum(joined, gates)

    def build(self, input_shape: Any) -> None:
        self.compute_output_shape(input_shape)

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        require(
            isinstance(input_shape, list | tuple)
            and len(input_shape) >= 2
            and isinstance(input_shape[0], list | tuple),
            "WeightedFusion",
            "`inputs` must be a list: the banks' outputs, then the gates.",
            input_shape=input_shape,
        )
        *outputs, gates = input_shape
        axis = len(gates) - 1
        for shape in outputs:
            require(
                len(shape) > axis
                and shape[axis + 1 :] == outputs[0][axis + 1 :],
                "WeightedFusion",
                "banks must agree on the shape of one expert's output.",
                output_shapes=[tuple(s) for s in outputs],
            )
        num_experts = sum(shape[axis] for shape in outputs)
        require(
            num_experts == gates[-1],
            "WeightedFusion",
            "`gates` must have one column for each of the "
            f"{num_experts} experts.",
            gates_shape=tuple(gates),
        )
        return (*outputs[0][:axis], *outputs[0][axis + 1 :])

    def count_cost(self, shapes: Any, load: Any = None) -> Cost:
        """Multiply-adds per example; see `moe_keras.ops.cost`.

        Args:
            shapes: those of the banks' outputs, then of the gates.
            load: `(E,)` share of the rows that reach each expert; None for all.
        """
        num_experts = shapes[-1][-1]
        one = size_of(self.compute_output_shape(shapes)[1:])
        return Cost(
            one * num_experts,
            one * (num_experts if load is None else sum(load)),
        )
