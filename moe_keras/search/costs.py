"""What a model with a subset of its experts costs, without building it."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras

from moe_keras.errors import require
from moe_keras.layers import MixtureOfExperts, MoEFeedForward, UniformGating
from moe_keras.layers.wrapped_banks import WrappedBanks
from moe_keras.lifecycle import keep_experts
from moe_keras.ops.cost import (
    count_layer,
    count_multiply_adds,
    shapes_of_calls,
)
from moe_keras.quiet import without_log
from moe_keras.runner.latency import single_rows, time_calls
from moe_keras.search.routers import SmallerRouters, have_weight

OWNER = "select_experts"

CostOf = Callable[[Sequence[int]], float]


def mixture_in(holder: Any) -> MixtureOfExperts:
    """The mixture that a layer is, or that is inside of it."""
    if isinstance(holder, MixtureOfExperts):
        return holder
    if isinstance(holder, MoEFeedForward):
        return holder.mixture
    return mixture_in(holder.feed_forward)


def parameter_cost(graph: keras.Model, holder: Any, inputs: Any) -> CostOf:
    """The number of weights of the whole model."""
    rest = graph.count_params() - holder.count_params()

    def cost_of(indices: Sequence[int]) -> float:
        return float(rest + holder.count_kept(indices))

    return cost_of


def multiply_add_cost(graph: keras.Model, holder: Any, inputs: Any) -> CostOf:
    """The active multiply-adds of one example, through the whole model.

    One expert adds what it takes itself, in the fusion too, times the share of
    the rows that reach it; the gate is counted for as many experts as are left.
    """
    mixture = mixture_in(holder)
    gate, count = mixture.gate, mixture.num_experts
    shapes = shapes_of_calls(graph)[holder.name][:1]

    def active(load: list[float]) -> float:
        return mixture.count_cost(shapes, load).active

    nobody = active([0.0] * count)
    alone = [
        active([float(other == expert) for other in range(count)]) - nobody
        for expert in range(count)
    ]
    _check_removal_pays(gate, alone, "multiply_adds")
    whole = count_layer(mixture, shapes, gate.assumed_load).active
    rest = count_multiply_adds(graph).active - whole
    rest += nobody - count_layer(gate, shapes).active

    routers, gating = SmallerRouters(gate), dict[tuple[int, ...], float]()

    def cost_of(indices: Sequence[int]) -> float:
        key = routers.key(indices)
        if key not in gating:
            gating[key] = gate.count_kept_cost(shapes, key).active
        return rest + gating[key] + _sum_of_reached(routers, alone, indices)

    return cost_of


def latency_cost(graph: keras.Model, holder: Any, inputs: Any) -> CostOf:
    """Milliseconds of one row: a model of them, fitted to a few measurements.

    It says `rest + scale * sum_e load_e t_e`. An expert of each bank is timed
    alone, t_e. The model with all experts and the one with the first alone are
    timed too, and set the other two numbers; where they take as long as each
    other, the scale is 1. Medians of `predict_on_batch` on one row.
    """
    mixture, rows = mixture_in(holder), single_rows(inputs)
    gate = mixture.gate
    alone = _time_experts(graph, holder, mixture, rows)
    _check_removal_pays(gate, alone, "latency")
    everyone = list(range(mixture.num_experts))
    first = next([place] for place in everyone if have_weight(gate, [place]))
    slow = _time(graph, rows)
    fast = _time(keep_experts(graph, first, holder), rows)
    routers = SmallerRouters(gate)
    most = _sum_of_reached(routers, alone, everyone)
    least = _sum_of_reached(routers, alone, first)
    scale = (slow - fast) / (most - least) if most != least else 1.0
    if scale <= 0:
        scale = 1.0
    rest = max(0.0, fast - scale * least)

    def cost_of(indices: Sequence[int]) -> float:
        return rest + scale * _sum_of_reached(routers, alone, indices)

    return cost_of


COSTS = {
    "multiply_adds": multiply_add_cost,
    "parameters": parameter_cost,
    "latency": latency_cost,
}


def _sum_of_reached(
    routers: SmallerRouters, alone: Sequence[float], indices: Sequence[int]
) -> float:
    load = routers.of(indices).assumed_load
    return sum(
        share * alone[index] for share, index in zip(load, indices, strict=True)
    )


def _check_removal_pays(gate: Any, alone: Sequence[float], cost: str) -> None:
    """Refuse a cost that does not fall with the number of experts."""
    router = gate.find_router()
    require(
        not router.is_sparse
        or isinstance(router, UniformGating)
        or max(alone) > min(alone),
        OWNER,
        "a sparse gate reaches as many experts of the same cost whatever is "
        "removed; use cost='parameters'.",
        cost=cost,
        num_experts=router.num_experts,
        choices=router.choices,
    )


def _time_experts(
    graph: keras.Model, holder: Any, mixture: Any, rows: list[Any]
) -> list[float]:
    """For each expert, the milliseconds of it alone, one timing for a bank."""
    (node,) = (
        node
        for nodes in graph._nodes_by_depth.values()
        for node in nodes
        if node.operation is holder
    )
    read = node.input_tensors[0]
    before = keras.Model(graph.input, read)
    given = [before.predict_on_batch(row) for row in rows]
    found = []
    for bank, places in _leaves(mixture.experts):
        values = keras.Input(tuple(read.shape)[1:], dtype=read.dtype)
        one = keras.Model(values, bank.keep(places[:1])(values))
        found += [_time(one, given)] * len(places)
    return found


def _leaves(banks: Sequence[Any]) -> Iterator[tuple[Any, list[int]]]:
    """Banks, each with numbers of its experts that are of one kind."""
    for bank in banks:
        if not isinstance(bank, WrappedBanks):
            yield bank, list(range(bank.num_experts))
            continue
        start = 0
        for _, places in _leaves(bank.experts):
            yield bank, [start + place for place in range(len(places))]
            start += len(places)


def _time(model: keras.Model, rows: list[Any]) -> float:
    """Median milliseconds of one row."""
    # TensorFlow takes the functions of several models for one that changes.
    with without_log("tensorflow", "triggered tf.function retracing"):
        return time_calls(model.predict_on_batch, rows)["p50"]
