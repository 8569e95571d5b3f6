"""What all fusions share: joining the banks, shapes, broken experts."""

from typing import Any

import keras
from keras import ops

from moe_keras.errors import missing_method, require
from moe_keras.layers.fixed_arguments import FixedArguments
from moe_keras.layers.input_checks import check_floats
from moe_keras.ops import fusion
from moe_keras.ops.cost import Cost
from moe_keras.ops.cost_rules import size_of


class Fusion(FixedArguments, keras.layers.Layer):
    """Base class of the fusions: outputs `(P..., E, R...)` to `(P..., R...)`.

    A subclass implements `fuse`, and `build_fusion` if it has weights. Under
    sorted dispatch a mixture hands it the K outputs that a row chose instead of
    all E, in another order for every row, so its weights cannot be of experts.

    Args:
        drop_non_finite: bool. Whether an expert whose output for a row holds
            NaN or infinity is left out of that row, the other gates scaled up
            to the sum that all had; zeros go in for a row without a finite
            expert. Defaults to `False`.
        **kwargs: `keras.layers.Layer` arguments.

    Call arguments:
        inputs: list of one or several banks' outputs `(P..., E_b, R...)` and,
            last, the gates `(P..., E)` with E the sum of all E_b, in the order
            of the banks.
        cleared: bool. Whether the outputs are known to be 0 where the gate is;
            else they are cleared there, whatever they hold. Defaults to
            `False`.

    Returns:
        float `(P..., R...)`.
    """

    # Whether a factor common to all gates of a row is lost in the loss.
    loses_scale = False

    def __init__(self, drop_non_finite: bool = False, **kwargs: Any):
        super().__init__(**kwargs)
        self.drop_non_finite = drop_non_finite

    def build_fusion(self, row_shape: tuple[int | None, ...]) -> None:
        """Make every weight, for experts with outputs of this shape."""

    def fuse(self, outputs: Any, gates: Any) -> Any:
        """Outputs `(P..., E, R...)` and gates `(P..., E)` as one result.

        The outputs are 0 where the gate is.
        """
        raise missing_method(
            type(self).__name__,
            "fuse",
            "It returns `(P..., R...)` of outputs `(P..., E, R...)` and gates "
            "`(P..., E)`.",
        )

    def call(self, inputs: Any, cleared: bool = False) -> Any:
        *outputs, gates = inputs
        for bank in outputs:
            check_floats(type(self).__name__, bank)
        axis = len(gates.shape) - 1
        joined = (
            outputs[0]
            if len(outputs) == 1
            else ops.concatenate(outputs, axis=axis)
        )
        if not cleared:
            joined = fusion.clear_unheard(joined, gates)
        if self.drop_non_finite:
            joined, gates = fusion.drop_non_finite(joined, gates)
        return self.fuse(joined, gates)

    def build(self, input_shape: Any) -> None:
        self.compute_output_shape(input_shape)
        *outputs, gates = input_shape
        self.build_fusion(tuple(outputs[0][len(gates) :]))

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        owner = type(self).__name__
        require(
            isinstance(input_shape, list | tuple)
            and len(input_shape) >= 2
            and isinstance(input_shape[0], list | tuple),
            owner,
            "`inputs` must be a list: the banks' outputs, then the gates.",
            input_shape=input_shape,
        )
        *outputs, gates = input_shape
        axis = len(gates) - 1
        for shape in outputs:
            require(
                len(shape) > axis
                and shape[axis + 1 :] == outputs[0][axis + 1 :],
                owner,
                "banks must agree on the shape of one expert's output.",
                output_shapes=[tuple(s) for s in outputs],
            )
        num_experts = sum(shape[axis] for shape in outputs)
        require(
            num_experts == gates[-1],
            owner,
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

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "drop_non_finite": self.drop_non_finite,
        }
