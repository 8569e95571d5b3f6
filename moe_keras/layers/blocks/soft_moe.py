"""Soft mixture: every slot reads a mean of all tokens, Y = C f(D^T X)."""

from typing import Any

import keras
from keras import ops

from moe_keras.errors import is_count, require
from moe_keras.layers.bank_list import read_banks
from moe_keras.layers.expert_bank import ExpertBank
from moe_keras.layers.fixed_arguments import FixedArguments
from moe_keras.layers.gates_record import note_gates
from moe_keras.layers.input_checks import (
    ReadsOneTensor,
    check_floats,
    check_mask,
)
from moe_keras.layers.registration import register
from moe_keras.ops.cost import Cost
from moe_keras.ops.cost_rules import size_of
from moe_keras.ops.soft_moe import soft_weights


@register
class SoftMoE(ReadsOneTensor, FixedArguments, keras.layers.Layer):
    """Mixture without choices: experts read slots, which mix all tokens.

    Each of the E*P slots is a weighted mean of the raw tokens of one sample;
    expert e runs on its P slots; each token is a weighted mean of all slots'
    outputs. Nothing is dropped, and no balance loss is needed. Not causal: each
    output depends on all tokens of its sample, later ones too.

    Args:
        experts: `ExpertBank` whose experts read vectors, a `DenseExpert` as a
            rule.
        slots_per_expert: int > 0. P; E*P should be about the number of tokens,
            or less for less work. Defaults to `1`.
        kernel_initializer: for Phi, the slots' `(D, E*P)`. Defaults to
            `"lecun_normal"`.
        **kwargs: `keras.layers.Layer` arguments.

    Call arguments:
        inputs: float `(B, ..., D)` of rank 3 or more; the axes in the middle
            are positions.
        mask: bool `(B, ...)` or None. Padding has no part in any slot, and gets
            zeros.
        training: bool or None.

    Returns:
        float `(B, ..., U)`. The gates that `record_gates` shows are a token's
        combine weights, summed over each expert's slots.

    Source: Puigcerver et al. (2023), arXiv:2308.00951, eq. 1-3 and section 2.3
        (normalisation: logits = l2norm(X) (scale * l2norm(Phi))).

    Example:
    >>> layer = SoftMoE(DenseExpert(64, num_experts=4, hidden_units=256), 8)
    >>> layer(np.ones((2, 32, 64), "float32")).shape
    TensorShape([2, 32, 64])
    """

    def __init__(
        self,
        experts: ExpertBank,
        slots_per_expert: int = 1,
        kernel_initializer: Any = "lecun_normal",
        **kwargs: Any,
    ):
        # The router reads its input as it comes, not cast down to half.
        super().__init__(autocast=False, **kwargs)
        read_banks("SoftMoE", experts, single=True)
        require(
            is_count(slots_per_expert),
            "SoftMoE",
            "`slots_per_expert` must be an integer above 0.",
            slots_per_expert=slots_per_expert,
        )
        self.experts = experts
        self.slots_per_expert = slots_per_expert
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.supports_masking = True

    @property
    def num_experts(self) -> int:
        """E."""
        return self.experts.num_experts

    @property
    def router_dtype(self) -> str:
        """float32, or float64 under a float64 policy."""
        return "float64" if self.compute_dtype == "float64" else "float32"

    def build(self, input_shape: Any) -> None:
        require(
            len(input_shape) >= 3 and input_shape[-1] is not None,
            "SoftMoE",
            "`inputs` must be (B, ..., D) of rank 3 or more with a known D.",
            input_shape=tuple(input_shape),
        )
        require(
            self.experts.compute_dtype == self.compute_dtype,
            "SoftMoE",
            "`experts` must compute in the dtype of the layer.",
            experts_dtype=self.experts.compute_dtype,
            dtype=self.compute_dtype,
        )
        width = input_shape[-1]
        if not self.experts.built:
            self.experts.build((None, width))
        slots = self.num_experts * self.slots_per_expert
        options = {"dtype": self.router_dtype, "autocast": False}
        self.kernel = self.add_weight(
            (width, slots), self.kernel_initializer, name="kernel", **options
        )
        self.scale = self.add_weight((), "ones", name="scale", **options)

    def call(
        self, inputs: Any, mask: Any = None, training: bool | None = None
    ) -> Any:
        check_floats("SoftMoE", inputs)
        check_mask("SoftMoE", mask, inputs.shape[:-1])
        leading = ops.shape(inputs)[:-1]
        width = inputs.shape[-1]
        tokens = inputs
        if len(inputs.shape) > 3:
            tokens = ops.reshape(inputs, (leading[0], -1, width))
        if mask is not None:
            mask = ops.reshape(ops.cast(mask, "bool"), ops.shape(tokens)[:2])
            # Padding may hold anything, NaN too.
            tokens = ops.where(mask[..., None], tokens, ops.zeros_like(tokens))
        dispatch, combine = soft_weights(
            ops.cast(tokens, self.router_dtype), self.kernel, self.scale, mask
        )
        self._note_gates(combine, leading)
        tokens = ops.cast(tokens, self.compute_dtype)
        dispatch = ops.cast(dispatch, self.compute_dtype)
        slots = ops.einsum("bts,btd->sbd", dispatch, tokens)
        outputs = self._run_experts(slots, training)
        combine = ops.cast(combine, self.compute_dtype)
        outputs = ops.einsum("bts,sbu->btu", combine, outputs)
        if len(inputs.shape) == 3:
            return outputs
        return ops.reshape(outputs, (*leading, outputs.shape[-1]))

    def _run_experts(self, slots: Any, training: bool | None) -> Any:
        """Expert e on its P slots of all samples, `(S, B, D) -> (S, B, U)`."""
        batch, width = ops.shape(slots)[1], slots.shape[-1]
        grouped = ops.reshape(slots, (self.num_experts, -1, width))
        outputs = self.experts.run_slots(grouped, None, training)
        return ops.reshape(outputs, (slots.shape[0], batch, outputs.shape[-1]))

    def _note_gates(self, combine: Any, leading: Any) -> None:
        shape = (*leading, self.num_experts, self.slots_per_expert)
        gates = ops.sum(ops.reshape(combine, shape), axis=-1)
        note_gates(self.name, ops.cast(gates, self.compute_dtype))

    def count_cost(self, shapes: Any, load: Any = None) -> Cost:
        """Multiply-adds per example; see `moe_keras.ops.cost`.

        Args:
            shapes: a list with the shape of `inputs`.
            load: not used: every expert runs on its slots.
        """
        *positions, width = shapes[0][1:]
        (units,) = self.experts.row_output_shape((width,))
        slots = self.num_experts * self.slots_per_expert
        # Scores, dispatch and combine; then the experts.
        count = size_of(positions) * slots * (2 * width + units)
        count += slots * self.experts.count_expert((width,))
        return Cost(count, count)

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        outputs = self.experts.row_output_shape((input_shape[-1],))
        return (*input_shape[:-1], *outputs)

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        """The mask goes on: every position has an output of its own."""
        return mask

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "experts": keras.saving.serialize_keras_object(self.experts),
            "slots_per_expert": self.slots_per_expert,
            "kernel_initializer": keras.initializers.serialize(
                self.kernel_initializer
            ),
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "SoftMoE":
        experts = keras.saving.deserialize_keras_object(config["experts"])
        return cls(**{**config, "experts": experts})
