"""The ways from gates to a fused result: dispatch, experts, and back.

Each takes the mixture, rows `(N, *row)`, their choice, the rows' mask and
`training`, and returns `(N, *R)` and the share of choices that it dropped, None
where it cannot drop any. All but the dense one hand the fusion K picked outputs
per row instead of E, so that `(N, E, U)` never exists.
"""

from typing import Any, NamedTuple

import keras
from keras import ops

from moe_keras.layers.calls import call_with
from moe_keras.layers.gates_record import outputs_record
from moe_keras.ops import kernels
from moe_keras.ops.capacity import CapacityPlan, capacity, keep_mass
from moe_keras.ops.dispatch import FEW_CHOICES, SortedPlan, choose
from moe_keras.ops.fusion import clear_unheard

OVERFLOW = (
    "MixtureOfExperts: choices were dropped for want of capacity, and "
    "`overflow` is 'error'; raise the capacity factor."
)


class Choice(NamedTuple):
    """What the gate said.

    Attributes:
        gates: float `(N, E)`.
        picks: `Picks` of these, `(N, K)`, or None.
    """

    gates: Any
    picks: Any

    def picked(self, top_k: int) -> tuple[Any, Any]:
        """Experts and weights `(N, K)`; see `choose`."""
        return choose(self.gates, top_k, self.picks)


def _fuse(mixture: Any, inputs: list[Any]) -> Any:
    """The fusion of outputs that are 0 where no expert was chosen."""
    return call_with(mixture.fusion, inputs, cleared=True)


def run_dense(
    mixture: Any, rows: Any, choice: "Choice", mask: Any, training: bool | None
) -> tuple[Any, Any]:
    """Every expert on every row: the oracle of the others."""
    record = outputs_record(mixture)
    if record is not None:
        return _run_watched(record, rows, choice.gates, mask, training), None
    outputs = mixture.banks.run_dense(rows, choice.gates, mask, training)
    return _fuse(mixture, [*outputs, choice.gates]), None


def _run_watched(
    record: Any, rows: Any, gates: Any, mask: Any, training: bool | None
) -> Any:
    """The same, where somebody wants what experts return behind a gate of 0."""
    mixture = record.mixture
    outputs = mixture.banks.run_dense(
        rows, ops.ones_like(gates), mask, training
    )
    record.gates = gates
    record.outputs = ops.concatenate(outputs, axis=1)
    cleared, start = [], 0
    for bank in outputs:
        end = start + bank.shape[1]
        cleared.append(clear_unheard(bank, gates[:, start:end]))
        start = end
    return _fuse(mixture, [*cleared, gates])


def run_sorted(
    mixture: Any, rows: Any, choice: "Choice", mask: Any, training: bool | None
) -> tuple[Any, Any]:
    """Rows sorted by expert; only the chosen ones run, none is dropped."""
    experts, weights = choice.picked(most_choices(mixture))
    plan = SortedPlan(experts, mixture.num_experts)
    outputs = mixture.banks.run_groups(
        plan.dispatch(rows),
        plan.group_sizes,
        None if mask is None else plan.dispatch(mask),
        training,
    )
    return _fuse(mixture, [plan.combine(outputs), weights]), None


def run_gather(
    mixture: Any, rows: Any, choice: "Choice", mask: Any, training: bool | None
) -> tuple[Any, Any]:
    """The chosen experts' kernels brought to the rows."""
    experts, weights = choice.picked(most_choices(mixture))
    outputs = mixture.banks.run_picked(rows, experts, training)
    return mixture.fusion([outputs, weights]), None


def run_capacity(
    mixture: Any, rows: Any, choice: "Choice", mask: Any, training: bool | None
) -> tuple[Any, Any]:
    """A buffer of fixed size for each expert."""
    top_k = most_choices(mixture)
    experts, weights = choice.picked(top_k)
    factor = (
        mixture.capacity_factor if training else mixture.eval_capacity_factor
    )
    places = capacity(ops.shape(rows)[0], top_k, mixture.num_experts, factor)
    plan = CapacityPlan(
        experts, weights, mixture.num_experts, places, mixture.batch_priority
    )
    if mixture.overflow == "error":
        kernels.require_true(plan.dropped_share == 0, OVERFLOW)
    outputs = mixture.banks.run_slots(
        plan.dispatch(rows),
        None if mask is None else plan.dispatch(mask),
        training,
    )
    weights = keep_mass(weights, plan.kept)
    fused = _fuse(mixture, [plan.combine(outputs), weights])
    return fused, plan.dropped_share


def find_dispatch(mixture: Any, rows: Any) -> str:
    """What runs for so many rows.

    Args:
        mixture: a `MixtureOfExperts`.
        rows: N where it is known when the layer is traced, else None. JAX may
            have a symbol for it: where Keras looks for the shapes of a layer
            around this one, and in a program exported for any batch.
    """
    symbolic = not (rows is None or isinstance(rows, int))
    dispatch: str = mixture.dispatch
    if dispatch == "auto":
        dispatch = _pick_dispatch(mixture, None if symbolic else rows)
    if symbolic and not kernels.DYNAMIC_SHAPES and dispatch in _COUNTED:
        return "dense"
    return dispatch


def _pick_dispatch(mixture: Any, rows: int | None) -> str:
    """What `dispatch="auto"` stands for."""
    if not getattr(mixture.gate, "is_sparse", False):
        return "dense"
    pickable = mixture.banks.can_pick
    if pickable and rows is not None:
        if rows * most_choices(mixture) <= FEW_CHOICES:
            return "gather"
    # With static shapes, kernels that can be fetched can be multiplied in
    # groups; other experts would run on every row all the same.
    return "sorted" if kernels.DYNAMIC_SHAPES or pickable else "dense"


def compiles(dispatch: str, gate: Any) -> bool:
    """Whether XLA, behind jit on TensorFlow, takes a mixture of these parts.

    For layers that make their mixture in `build`: Keras asks in `compile`,
    which may come before.
    """
    sorts = dispatch == "sorted" or (
        dispatch == "auto" and getattr(gate, "is_sparse", False)
    )
    return not (sorts and keras.backend.backend() == "tensorflow")


def most_choices(mixture: Any) -> int:
    """K: the most experts that a row can have."""
    choices: int = getattr(mixture.gate, "choices", mixture.num_experts)
    return choices


# Where shapes are static, their programs are made for a number of rows.
_COUNTED = ("sorted", "capacity")

DISPATCHES = {
    "dense": run_dense,
    "sorted": run_sorted,
    "gather": run_gather,
    "capacity": run_capacity,
}
