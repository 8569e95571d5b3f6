"""Experts choose rows: gates = softmax(x W) where an expert took the row."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from moe_keras.errors import is_number, require
from moe_keras.layers.gate import Gate
from moe_keras.layers.registration import register
from moe_keras.layers.router_scores import LinearScores, router_initializer
from moe_keras.ops import service
from moe_keras.ops.cost import Cost
from moe_keras.ops.cost_rules import size_of
from moe_keras.ops.expert_choice import expert_choice_gates


@register
class ExpertChoiceGating(Gate):
    """Every expert takes the k = ceil(c N / E) rows that suit it best.

    The load is even by construction, so there is no balance loss. The price: a
    row's gates depend on the other rows of its batch, in inference too, and a
    row may get no expert at all (gates of 0; give the mixture a `shared` path).
    It is for training, and for inference on batches as large as those; where a
    row must get the same answer alone, use `GatingLayer`.

    Args:
        num_experts: int > 0. E.
        capacity_factor: float in (0, E]. c, how many experts a row gets on
            average. Defaults to `2.0` (the paper).
        level: `"sample"`, `"position"` or `"auto"`; see `GatingLayer`.
            Defaults to `"auto"`.
        kernel_initializer: for W. `None` stands for a truncated normal with a
            tenth of the usual variance (Switch Transformer, section 2.4).
            Defaults to `None`.
        **kwargs: `keras.layers.Layer` arguments.

    Call arguments:
        inputs: float `(..., D)`; N counts all its rows, over all leading axes.
        mask: bool or None, padding: it is never chosen, and does not count in
            N. See `Gate`.
        expert_mask: bool `(E,)`, or `(..., E)` with leading axes of the gates,
            or None; an expert that is False for all rows does not count in E.
            See `Gate`.
        training: bool or None, of no effect.

    Returns:
        float gates: `(..., E)` at the position level, `(B, E)` at the sample
        level; in [0, 1], 0 where an expert did not choose the row.

    Source: Zhou et al. (2022), arXiv:2202.09368, section 3.2.

    Example:
    >>> gates = ExpertChoiceGating(4, 1.0)(np.ones((8, 3), "float32"))
    >>> np.sum(gates > 0, axis=0)
    [2, 2, 2, 2]
    """

    couples_rows = True

    def __init__(
        self,
        num_experts: int,
        capacity_factor: float = 2.0,
        level: str = "auto",
        kernel_initializer: Any = None,
        **kwargs: Any,
    ):
        super().__init__(num_experts, None, level, **kwargs)
        require(
            is_number(capacity_factor) and 0 < capacity_factor <= num_experts,
            "ExpertChoiceGating",
            "`capacity_factor` must be above 0 and at most `num_experts`.",
            capacity_factor=capacity_factor,
            num_experts=num_experts,
        )
        self.capacity_factor = capacity_factor
        self.kernel_initializer = router_initializer(kernel_initializer)

    @property
    def is_sparse(self) -> bool:
        """Whether rows reach fewer experts than there are, on average."""
        return self.capacity_factor < self.num_experts

    @property
    def assumed_load(self) -> list[float]:
        """Even: every expert takes c N / E rows."""
        return [self.capacity_factor / self.num_experts] * self.num_experts

    def kept_config(self, indices: Sequence[int]) -> dict[str, Any]:
        config = super().kept_config(indices)
        factor = min(self.capacity_factor, len(indices))
        return {**config, "capacity_factor": factor}

    def build(self, input_shape: Any) -> None:
        LinearScores.build(self, self.check_width(input_shape))

    def gate_rows(
        self, rows: Any, real: Any, in_service: Any, training: bool | None
    ) -> Any:
        logits = LinearScores.score(self, rows)
        good = service.finite_rows(logits)
        logits = service.clear_rows(logits, good)
        real = real * ops.cast(good, real.dtype)
        if in_service is not None:
            every = ops.ones_like(logits, dtype="bool")
            in_service = self._flat(ops.logical_and(in_service, every))
        gates = expert_choice_gates(
            self._flat(logits),
            self.capacity_factor,
            ops.reshape(real, (-1,)),
            in_service,
        )
        gates = ops.reshape(gates, ops.shape(logits))
        return ops.where(ops.expand_dims(good, -1), gates, float("nan"))

    def _flat(self, tensor: Any) -> Any:
        return ops.reshape(tensor, (-1, self.num_experts))

    def count_cost(self, shapes: Any, load: Any = None) -> Cost:
        """Multiply-adds per example."""
        rows = size_of(self.compute_output_shape(shapes[0])[1:-1])
        count = rows * LinearScores.count(self, shapes[0][-1])
        return Cost(count, count)

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        del config["top_k"]
        return {
            **config,
            "capacity_factor": self.capacity_factor,
            "kernel_initializer": keras.initializers.serialize(
                self.kernel_initializer
            ),
        }
