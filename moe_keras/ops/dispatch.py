"""Dispatch: which rows go to which expert, and the way back.

`SortedPlan` is dropless: it sorts the N*K (row, choice) pairs by expert, so
that every expert finds its rows in one run, and undoes the sort afterwards. The
way back is a gather and a sum over K, never a scatter-add: converters turn a
scatter-add with repeated indices into one that overwrites.
"""

from typing import Any

from keras import ops

from moe_keras.ops import kernels

# Up to here, fetching the chosen experts' kernels beats sorting the rows.
FEW_CHOICES = 4


def choose(gates: Any, top_k: int, picks: Any = None) -> tuple[Any, Any]:
    """The experts and the weights `(N, K)` of gates with at most K above 0.

    Args:
        gates: float `(N, E)`.
        top_k: int, K.
        picks: `Picks` of these gates, or None where they have to be found.

    Returns:
        int `(N, K)`, best first, E where a row has fewer; float `(N, K)`.
    """
    if picks is None:
        weights, experts = kernels.top_k(gates, top_k)
    else:
        experts, weights = picks
    num_experts = gates.shape[-1]
    experts = ops.cast(experts, "int32")
    return ops.where(weights == 0, num_experts, experts), weights


class SortedPlan:
    """The rows of each expert, as runs of one sorted list.

    Args:
        experts: int `(N, K)`, the experts of each row; E marks "no expert".
        num_experts: int, E.

    Attributes:
        group_sizes: int `(E,)`, rows of each expert; their sum is the number
            of routed rows, at most M = N*K.
    """

    def __init__(self, experts: Any, num_experts: int) -> None:
        self.num_choices = experts.shape[-1]
        flat = ops.reshape(ops.cast(experts, "int32"), (-1,))
        order = ops.cast(kernels.sort_groups(flat, num_experts), "int32")
        self.group_sizes = ops.cast(
            kernels.count_groups(flat, num_experts), "int32"
        )
        self._routed = ops.sum(self.group_sizes)
        # Rows without an expert sort behind all others.
        self._order = kernels.first_rows(order, self._routed)
        self._slots = ops.cast(kernels.invert(order), "int32")

    @classmethod
    def from_gates(cls, gates: Any) -> "SortedPlan":
        """The plan with K = E: choice e of a row is expert e, or none.

        Args:
            gates: float `(N, E)`.
        """
        num_experts = gates.shape[-1]
        every = ops.arange(num_experts, dtype="int32")
        return cls(ops.where(gates == 0, num_experts, every), num_experts)

    def dispatch(self, inputs: Any) -> Any:
        """`(N, ...) -> (M, ...)`: a copy of its row for every choice, sorted.

        Where shapes may depend on data, only the routed rows are there.
        """
        sources = self._order // self.num_choices
        return kernels.with_adjoint(
            lambda rows: ops.take(rows, sources, axis=0),
            lambda gradient: ops.sum(self._unsort(gradient), axis=1),
            inputs,
        )

    def combine(self, outputs: Any) -> Any:
        """`(M, ...) -> (N, K, ...)`: zeros where a row has no expert."""
        return kernels.with_adjoint(self._unsort, self._sort, outputs)

    def _sort(self, picked: Any) -> Any:
        """`(N, K, ...) -> (M, ...)`: every choice at its place in the list."""
        flat = ops.reshape(picked, (-1, *ops.shape(picked)[2:]))
        return ops.take(flat, self._order, axis=0)

    def _unsort(self, outputs: Any) -> Any:
        found = self._slots < self._routed
        picked = kernels.take_or_zeros(outputs, self._slots, found)
        tail = ops.shape(outputs)[1:]
        return ops.reshape(picked, (-1, self.num_choices, *tail))


def experts_of_runs(group_sizes: Any, rows: int) -> Any:
    """The expert of each of `rows` sorted rows; behind the last run, E - 1.

    Args:
        group_sizes: int `(E,)`.
        rows: int, M.
    """
    ends = ops.cumsum(group_sizes)
    places = ops.arange(rows, dtype=ends.dtype)
    passed = ops.sum(ops.cast(places[:, None] >= ends, "int32"), axis=-1)
    return ops.minimum(passed, group_sizes.shape[0] - 1)


def map_groups(
    run: Any, experts: list[Any], rows: Any, group_sizes: Any
) -> Any:
    """Apply expert e to run e of the rows and join the results.

    Args:
        run: called as `run(expert, *groups)` for each expert; where sizes are
            not known before the program runs, also for one without rows.
        experts: list of E experts, of whatever kind `run` takes.
        rows: tuple of tensors `(M, ...)` that share their first axis.
        group_sizes: int `(E,)`.

    Returns:
        `(M, ...)`, in the order of the rows.
    """
    parts = [
        kernels.split_rows(tensor, group_sizes, len(experts)) for tensor in rows
    ]
    busy = kernels.busy_groups(group_sizes)
    results = [
        run(experts[number], *(groups[number] for groups in parts))
        for number in (range(len(experts)) if busy is None else busy)
    ]
    return ops.concatenate(results, axis=0)
