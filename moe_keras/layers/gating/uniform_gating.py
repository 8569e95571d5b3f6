"""No router: every row gets the same gates, 1/E each or given ones."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from keras import ops

from moe_keras.errors import is_number, require
from moe_keras.layers.gate import Gate
from moe_keras.layers.registration import register
from moe_keras.ops import gating, service
from moe_keras.ops.cost import Cost


@register
class UniformGating(Gate):
    """The same gates for every row: a plain or a weighted average.

    Args:
        num_experts: int > 0. E.
        weights: list of E numbers >= 0, which are divided by their sum; None
            for 1/E each. An expert with 0 is not run under sorted dispatch.
            Defaults to `None`.
        level: `"sample"`, `"position"` or `"auto"`; see `GatingLayer`.
            Defaults to `"auto"`.
        **kwargs: `keras.layers.Layer` arguments.

    Call arguments:
        inputs: float `(..., D)`; only its shape matters.
        mask: bool or None, padding: gates of 0. See `Gate`.
        expert_mask: bool `(E,)`, or `(..., E)` with leading axes of the gates,
            or None; the others share the weight of an expert that is False.
            See `Gate`.
        training: bool or None, of no effect.

    Returns:
        float gates: `(..., E)` at the position level, `(B, E)` at the sample
        level; rows sum to 1.

    Source: Breiman (1996), Bagging predictors, Machine Learning 24 (equal
        weights); Gorishniy et al. (2024), TabM, arXiv:2410.24210.

    Example:
    >>> UniformGating(4)(np.ones((1, 8), "float32"))
    [[0.25, 0.25, 0.25, 0.25]]
    """

    needs_floats = False

    def __init__(
        self,
        num_experts: int,
        weights: list[float] | None = None,
        level: str = "auto",
        **kwargs: Any,
    ):
        super().__init__(num_experts, None, level, **kwargs)
        shares = [1.0] * num_experts if weights is None else weights
        require(
            isinstance(shares, Sequence | np.ndarray)
            and len(shares) == num_experts
            and all(is_number(share) and share >= 0 for share in shares)
            and sum(shares) > 0,
            "UniformGating",
            "`weights` must be one number for each expert, none of them "
            "negative and not all 0, or None.",
            weights=weights,
            num_experts=num_experts,
        )
        # `weights` is Keras' name for the variables of a layer.
        self.given_weights = None if weights is None else [*map(float, weights)]
        # A power of 2, which changes no digit: the sum may be infinite.
        _, exponent = math.frexp(max(shares))
        shares = [math.ldexp(share, -exponent) for share in shares]
        total = sum(shares)
        self.shares = [float(share / total) for share in shares]

    @property
    def choices(self) -> int:
        """K: how many experts have a weight above 0."""
        return sum(weight > 0 for weight in self._weights())

    @property
    def learns_by_scale(self) -> bool:
        """No: nothing is learned."""
        return False

    @property
    def assumed_load(self) -> list[float]:
        """1 for an expert with a weight: it is reached by every row."""
        return [float(weight > 0) for weight in self._weights()]

    def kept_config(self, indices: Sequence[int]) -> dict[str, Any]:
        config = super().kept_config(indices)
        if self.given_weights is not None:
            kept = [self.given_weights[index] for index in indices]
            require(
                sum(kept) > 0,
                "UniformGating",
                "an expert that is kept must have a weight above 0.",
                weights=self.given_weights,
                indices=list(indices),
            )
            config["weights"] = kept
        return config

    def gate_rows(
        self, rows: Any, real: Any, in_service: Any, training: bool | None
    ) -> Any:
        if in_service is None:
            shares = ops.convert_to_tensor(self.shares, dtype=self.router_dtype)
        else:
            shares = self._shares_of(in_service)
        # Not `broadcast_to`, which wants a shape that is known, nor a slice,
        # whose length is not where D is open.
        ones = ops.sum(rows, axis=-1, keepdims=True)
        return shares + ops.zeros_like(ones)

    def _weights(self) -> list[float]:
        return self.given_weights or [1.0] * self.num_experts

    def _shares_of(self, in_service: Any) -> Any:
        """Those of the experts in service alone, which may all be tiny."""
        weights = self._weights()
        logs = [math.log(weight) if weight > 0 else 0.0 for weight in weights]
        logs = ops.convert_to_tensor(logs, dtype=self.router_dtype)
        heard = ops.logical_and(
            in_service, ops.convert_to_tensor([w > 0 for w in weights])
        )
        shares = gating.softmax(service.exclude(logs, heard))
        return ops.where(heard, shares, 0.0)

    def count_cost(self, shapes: Any, load: Any = None) -> Cost:
        """Nothing is multiplied."""
        return Cost(0, 0)

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        del config["top_k"]
        return {**config, "weights": self.given_weights}
