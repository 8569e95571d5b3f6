"""Whose experts a `MultiGateMixture` has, and which gates are about them."""

from collections.abc import Mapping
from typing import Any

from keras import ops

from moe_keras.errors import require
from moe_keras.layers.bank_list import BankList, read_banks
from moe_keras.layers.gate import Gate
from moe_keras.layers.mixture_checks import check_parts, check_width

OWNER = "MultiGateMixture"
# The name of what belongs to no task, among the tasks' names.
SHARED = "shared"


class TaskBanks:
    """The experts of each task and the shared ones, and who reads them.

    An owner of experts is a task, or `"shared"`. A reader is whoever has a
    gate: a task, which reads its own experts and the shared ones, or
    `"shared"`, which reads all.

    Args:
        experts: list of the shared banks.
        task_experts: of the tasks that have some, lists of their own.
        gates: by reader; the tasks in their order.

    Attributes:
        by_owner: a `BankList` for each owner, `"shared"` last.
    """

    def __init__(
        self,
        experts: list[Any],
        task_experts: Mapping[str, list[Any]],
        gates: Mapping[str, Gate],
    ) -> None:
        self.gates = gates
        self.by_owner = {
            owner: BankList(list(banks), OWNER)
            for owner, banks in (*task_experts.items(), (SHARED, experts))
        }
        samples = self.reads_samples
        for reader, gate in gates.items():
            wanted = sum(
                self.by_owner[owner].num_experts for owner in self.read(reader)
            )
            check_width(f"{OWNER}, {reader!r}", gate.num_experts, wanted)
            gate.serves_samples = samples

    @property
    def reads_samples(self) -> bool:
        """Whether an expert reads a whole sample."""
        return any(banks.reads_samples for banks in self.by_owner.values())

    def read(self, reader: str) -> list[str]:
        """Whose experts a gate is about, in the order of its columns."""
        owners = list(self.gates) if reader == SHARED else [reader]
        own = [one for one in owners if one in self.by_owner and one != SHARED]
        return [*own, SHARED]

    def columns(self, reader: str) -> dict[str, slice]:
        """Which columns of a gate are of whose experts."""
        found, start = {}, 0
        for owner in self.read(reader):
            end = start + self.by_owner[owner].num_experts
            found[owner] = slice(start, end)
            start = end
        return found

    def wanted(self, owner: str, gates: Mapping[str, Any]) -> Any:
        """Which experts of an owner some reader wants, bool `(P..., E)`.

        Args:
            owner: of the experts.
            gates: by reader, float `(P..., E_reader)`.
        """
        wanted = None
        for reader, found in gates.items():
            columns = self.columns(reader).get(owner)
            if columns is not None:
                chosen = found[..., columns] != 0
                wanted = (
                    chosen if wanted is None else ops.logical_or(wanted, chosen)
                )
        return wanted

    def gates_shapes(self, input_shape: Any) -> dict[str, Any]:
        """By reader; `input_shape` is one shape, or a dict of them."""
        return {
            reader: tuple(gate.compute_output_shape(pick(input_shape, reader)))
            for reader, gate in self.gates.items()
        }

    def fusion_shapes(self, input_shape: Any, reader: str) -> list[Any]:
        """Of what the fusion is given: the banks' outputs, then the gates."""
        gates_shape = self.gates_shapes(input_shape)[reader]
        found = []
        for owner in self.read(reader):
            found += self.by_owner[owner].output_shapes(
                pick(input_shape, owner), gates_shape[:-1]
            )
        return [*found, gates_shape]

    def loads(self) -> dict[str, list[float]]:
        """By owner, the share of the rows that each expert is to see.

        It is that of even and independent choices of all its readers.
        """
        missed = {
            owner: [1.0] * banks.num_experts
            for owner, banks in self.by_owner.items()
        }
        for reader, gate in self.gates.items():
            load = gate.assumed_load
            for owner, columns in self.columns(reader).items():
                pairs = zip(missed[owner], load[columns], strict=True)
                missed[owner] = [one * (1 - share) for one, share in pairs]
        return {
            owner: [1 - share for share in shares]
            for owner, shares in missed.items()
        }


def read_own(task_experts: Any) -> dict[str, list[Any]]:
    """`task_experts` as a dict of lists of banks, empty for None."""
    require(
        task_experts is None or isinstance(task_experts, Mapping),
        OWNER,
        "`task_experts` must be a dict of banks by task, or None.",
        task_experts=task_experts,
    )
    given = task_experts or {}
    return {task: read_banks(OWNER, banks) for task, banks in given.items()}


def check_tasks(
    gates: Any,
    task_experts: Mapping[str, Any],
    shared_gate: Any,
    fusion: Any,
) -> None:
    """Refuse names that are no tasks, and parts that are no layers."""
    require(
        isinstance(gates, Mapping)
        and gates
        and all(isinstance(task, str) and task for task in gates)
        and SHARED not in gates,
        OWNER,
        f"`gates` must be a dict of gates by task; {SHARED!r} is no task.",
        gates=gates,
    )
    require(
        set(task_experts) <= set(gates),
        OWNER,
        "`task_experts` must name tasks that have a gate.",
        task_experts=list(task_experts),
        gates=list(gates),
    )
    readers = {**gates}
    if shared_gate is not None:
        readers[SHARED] = shared_gate
    for reader, gate in readers.items():
        require(
            isinstance(gate, Gate),
            OWNER,
            "gates must be of the kind Gate, such as GatingLayer.",
            **{reader: gate},
        )
        check_parts(OWNER, gate.num_experts, gate, fusion)


def pick(values: Any, name: str) -> Any:
    """What a reader reads: its own of a dict, or what all read.

    Args:
        values: tensor or shape, or a dict of these.
        name: of a task, or `"shared"`.

    Raises:
        ValueError: for a dict that has not got it.
    """
    if not isinstance(values, Mapping):
        return values
    require(
        name in values,
        OWNER,
        f"`inputs` must be one tensor, or a dict with {name!r}.",
        inputs=list(values),
    )
    return values[name]


def one_mask(mask: Any) -> Any:
    """Of a dict of masks, one that is there; None where there is none."""
    if not isinstance(mask, Mapping):
        return mask
    return next((one for one in mask.values() if one is not None), None)


def one_leading(shapes: Mapping[str, Any]) -> Any:
    """The axes that all gates have in front of the experts.

    Raises:
        ValueError: where they differ, as of gates of samples and of positions.
    """
    leading = [tuple(shape[:-1]) for shape in shapes.values()]
    require(
        all(one == leading[0] for one in leading),
        OWNER,
        "all gates must be of samples, or all of positions.",
        gates_shapes=dict(shapes),
    )
    return leading[0]
