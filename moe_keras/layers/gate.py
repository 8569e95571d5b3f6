"""What all gates share: which rows get gates of their own, padding, dtype."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from moe_keras.errors import is_count, missing_method, require
from moe_keras.layers.calls import carried_mask
from moe_keras.layers.counts import HasCounts
from moe_keras.layers.fixed_arguments import FixedArguments
from moe_keras.layers.gates_record import note_gates, note_picks
from moe_keras.layers.input_checks import (
    ReadsOneTensor,
    check_floats,
    check_mask,
    known_width,
)
from moe_keras.layers.keeping import KeepsExperts
from moe_keras.layers.loss_parts import LossParts
from moe_keras.layers.training_figures import log_figures
from moe_keras.ops import service
from moe_keras.ops.cost import Cost, count_layer
from moe_keras.ops.picks import Picks

LEVELS = ("auto", "sample", "position")


class Gate(
    ReadsOneTensor, FixedArguments, HasCounts, KeepsExperts, keras.layers.Layer
):
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
        expert_mask: bool or None, `(E,)` or with leading axes of the gates in
            front, as `(B, E)`. An expert that is False is out of service: the
            gates are those of a layer that was built without it, with
            `top_k` experts at most. Where no expert is left, it is an error,
            or gates of 0 while a graph is being traced.
        training: bool or None.

    Returns:
        float gates: `(..., E)` at the position level, `(B, E)` at the sample
        level; 0 where an expert is not chosen. A row that holds NaN or an
        infinity has `choices` gates of NaN, and counts in no loss.
    """

    expert_axis = -1
    # Whether a row's gates depend on the other rows of the batch.
    couples_rows = False
    # Whether it computes with its inputs, and cannot read identifiers.
    needs_floats = True

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
        # Those of the losses that it adds, once it is built.
        self.loss_parts: LossParts | None = None
        self.supports_masking = True

    def gate_rows(
        self, rows: Any, real: Any, in_service: Any, training: bool | None
    ) -> Any:
        """Gates of rows `(..., D)`, or the experts of each row and theirs.

        Args:
            rows: float `(..., D)`, finite.
            real: float `(...)`, 1 for a row that counts and 0 for padding and
                for broken rows.
            in_service: bool, broadcasts to `(..., E)`, or None when every
                expert is in service.
            training: bool or None.

        Returns:
            Gates `(..., E)` in the router's dtype; or `Picks` of `choices`
            experts, where they are found before the gates.
        """
        raise missing_method(
            type(self).__name__,
            "gate_rows",
            "It returns the gates `(..., E)` of rows `(..., D)`.",
        )

    @property
    def choices(self) -> int:
        """K: how many experts a row reaches, E without `top_k`."""
        return self.num_experts if self.top_k is None else self.top_k

    @property
    def is_sparse(self) -> bool:
        """Whether a row reaches fewer experts than there are."""
        return self.choices < self.num_experts

    @property
    def learns_by_scale(self) -> bool:
        """Whether some router shows only in a factor common to a row's gates.

        With one gate per row the factor is that gate. What divides by the sum
        of the gates, as a cross-entropy of probabilities does, then leaves that
        router without a gradient from the task.
        """
        return self.choices == 1 < self.num_experts

    @property
    def assumed_load(self) -> list[float]:
        """Share of the rows that reach each expert, where none is measured."""
        return [self.choices / self.num_experts] * self.num_experts

    def find_router(self) -> "Gate":
        """The gate that chooses: this one, or one inside."""
        # No property, as Keras saves what it finds in these.
        return self

    def kept_config(self, indices: Sequence[int]) -> dict[str, Any]:
        config = super().kept_config(indices)
        if config.get("top_k") is not None:
            config["top_k"] = min(config["top_k"], len(indices))
        return config

    def count_kept_cost(self, shapes: Any, indices: Sequence[int]) -> Cost:
        """Multiply-adds per example of `keep(indices)`; see `count_layer`."""
        kept = self.keep(indices)
        kept.serves_samples = self.serves_samples
        return count_layer(kept, shapes)

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
        self,
        inputs: Any,
        mask: Any = None,
        expert_mask: Any = None,
        training: bool | None = None,
    ) -> Any:
        if self.loss_parts is not None:
            self.loss_parts.in_training = bool(training)
        rows, real = self.read_rows(inputs, carried_mask(inputs, mask))
        in_service = self._read_expert_mask(expert_mask, rows.shape)
        counted = ops.ones(ops.shape(rows)[:-1], dtype=self.router_dtype)
        if training or self.couples_rows:
            # A broken row must not reach the others by way of the kernel's
            # gradient, the losses, or a choice among rows.
            good = service.finite_rows(rows)
            rows = service.clear_rows(rows, good)
            counted = ops.cast(good, self.router_dtype)
        if real is not None:
            counted = counted * real
        gates = self.gate_rows(rows, counted, in_service, training)
        picks = gates if isinstance(gates, Picks) else None
        sparse = picks is not None
        sound = service.finite_rows(picks.weights if sparse else gates)
        if training or self.couples_rows:
            sound = ops.logical_and(good, sound)
        if sparse and in_service is None:
            # The same, on K numbers per row instead of E.
            picks = picks.spoiled(sound)
            picks = Picks(picks.experts, self._finish(picks.weights, real))
            note_picks(picks)
            gates = picks.spread(self.num_experts)
        else:
            gates = picks.spread(self.num_experts) if sparse else gates
            gates = service.spoil_rows(gates, sound, self.choices, in_service)
            gates = self._finish(gates, real)
        note_gates(self.name, gates)
        return gates

    def _finish(self, gates: Any, real: Any) -> Any:
        """Nothing for padding, in the dtype of the policy."""
        if real is not None:
            gates = ops.where(ops.expand_dims(real, -1) > 0, gates, 0.0)
        return ops.cast(gates, self.compute_dtype)

    def check_width(self, input_shape: Any) -> int:
        """D of the inputs' shape, which `build` needs to know."""
        return known_width(type(self).__name__, input_shape)

    def add_router_weight(
        self, shape: Any, initializer: Any, name: str, trainable: bool = True
    ) -> Any:
        """A weight that stays in the router's dtype under every policy."""
        return self.add_weight(
            shape,
            initializer,
            dtype=self.router_dtype,
            trainable=trainable,
            autocast=False,
            name=name,
        )

    def log_losses(self, *names: str) -> None:
        """Have `fit` log these arguments' losses, of those above 0.

        To be called by `build`, for losses that `RouterLosses` adds.
        """
        names = tuple(name for name in names if getattr(self, name))
        if names:
            self.loss_parts = LossParts(names)
            self._loss_figures = log_figures(self.loss_parts, self.name)

    def counts(self) -> list[Any]:
        return [] if self.loss_parts is None else self.loss_parts.counts()

    def read_rows(self, inputs: Any, mask: Any) -> tuple[Any, Any]:
        """The router's rows `(..., D)`, and which are real `(...)` or None."""
        if self.needs_floats:
            check_floats(type(self).__name__, inputs)
        check_mask(type(self).__name__, mask, inputs.shape[:-1])
        inputs = ops.cast(inputs, self.router_dtype)
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

    def _read_expert_mask(self, expert_mask: Any, shape: Any) -> Any:
        """Bool that broadcasts to gates of this rank, or None."""
        if expert_mask is None:
            return None
        mask = ops.cast(ops.convert_to_tensor(expert_mask), "bool")
        owner, axes = type(self).__name__, len(mask.shape)
        leading = tuple(mask.shape[:-1])
        require(
            0 < axes <= len(shape)
            and mask.shape[-1] == self.num_experts
            and all(
                one is None or other is None or one in (1, other)
                for one, other in zip(leading, shape[: axes - 1], strict=True)
            ),
            owner,
            "`expert_mask` must be (E,), or (..., E) with leading axes of the "
            "gates.",
            expert_mask_shape=tuple(mask.shape),
            gates_shape=(*shape[:-1], self.num_experts),
        )
        values = service.known_values(mask)
        require(
            values is None or values.any(axis=-1).all(),
            owner,
            "`expert_mask` must leave an expert in service.",
            expert_mask=None if values is None else values.tolist(),
        )
        for _ in range(len(shape) - axes if axes > 1 else 0):
            mask = ops.expand_dims(mask, -2)
        return mask

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
