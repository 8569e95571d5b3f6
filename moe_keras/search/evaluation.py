"""How good a subset of experts is, without running an expert again."""

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from moe_keras.asking import ask
from moe_keras.layers import GatingLayer, MixtureOfExperts, UniformGating
from moe_keras.layers.fusion_layer import Fusion
from moe_keras.lifecycle import keep_experts
from moe_keras.ops.gating import choose_gates
from moe_keras.search.log_loss import Data, log_loss
from moe_keras.search.routers import SmallerRouters
from moe_keras.search.split_graph import Parts, split_graph
from moe_keras.search.subsets import Subset

OWNER = "select_experts"
# Their gates follow from the scores of all experts; subclasses may differ.
CACHED_GATES = (GatingLayer, UniformGating)

# Numbers of expert outputs that are held at once, beside those of the cache.
MOST_NUMBERS = 2**21

Evaluation = Callable[[Sequence[Subset]], list[float]]


def evaluation_of(
    graph: keras.Model,
    holder: Any,
    data: Data,
    from_logits: bool,
    batch_size: int,
) -> Evaluation:
    """A function from subsets, of one size, to the model's log-losses.

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

    def evaluate(subsets: Sequence[Subset]) -> list[float]:
        models = (keep_experts(graph, kept, holder) for kept in subsets)
        return [score(ask(model, data.inputs, batch_size)) for model in models]

    return evaluate


def _can_be_cached(holder: Any) -> bool:
    return (
        isinstance(holder, MixtureOfExperts)
        and type(holder.gate.find_router()) in CACHED_GATES
        and isinstance(holder.fusion, Fusion)
        and holder.dispatch != "capacity"
    )


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
        found = ask(parts.front, inputs, batch_size)
        sides = sorted(
            (name for name in found if name.startswith("side_")),
            key=lambda name: int(name[5:]),
        )
        self._sides = [np.asarray(found[name]) for name in sides]
        self._outputs, self._scores, self._heard, self._shared = (
            np.asarray(found[name])
            for name in ("outputs", "scores", "heard", "shared")
        )
        self._routers = SmallerRouters(mixture.gate)
        bias = getattr(self._router, "selection_bias", None)
        self._bias = None if bias is None else ops.convert_to_numpy(bias)

    def __call__(self, subsets: Sequence[Subset]) -> list[float]:
        per_subset = self._outputs.size * len(subsets[0]) if subsets else 1
        per_subset //= self._mixture.num_experts
        some = max(1, MOST_NUMBERS // max(1, per_subset))
        return [
            self._score(outputs)
            for start in range(0, len(subsets), some)
            for outputs in self.predict(subsets[start : start + some])
        ]

    def predict(self, subsets: Sequence[Subset]) -> np.ndarray:
        """What the model returns with the experts of each subset alone.

        Args:
            subsets: S of one size.

        Returns:
            float `(S, N, ...)`.
        """
        places = np.asarray(subsets)
        gates = self._gates(places)
        axis = self._scores.ndim - 1
        outputs = _pick(self._outputs, places, axis)
        fused = self._mixture.fusion([ops.convert_to_tensor(outputs), gates])
        if self._mixture.shared is not None:
            fused = fused + ops.convert_to_tensor(self._shared)
        if self._back is None:
            return _array(fused)
        # The rest of the model knows one axis of rows.
        count, rows = len(places), len(self._scores)
        fused = ops.reshape(fused, (-1, *fused.shape[2:]))
        sides = [
            ops.convert_to_tensor(np.concatenate([side] * count))
            for side in self._sides
        ]
        found = _array(self._back([fused, *sides], training=False))
        return found.reshape(count, rows, *found.shape[1:])

    def _gates(self, places: np.ndarray) -> Any:
        """Float `(S, P..., n)`, for numbers of experts `(S, n)`."""
        mixture, scores = self._mixture, _pick(self._scores, places, -1)
        if isinstance(self._router, UniformGating):
            shares = [list(self._routers.of(kept).shares) for kept in places]
            middle = (1,) * (scores.ndim - 2)
            gates = np.reshape(shares, (len(places), *middle, -1))
            gates = ops.convert_to_tensor(
                np.broadcast_to(gates, scores.shape), self._router.router_dtype
            )
        else:
            gates = self._choose(scores, places)
        heard = ops.convert_to_tensor(self._heard[None, ..., None])
        gates = ops.where(heard, gates, ops.zeros_like(gates))
        # In turn, as gates inside of others hand them on.
        for gate in (self._router, mixture.gate):
            gates = ops.cast(gates, gate.compute_dtype)
        return gates

    def _choose(self, scores: np.ndarray, places: np.ndarray) -> Any:
        kept, bias = self._routers.of(places[0]), None
        if self._bias is not None:
            middle = (1,) * (scores.ndim - 2)
            bias = self._bias[places].reshape(len(places), *middle, -1)
            bias = ops.convert_to_tensor(bias)
        selection = choose_gates(
            ops.convert_to_tensor(scores),
            kept.top_k,
            kept.normalize,
            kept.activation,
            kept.order,
            kept.top_p,
            bias,
        )
        return selection.gates


def _pick(values: np.ndarray, places: np.ndarray, axis: int) -> np.ndarray:
    """For experts `(S, n)` on an axis, `(S, ...)` with n on that axis."""
    axis %= values.ndim
    return np.moveaxis(np.take(values, places, axis=axis), axis, 0)


def _array(tensor: Any) -> np.ndarray:
    return np.asarray(ops.convert_to_numpy(tensor))
