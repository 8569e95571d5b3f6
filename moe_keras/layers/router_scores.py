"""Where a router's logits come from: its weights, and the map from rows.

One class per value of `scores`, without a state of its own: the weights are
the layer's.
"""

import math
from typing import Any

import keras
from keras import ops

from moe_keras.ops import router_scores

# The usual variance of a kernel, times this: Fedus et al. (2021),
# arXiv:2101.03961, section 2.4.
INITIAL_SCALE = 0.1


def build_scores(gate: Any, width: int) -> None:
    """Add what a router scores rows `(N, width)` with."""
    SCORES[gate.scores].build(gate, width)
    if gate.bias_initializer is not None:
        gate.score_bias = gate.add_router_weight(
            (gate.num_experts,), gate.bias_initializer, "score_bias"
        )


def score_rows(gate: Any, rows: Any) -> Any:
    """The logits `(N, E)` of rows `(N, D)`, before the temperature."""
    logits = SCORES[gate.scores].score(gate, rows)
    return logits if gate.score_bias is None else logits + gate.score_bias


def serialized_initializers(gate: Any) -> dict[str, Any]:
    """A router's initializers, for its config."""
    bias = gate.bias_initializer
    return {
        "kernel_initializer": keras.initializers.serialize(
            gate.kernel_initializer
        ),
        "bias_initializer": None
        if bias is None
        else keras.initializers.serialize(bias),
    }


def router_initializer(initializer: Any) -> Any:
    """An initializer by its name; None stands for Switch Transformer's."""
    if initializer is None:
        initializer = keras.initializers.VarianceScaling(
            INITIAL_SCALE, mode="fan_in", distribution="truncated_normal"
        )
    return keras.initializers.get(initializer)


class LinearScores:
    """x W."""

    @staticmethod
    def build(layer: Any, width: int) -> None:
        layer.kernel = layer.add_router_weight(
            (width, layer.num_experts), layer.kernel_initializer, "kernel"
        )

    @staticmethod
    def score(layer: Any, rows: Any) -> Any:
        return ops.matmul(rows, layer.kernel)

    @staticmethod
    def shared(layer: Any) -> list[Any]:
        """The weights that are not one expert's each."""
        return []

    @staticmethod
    def count(layer: Any, width: int) -> int:
        """Multiply-adds per row."""
        return width * layer.num_experts


class _ProjectedScores:
    """A projection of the row to S, and one vector of width S per expert."""

    vectors = ""

    @classmethod
    def build(cls, layer: Any, width: int) -> None:
        units = layer.score_units
        layer.kernel = layer.add_router_weight(
            (width, units), layer.kernel_initializer, "kernel"
        )
        vectors = layer.add_router_weight(
            (units, layer.num_experts),
            # Of length sqrt(S), so that logits start as large as linear ones.
            keras.initializers.RandomNormal(stddev=1.0),
            cls.vectors,
        )
        setattr(layer, cls.vectors, vectors)

    @staticmethod
    def shared(layer: Any) -> list[Any]:
        """The weights that are not one expert's each."""
        return [layer.kernel]

    @staticmethod
    def count(layer: Any, width: int) -> int:
        """Multiply-adds per row."""
        return layer.score_units * (width + layer.num_experts)


class CosineScores(_ProjectedScores):
    """cos(x W, v_e) / a learned temperature."""

    vectors = "expert_embeddings"

    @classmethod
    def build(cls, layer: Any, width: int) -> None:
        super().build(layer, width)
        start = -math.log(router_scores.COSINE_TEMPERATURE)
        layer.log_scale = layer.add_router_weight(
            (), keras.initializers.Constant(start), "log_scale"
        )

    @staticmethod
    def shared(layer: Any) -> list[Any]:
        """The weights that are not one expert's each."""
        return [layer.kernel, layer.log_scale]

    @staticmethod
    def score(layer: Any, rows: Any) -> Any:
        return router_scores.cosine_logits(
            rows, layer.kernel, layer.expert_embeddings, layer.log_scale
        )


class AttentionScores(_ProjectedScores):
    """(x W) k_e / sqrt(S)."""

    vectors = "expert_keys"

    @staticmethod
    def score(layer: Any, rows: Any) -> Any:
        return router_scores.attention_logits(
            rows, layer.kernel, layer.expert_keys
        )


SCORES: dict[str, Any] = {
    "linear": LinearScores,
    "cosine": CosineScores,
    "attention": AttentionScores,
}
