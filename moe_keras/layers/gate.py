"""What all gates share: which rows get gates of their own, padding, dtype."""

from typing import Any

import keras
from keras import ops

from moe_keras.errors import is_count, require
from moe_keras.layers.gates_record import note_gates

LEVELS = ("auto", "sample", "position")


class Gate(keras.layers.Layer):
    """Base class of the gates: inputs `(..., D)` to gates `(..., E)`.

    A subclass implements `build` and `gate_rows`. It works in at least float32
    whatever the dtype policy; the gates are cast to the compute dtype at the
    end.

    Args:
        num_experts: int > 0. E.
        top_k: int in 1..E: how many experts a row reaches; None for all.
        level: `"sample"`, `"position"` or `"auto"`.
        **kwargs: `keras.layers.Layer` arguments.

    Call arguments:
        inputs: float `(..., D)`.
        mask: bool or None, the shape of `inputs` without its last axis. Padding
            is routed nowhere (its gates are 0) and counts in no loss; at the
            sample level it is left out of the mean.
        training: bool or None.

    Returns:
        float gates: `(..., E)` at the position level, `(B, E)` at the sample
        level; 0 where an expert is not chosen.
    """

    def __init__(
        self,
        num_experts: int,
        top_k: int | None = None,
        level: str = "auto",
        **kwargs: Any,
    ):
        # The router reads its input as it comes, not cast down to half.
        super().__init__(autocast=False, **kwargs)
        owner = type(self).__name__
        require(
            is_count(num_experts),
            owner,
            "`num_experts` must be an integer above 0.",
            num_experts=num_experts,
        )
        require(
            top_k is None or (is_count(top_k) and top_k <= num_experts),
            owner,
            "`top_k` must be an integer in 1..num_experts, or None.",
            top_k=top_k,
            num_experts=num_experts,
        )
        require(
            level in LEVELS,
            owner,
            f"`level` must be one of {LEVELS}.",
            level=level,
        )
        self.num_experts = num_experts
        self.top_k = top_k
        self.level = level
        # A mixture whose experts read whole samples sets this.
        self.serves_samples = False
        self.supports_masking = True

    def gate_rows(self, rows: Any, real: Any, training: bool | None) -> Any:
        """Gates `(..., E)` of rows `(..., D)` in the router's dtype.

        Args:
            rows: float `(..., D)`.
            real: float `(...)`, 1 for a row that counts and 0 for padding, or
                None when every row counts.
            training: bool or None.
        """
        raise NotImplementedError

    @property
    def choices(self) -> int:
        """K: how many experts a row reaches, E without `top_k`."""
        return self.num_experts if self.top_k is None else self.top_k

    @property
    def is_sparse(self) -> bool:
        """Whether a row reaches fewer experts than there are."""
        return self.choices < self.num_experts

    @property
    def router_dtype(self) -> str:
        """float32, or float64 under a float64 policy."""
        return "float64" if self.compute_dtype == "float64" else "float32"

    def by_sample(self, rank: int) -> bool:
        """Whether inputs with `rank` axes in all get one gate per sample."""
        if self.level != "auto":
            return self.level == "sample"
        return rank >= 4 or self.serves_samples

    def call(
        self, inputs: Any, mask: Any = None, training: bool | None = None
    ) -> Any:
        dtype = keras.backend.standardize_dtype(inputs.dtype)
        require(
            keras.backend.is_float_dtype(dtype),
            type(self).__name__,
            "`inputs` must be of a float dtype.",
            dtype=dtype,
        )
        rows, real = self._rows(ops.cast(inputs, self.router_dtype), mask)
        gates = self.gate_rows(rows, real, training)
        if real is not None:
            kept = ops.expand_dims(real, -1) > 0
            gates = ops.where(kept, gates, ops.zeros_like(gates))
        gates = ops.cast(gates, self.compute_dtype)
        note_gates(self.name, gates)
        return gates

    def add_router_weight(self, shape: Any, initializer: Any, name: str) -> Any:
        """A weight that stays in the router's dtype under every policy."""
        return self.add_weight(
            shape,
            initializer,
            dtype=self.router_dtype,
            autocast=False,
            name=name,
        )

    def _rows(self, inputs: Any, mask: Any) -> tuple[Any, Any]:
        """The router's rows `(..., D)` and which of them are real `(...)`."""
        real = None if mask is None else ops.cast(mask, inputs.dtype)
        rank = len(inputs.shape)
        if rank == 2 or not self.by_sample(rank):
            return inputs, real
        positions = tuple(range(1, rank - 1))
        if real is None:
            return ops.mean(inputs, axis=positions), None
        weights = ops.expand_dims(real, -1)
        kept = ops.where(weights > 0, inputs, ops.zeros_like(inputs))
        count = ops.maximum(ops.sum(weights, axis=positions), 1.0)
        means = ops.sum(kept, axis=positions) / count
        return means, ops.max(real, axis=positions)

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        by_sample = self.by_sample(len(input_shape))
        leading = input_shape[:1] if by_sample else input_shape[:-1]
        return (*leading, self.num_experts)

    def compute_mask(self, inputs: Any, mask: Any = None) -> None:
        """None: padding is marked by gates of 0."""
        return None

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "num_experts": self.num_experts,
            "top_k": self.top_k,
            "level": self.level,
        }
