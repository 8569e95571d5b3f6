"""How good a subset of experts is, without running an expert again."""

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from moe_keras.layers import GatingLayer, MixtureOfExperts, UniformGating
from moe_keras.layers.fusion_layer import Fusion
from moe_keras.lifecycle import keep_experts
from moe_keras.ops.gating import choose_gates
from moe_keras.quiet import without_log
from moe_keras.search.log_loss import Data, log_loss
from moe_keras.search.split_graph import Parts, split_graph

OWNER = "select_experts"
# Their gates follow from the scores of all experts; subclasses may differ.
CACHED_GATES = (GatingLayer, UniformGating)

Evaluation = Callable[[Sequence[int]], float]


def evaluation_of(
    graph: keras.Model,
    holder: Any,
    data: Data,
    from_logits: bool,
    batch_size: int,
) -> Evaluation:
    """A function from a subset of the experts to the log-loss of the model.

    Where it can, it runs all experts once on all rows and keeps what they say,
    with the scores of the router; a subset then costs a gating and a fusion.
    Else it makes the smaller model of each subset: for layers other than
    `MixtureOfExperts`, gates other than `GatingLayer` and `UniformGating` (also
    behind `FeatureGating`), `dispatch="capacity"`, fusions that are no
    `Fusion`, and where masks go on behind the mixture.

    Args:
        graph: functional model with one output.
        holder: its layer of experts.
        data: labelled rows.
        from_logits: what the outputs are; see `log_loss`.
        batch_size: int > 0, of the passes through the model.
    """

    def score(outputs: Any) -> float:
        return log_loss(outputs, data, from_logits, OWNER)

    parts = None
    if _can_be_cached(holder):
        parts = split_graph(graph, holder)
    if parts is not None:
        return CachedExperts(holder, parts, data.inputs, score, batch_size)

    def evaluate(indices: Sequence[int]) -> float:
        smaller = keep_experts(graph, indices, holder)
        return score(_predict(smaller, data.inputs, batch_size))

    return evaluate


def _can_be_cached(holder: Any) -> bool:
    return (
        isinstance(holder, MixtureOfExperts)
        and type(holder.gate.find_router()) in CACHED_GATES
        and isinstance(holder.fusion, Fusion)
        and holder.dispatch != "capacity"
    )


def _predict(model: keras.Model, inputs: Any, batch_size: int) -> Any:
    # TensorFlow takes the functions of several models for one that changes.
    with without_log("tensorflow", "triggered tf.function retracing"):
        return model.predict(inputs, batch_size=batch_size, verbose=0)


class CachedExperts:
    """The model with a subset of its experts, from what all of them said.

    Args:
        mixture: `MixtureOfExperts` with a cached gate.
        parts: the model, cut at the mixture.
        inputs: of the model, N rows.
        score: from the model's outputs to a number.
        batch_size: int > 0.
    """

    def __init__(
        self,
        mixture: MixtureOfExperts,
        parts: Parts,
        inputs: Any,
        score: Callable[[Any], float],
        batch_size: int,
    ):
        self._mixture = mixture
        self._router = mixture.gate.find_router()
        self._score = score
        self._back = parts.back
        found = _predict(parts.front, inputs, batch_size)
        sides = sorted(
            (name for name in found if name.startswith("side_")),
            key=lambda name: int(name[5:]),
        )
        self._sides = [ops.convert_to_tensor(found[name]) for name in sides]
        self._outputs, self._scores, self._heard, self._shared = (
            ops.convert_to_tensor(found[name])
            for name in ("outputs", "scores", "heard", "shared")
        )
        bias = getattr(self._router, "selection_bias", None)
        self._bias = None if bias is None else ops.convert_to_numpy(bias)

    def __call__(self, indices: Sequence[int]) -> float:
        return self._score(self.predict(indices))

    def predict(self, indices: Sequence[int]) -> np.ndarray:
        """What the model with these experts alone returns."""
        gates = self._gates(indices)
        axis = len(gates.shape) - 1
        outputs = ops.take(self._outputs, list(indices), axis=axis)
        fused = self._mixture.fusion([outputs, gates])
        if self._mixture.shared is not None:
            fused = fused + self._shared
        if self._back is not None:
            fused = self._back([fused, *self._sides], training=False)
        return np.asarray(ops.convert_to_numpy(fused))

    def _gates(self, indices: Sequence[int]) -> Any:
        kept = self._router.keep(indices)
        scores = ops.take(self._scores, list(indices), axis=-1)
        if isinstance(kept, UniformGating):
            shares = ops.convert_to_tensor(
                list(kept.shares), dtype=kept.router_dtype
            )
            gates = shares + ops.cast(ops.zeros_like(scores), shares.dtype)
        else:
            bias = None if self._bias is None else self._bias[list(indices)]
            gates, _, _ = choose_gates(
                scores,
                kept.top_k,
                kept.normalize,
                kept.activation,
                kept.order,
                kept.top_p,
                bias,
            )
        heard = ops.expand_dims(self._heard, -1)
        gates = ops.where(heard, gates, ops.zeros_like(gates))
        # In turn, as gates inside of others hand them on.
        for gate in (self._router, self._mixture.gate):
            gates = ops.cast(gates, gate.compute_dtype)
        return gates
