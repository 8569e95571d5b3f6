"""Which experts to keep: the lowest log-loss within a budget."""

import math
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

import keras
import numpy as np

from moe_keras.errors import is_number, require, require_counts
from moe_keras.layers import HashGating, HierarchicalGating
from moe_keras.layers.gate import Gate
from moe_keras.lifecycle import find_mixture, keep_experts
from moe_keras.search.costs import COSTS, CostOf, mixture_in
from moe_keras.search.evaluation import evaluation_of
from moe_keras.search.fine_tuning import DEFAULT_STAGES, check_tuning, fine_tune
from moe_keras.search.log_loss import read_data
from moe_keras.search.methods import METHODS, MOST_EXHAUSTIVE
from moe_keras.search.routers import have_weight
from moe_keras.search.search_bar import SearchBar
from moe_keras.search.selection import Selection
from moe_keras.search.subsets import Subset, Subsets, batches
from moe_keras.training.graph import calls_of, graph_of
from moe_keras.training.stage import Stage

OWNER = "select_experts"


def select_experts(
    model: keras.Model,
    data: Any,
    budget: float | Sequence[float],
    cost: str = "multiply_adds",
    method: str = "greedy",
    mixture: keras.layers.Layer | str | None = None,
    from_logits: bool = False,
    evaluations: int = 200,
    seed: int = 0,
    batch_size: int = 256,
    tuning_data: Any = None,
    tuning_stages: Sequence[Stage] = DEFAULT_STAGES,
    verbose: int = 1,
) -> Selection | list[Selection]:
    """Choose the experts of a trained classifier that are worth their cost.

    What is minimised is the log-loss of the model with a subset of its experts
    on `data`, as `keep_experts` makes it, among the subsets with which the
    whole model costs no more than `budget`. The experts run once on all rows; a
    subset then costs a gating and a fusion (where that cannot be, as
    `docs/selection.md` says, each subset is a model that is run).

    Args:
        model: built functional or sequential `keras.Model`, with one output of
            classes.
        data: `(x, y)`, `(x, y, sample_weight)`, or a `Split`, of rows that the
            model was not trained on; y are the numbers of classes.
        budget: number > 0, the most that the smaller model may cost, or a list
            of several.
        cost: `"multiply_adds"`: active ones per example; see
            `count_multiply_adds`. `"parameters"`: weights. `"latency"`:
            milliseconds for one row, by a model of them that is fitted to a few
            measurements on this machine. All are of the whole model. Defaults
            to `"multiply_adds"`.
        method: `"greedy"`: add the expert that helps most, while one fits.
            `"backward"`: remove the one that is missed least. `"random"`:
            subsets drawn at random. `"genetic"`: evolve them. `"exhaustive"`:
            all, of at most 12 experts. Defaults to `"greedy"`.
        mixture: the layer of experts, or its name; see `keep_experts`.
        from_logits: whether the model returns logits, or log-probabilities, in
            the place of probabilities. Defaults to `False`.
        evaluations: int > 0. How many subsets `"random"` and `"genetic"` try.
            Defaults to `200`.
        seed: int >= 0, of both, and of fine-tuning.
        batch_size: int > 0, of the passes through the model.
        tuning_data: the same as `data`, to fine-tune the gate of the smaller
            model with; None for none. The model is then compiled with the
            log-loss. Defaults to `None`.
        tuning_stages: stages of `fit_stages` for that. Defaults to three epochs
            of the gate.
        verbose: 0 for no progress bar. Defaults to `1`.

    Returns:
        `Selection`, or a list of them for a list of budgets.

    Raises:
        ValueError: for a budget below the cheapest expert's cost; for gates
            that cannot do without any expert (`HashGating`,
            `HierarchicalGating`, one that is no `Gate`); for `multiply_adds`
            and `latency` under a sparse gate whose experts all cost the same;
            for labels that do not fit.
    """
    budgets = _check(budget, cost, method, evaluations, seed, batch_size)
    graph = graph_of(model, OWNER)
    holder = find_mixture(graph, mixture, OWNER)
    _check_model(graph, holder, method)
    if tuning_data is not None:
        check_tuning(holder, tuning_stages, OWNER)
    rows = read_data(data, OWNER)
    cost_of = _with_memory(holder, COSTS[cost](graph, holder, rows.inputs))
    _check_affordable(budgets, holder.num_experts, cost_of, cost)
    evaluate = evaluation_of(graph, holder, rows, from_logits, batch_size)
    everyone = tuple(range(holder.num_experts))
    known = dict(zip([everyone], evaluate([everyone]), strict=True))
    require(
        math.isfinite(known[everyone]),
        OWNER,
        "the log-loss of the whole model on `data` must be finite.",
        loss=known[everyone],
    )
    found = []
    with SearchBar(method, verbose) as bar:
        bar.advance(1, [])
        limit = 0.0

        def within(subsets: Iterable[Subset]) -> list[float]:
            return [known[kept] for kept in subsets if cost_of(kept) <= limit]

        def losses_of(subsets: Sequence[Subset]) -> list[float]:
            new = [kept for kept in subsets if kept not in known]
            for some in batches(new):
                known.update(zip(some, evaluate(some), strict=True))
                bar.advance(len(some), within(some))
            return [known[kept] for kept in subsets]

        for limit in budgets:
            bar.begin(within(known))
            subsets = Subsets(len(everyone), losses_of, cost_of, limit)
            rng = np.random.default_rng(seed)
            steps = METHODS[method](subsets, evaluations, rng)
            smaller = partial(keep_experts, graph, mixture=holder)
            found.append(_select(subsets, steps, smaller, cost, method))
    if tuning_data is not None:
        tune = partial(fine_tune, data=tuning_data, stages=tuning_stages)
        told = {"rows": rows, "from_logits": from_logits, "seed": seed}
        found = [tune(one, batch_size=batch_size, **told) for one in found]
    return found if isinstance(budget, Sequence | np.ndarray) else found[0]


def _select(
    subsets: Subsets,
    steps: list[Subset],
    smaller: Callable[[Subset], keras.Model],
    cost: str,
    method: str,
) -> Selection:
    """The best of the steps that are within the budget."""
    best = subsets.best([kept for kept in steps if subsets.fits(kept)])
    return Selection(
        indices=best,
        loss=subsets.loss(best),
        cost=subsets.cost_of(best),
        path=tuple(
            (subsets.cost_of(kept), subsets.loss(kept)) for kept in steps
        ),
        evaluations=subsets.evaluations,
        model=smaller(best),
        budget=subsets.budget,
        cost_kind=cost,
        method=method,
    )


def _check(
    budget: Any,
    cost: str,
    method: str,
    evaluations: int,
    seed: int,
    batch_size: int,
) -> list[float]:
    """The budgets as a list, all arguments sound."""
    for name, value, known in (
        ("cost", cost, COSTS),
        ("method", method, METHODS),
    ):
        rule = f"`{name}` must be one of {tuple(known)}."
        require(value in known, OWNER, rule, **{name: value})
    require_counts(OWNER, evaluations=evaluations, batch_size=batch_size)
    require(
        isinstance(seed, int) and seed >= 0,
        OWNER,
        "`seed` must be an integer of at least 0.",
        seed=seed,
    )
    budgets = [budget]
    if isinstance(budget, Sequence | np.ndarray) and not isinstance(
        budget, str
    ):
        budgets = list(budget)
    require(
        budgets and all(is_number(one) and one > 0 for one in budgets),
        OWNER,
        "`budget` must be a finite number above 0, or a list of at least one.",
        budget=budget,
    )
    return list(map(float, budgets))


def _check_model(graph: Any, holder: Any, method: str) -> None:
    gate = mixture_in(holder).gate
    require(
        isinstance(gate, Gate)
        and not isinstance(gate.find_router(), HashGating | HierarchicalGating),
        OWNER,
        "the gate must be a Gate that can do without any expert, which "
        "HashGating and HierarchicalGating cannot.",
        gate=gate,
    )
    calls = [node.operation for node in calls_of(graph, type(holder))]
    require(
        sum(layer is holder for layer in calls) == 1,
        OWNER,
        "the layer of experts must be called once.",
        mixture=holder.name,
        calls=[layer.name for layer in calls],
    )
    require(
        hasattr(graph.output, "shape"),
        OWNER,
        "`model` must have one output.",
        model=graph.name,
    )
    require(
        method != "exhaustive" or holder.num_experts <= MOST_EXHAUSTIVE,
        OWNER,
        f"method='exhaustive' takes at most {MOST_EXHAUSTIVE} experts.",
        num_experts=holder.num_experts,
    )


def _with_memory(holder: Any, cost_of: CostOf) -> CostOf:
    """The same costs, computed once; no model can do without a gate above 0."""
    gate, known = mixture_in(holder).gate, dict[Subset, float]()

    def remembered(indices: Sequence[int]) -> float:
        kept = tuple(indices)
        if kept not in known:
            served = have_weight(gate, kept)
            known[kept] = cost_of(kept) if served else math.inf
        return known[kept]

    return remembered


def _check_affordable(
    budgets: list[float], num_experts: int, cost_of: CostOf, cost: str
) -> None:
    cheapest = min(cost_of((expert,)) for expert in range(num_experts))
    require(
        min(budgets) >= cheapest,
        OWNER,
        "`budget` must reach the cost of the whole model with the cheapest "
        f"expert alone, {cheapest:,.6g}.",
        budget=min(budgets),
        cost=cost,
    )
