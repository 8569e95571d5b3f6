"""A router that reads features of the inputs: g = gate(features(x))."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from moe_keras.errors import require
from moe_keras.layers.calls import call_with, read_layers
from moe_keras.layers.gate import Gate
from moe_keras.layers.gates_record import (
    note_gates,
    record_gates,
    record_picks,
)
from moe_keras.layers.keeping import serialize_kept
from moe_keras.layers.registration import register
from moe_keras.ops.cost import Cost, count_layer


@register
class FeatureGating(Gate):
    """A gate behind a layer that makes features of the mixture's inputs.

    The experts of a mixture and its gate read the same inputs. Here the gate
    reads what a layer makes of them: of the identifiers of words, say, a few
    numbers that tell texts apart, so that routing costs little. Both are
    trained; what the gate is asked, as `top_k`, it answers for both.

    Args:
        features: layer from the inputs `(B, ...)` to the features that the gate
            reads, `(B, F)` for one gate per sample. It computes in its own
            dtype: where that is a half one, so are the features.
        gate: `Gate`, a `GatingLayer` as a rule.
        **kwargs: `keras.layers.Layer` arguments.

    Call arguments:
        inputs: `(B, ...)`, as `features` wants them.
        mask: bool or None, for `features`, which says what padding means. Where
            the features still have the positions that it is about, it goes to
            the gate too.
        expert_mask: bool or None, for the gate.
        training: bool or None.

    Returns:
        float gates `(..., E)`, those of the gate; `record_gates` shows them
        under the name of this layer.

    Example:
    >>> gate = FeatureGating(TextFeatures(), GatingLayer(4, top_k=2))
    >>> gate(np.ones((8, 32), "int32")).shape
    TensorShape([8, 4])
    """

    def __init__(self, features: keras.layers.Layer, gate: Gate, **kwargs: Any):
        require(
            isinstance(features, keras.layers.Layer),
            "FeatureGating",
            "`features` must be a Keras layer.",
            features=features,
        )
        require(
            isinstance(gate, Gate),
            "FeatureGating",
            "`gate` must be a Gate, such as GatingLayer.",
            gate=gate,
        )
        super().__init__(gate.num_experts, gate.top_k, gate.level, **kwargs)
        self.features = features
        self.gate = gate

    @property
    def choices(self) -> int:
        """K, as the gate has it."""
        return self.gate.choices

    @property
    def is_sparse(self) -> bool:
        """Whether the gate reaches fewer experts than there are."""
        return self.gate.is_sparse

    @property
    def learns_by_scale(self) -> bool:
        """Whether the gate does."""
        return self.gate.learns_by_scale

    @property
    def assumed_load(self) -> list[float]:
        """That of the gate."""
        return self.gate.assumed_load

    @property
    def couples_rows(self) -> bool:
        """Whether the gate does."""
        return self.gate.couples_rows

    def find_router(self) -> Gate:
        """That of the gate."""
        return self.gate.find_router()

    def kept_config(self, indices: Sequence[int]) -> dict[str, Any]:
        return {
            **self.get_config(),
            "gate": serialize_kept(self.gate, indices),
        }

    def inside(
        self, indices: Sequence[int]
    ) -> list[tuple[Any, Sequence[int] | None]]:
        return [(self.gate, indices)]

    def build(self, input_shape: Any) -> None:
        if not self.features.built:
            self.features.build(input_shape)
        if not self.gate.built:
            self.gate.build(self._features_shape(input_shape))

    def call(
        self,
        inputs: Any,
        mask: Any = None,
        expert_mask: Any = None,
        training: bool | None = None,
    ) -> Any:
        if mask is None:
            # Keras hands it on by itself only where no other tensor comes in.
            mask = getattr(inputs, "_keras_mask", None)
        # What gates inside the features choose is not what this one chooses.
        with record_picks():
            features = call_with(
                self.features, inputs, mask=mask, training=training
            )
        by_position = (
            mask is not None and len(features.shape) == len(mask.shape) + 1
        )
        self.gate.serves_samples = self.serves_samples
        with record_gates():
            gates = call_with(
                self.gate,
                features,
                mask=mask if by_position else None,
                expert_mask=expert_mask,
                training=training,
            )
        gates = ops.cast(gates, self.compute_dtype)
        note_gates(self.name, gates)
        return gates

    def count_cost(self, shapes: Any, load: Any = None) -> Cost:
        """Multiply-adds per example, of the features and of the gate."""
        cost = count_layer(self.features, shapes)
        return cost + count_layer(
            self.gate, [self._features_shape(shapes[0])], load
        )

    def count_kept_cost(self, shapes: Any, indices: Sequence[int]) -> Cost:
        """See `Gate`."""
        self.gate.serves_samples = self.serves_samples
        features_shape = self._features_shape(shapes[0])
        return count_layer(self.features, shapes) + self.gate.count_kept_cost(
            [features_shape], indices
        )

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        self.gate.serves_samples = self.serves_samples
        shape = self._features_shape(input_shape)
        return tuple(self.gate.compute_output_shape(shape))

    def _features_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        return tuple(self.features.compute_output_shape(tuple(input_shape)))

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        for name in ("num_experts", "top_k", "level"):
            del config[name]
        serialize = keras.saving.serialize_keras_object
        return {
            **config,
            "features": serialize(self.features),
            "gate": serialize(self.gate),
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "FeatureGating":
        return cls(**read_layers(config, "features", "gate"))
