"""A mixture for several tasks: experts in common, a gate for each task."""

from collections.abc import Mapping
from typing import Any

import keras
from keras import ops

from moe_keras.errors import require
from moe_keras.layers.bank_list import BankList, read_banks
from moe_keras.layers.calls import (
    call_with,
    cast_floats,
    join_axes,
    read_layers,
)
from moe_keras.layers.fixed_arguments import FixedArguments
from moe_keras.layers.fusion.weighted_fusion import WeightedFusion
from moe_keras.layers.gate import Gate
from moe_keras.layers.gates_record import record_gates
from moe_keras.layers.input_checks import check_gates, check_mask
from moe_keras.layers.registration import register
from moe_keras.layers.task_banks import (
    OWNER,
    SHARED,
    TaskBanks,
    check_tasks,
    one_leading,
    one_mask,
    pick,
    read_own,
)
from moe_keras.ops import kernels
from moe_keras.ops.cost import Cost, count_layer


@register
class MultiGateMixture(FixedArguments, keras.layers.Layer):
    """y_t = sum_e g_te(x) f_e(x) for each task t: MMoE, or a level of PLE.

    All tasks share the experts, and each weighs them by a gate of its own: the
    multi-gate mixture of experts (MMoE). With `task_experts`, each task has
    experts of its own besides, which no other task's gate can reach: customised
    gate control (CGC). With a `shared_gate` as well, the result goes into a
    further layer of this kind: progressive layered extraction (PLE).

    An expert runs once, whichever tasks want it. Where all gates are soft it
    runs on all rows; where some are sparse, on the rows that some task has
    chosen it for. In both cases the outputs of all experts, `(N, E, U)`, stand
    in memory, unlike in `MixtureOfExperts`.

    Args:
        experts: `ExpertBank` or a list of them, which all tasks share.
        gates: dict of task -> `Gate`; of a task's own experts, if it has some,
            and then of the shared ones, in that order. The names of the tasks
            are those of the results; `"shared"` is none.
        task_experts: dict of task -> `ExpertBank` or a list of them, for all
            tasks or some; None for none. Defaults to `None`.
        shared_gate: `Gate` of all experts: those of each task, in the order of
            `gates`, then the shared ones; for a further layer of this kind.
            None for none. Defaults to `None`.
        fusion: layer from `[outputs, gates]` to the result, one for all tasks.
            `None` stands for `WeightedFusion()`. Defaults to `None`.
        **kwargs: `keras.layers.Layer` arguments.

    Call arguments:
        inputs: float `(B, ...)`, what all gates and banks read; or a dict such
            as this layer returns, with all tasks and `"shared"`: each task's
            gate and experts read the task's, the others `"shared"`.
        mask: bool or None, padding; see `GatingLayer`. Of a dict, the mask of
            one of its tensors is taken for all.
        training: bool or None.

    Returns:
        dict of task -> float `(P..., R...)`: P the leading axes of the gates, R
        the shape of one expert's output; with a `shared_gate`, `"shared"` too.

    Source: Ma et al. (2018), Modeling task relationships in multi-task learning
        with multi-gate mixture-of-experts, KDD, section 4.2 (MMoE); Tang et al.
        (2020), Progressive layered extraction, RecSys, section 4 (CGC, PLE).

    Example:
    >>> layer = MultiGateMixture(
    ...     DenseExpert(16, num_experts=4),
    ...     {"default": GatingLayer(4), "early_payment": GatingLayer(4)},
    ... )
    >>> sorted(layer(np.ones((8, 5), "float32")))
    ['default', 'early_payment']
    """

    def __init__(
        self,
        experts: Any,
        gates: Mapping[str, Gate],
        task_experts: Mapping[str, Any] | None = None,
        shared_gate: Gate | None = None,
        fusion: keras.layers.Layer | None = None,
        **kwargs: Any,
    ):
        # The gates read the inputs as they come; the experts get them cast.
        super().__init__(autocast=False, **kwargs)
        self.experts = read_banks(OWNER, experts)
        self.task_experts = read_own(task_experts)
        check_tasks(gates, self.task_experts, shared_gate, fusion)
        self.gates = dict(gates)
        self.shared_gate = shared_gate
        self.fusion = (
            WeightedFusion(name="fusion", dtype=self.dtype_policy)
            if fusion is None
            else fusion
        )
        readers = {**gates, **({SHARED: shared_gate} if shared_gate else {})}
        self.banks = TaskBanks(self.experts, self.task_experts, readers)
        # Whether experts run on the rows that chose them alone.
        self.runs_chosen = kernels.DYNAMIC_SHAPES and any(
            gate.is_sparse for gate in readers.values()
        )
        # Their number is known only then, which XLA refuses on TensorFlow.
        self.supports_jit = not (
            self.runs_chosen and keras.backend.backend() == "tensorflow"
        )
        self.supports_masking = True

    @property
    def tasks(self) -> list[str]:
        """The names of the tasks, in the order of `gates`."""
        return list(self.gates)

    def build(self, input_shape: Any) -> None:
        self._reads_dict = isinstance(input_shape, Mapping)
        require(
            not self._reads_dict or set(input_shape) == {*self.gates, SHARED},
            OWNER,
            f"`inputs` must be one tensor, or a dict with {SHARED!r} and each "
            "task.",
            inputs=list(input_shape),
            tasks=self.tasks,
        )
        for reader, gate in self.banks.gates.items():
            if not gate.built:
                gate.build(pick(input_shape, reader))
        leading = one_leading(self.banks.gates_shapes(input_shape))
        for owner, banks in self.banks.by_owner.items():
            banks.build(pick(input_shape, owner), leading)
        # Of one shape for all, and refused where it is not.
        shapes = [
            self.banks.fusion_shapes(input_shape, reader)
            for reader in self.banks.gates
        ]
        self.compute_output_shape(input_shape)
        if not self.fusion.built:
            self.fusion.build(shapes[0])

    def call(
        self, inputs: Any, mask: Any = None, training: bool | None = None
    ) -> dict[str, Any]:
        mask = one_mask(mask)
        gates = {}
        for reader, gate in self.banks.gates.items():
            read = pick(inputs, reader)
            found = call_with(gate, read, mask=mask, training=training)
            check_gates(OWNER, found, read, gate.num_experts)
            gates[reader] = found
        outputs = {
            owner: self._run(
                banks,
                pick(inputs, owner),
                self.banks.wanted(owner, gates),
                mask,
                training,
            )
            for owner, banks in self.banks.by_owner.items()
        }
        return {
            reader: self.fusion(
                [*(outputs[owner] for owner in self.banks.read(reader)), found]
            )
            for reader, found in gates.items()
        }

    def _run(
        self,
        banks: BankList,
        inputs: Any,
        wanted: Any,
        mask: Any,
        training: bool | None,
    ) -> Any:
        """Experts on all rows that want them, `(P..., E, *R)`."""
        depth = len(wanted.shape) - 1
        check_mask(OWNER, mask, inputs.shape, len(inputs.shape) - depth)
        leading = ops.shape(wanted)[:depth]
        if not banks.keeps_rows:
            inputs = cast_floats(inputs, self.compute_dtype)
        rows, row_mask = join_axes(inputs, depth), join_axes(mask, depth)
        wanted = ops.cast(join_axes(wanted, depth), self.compute_dtype)
        dispatch = "auto" if self.runs_chosen else "dense"
        # Gates inside an expert are of the rows that it was given.
        with record_gates():
            found = banks.run_dense(rows, wanted, row_mask, training, dispatch)
        joined = found[0] if len(found) == 1 else ops.concatenate(found, axis=1)
        if depth == 1:
            return joined
        return ops.reshape(joined, (*leading, *ops.shape(joined)[1:]))

    def count_cost(self, shapes: Any, load: Any = None) -> Cost:
        """Multiply-adds per example; see `moe_keras.ops.cost`.

        An expert counts once, however many tasks read it. What share of the
        rows it sees under sparse gates is that of even and independent choices:
        1 - prod (1 - load).

        Args:
            shapes: a list with the shape of `inputs`, or of each of them in the
                order of their names.
            load: not used.
        """
        input_shape = shapes[0]
        if self._reads_dict:
            names = sorted([*self.gates, SHARED])
            input_shape = dict(zip(names, shapes[: len(names)], strict=True))
        leading = one_leading(self.banks.gates_shapes(input_shape))
        cost = Cost(0, 0)
        for reader, gate in self.banks.gates.items():
            cost += count_layer(gate, [pick(input_shape, reader)])
            cost += count_layer(
                self.fusion,
                self.banks.fusion_shapes(input_shape, reader),
                gate.assumed_load,
            )
        loads = self.banks.loads()
        for owner, banks in self.banks.by_owner.items():
            shape = pick(input_shape, owner)
            cost += banks.count_cost(shape, leading, loads[owner])
        return cost

    def compute_output_shape(
        self, input_shape: Any
    ) -> dict[str, tuple[int | None, ...]]:
        return {
            reader: tuple(
                self.fusion.compute_output_shape(
                    self.banks.fusion_shapes(input_shape, reader)
                )
            )
            for reader in self.banks.gates
        }

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        """The mask goes on where every position has outputs of its own."""
        mask = one_mask(mask)
        if mask is None or self.banks.reads_samples:
            return None
        shape = pick(inputs, SHARED).shape
        gates_shape = self.gates[self.tasks[0]].compute_output_shape(shape)
        if len(gates_shape) != len(shape):
            return None
        return dict.fromkeys(self.banks.gates, mask)

    def get_config(self) -> dict[str, Any]:
        serialize = keras.saving.serialize_keras_object
        return {
            **super().get_config(),
            "experts": [serialize(bank) for bank in self.experts],
            "gates": {t: serialize(gate) for t, gate in self.gates.items()},
            "task_experts": {
                task: [serialize(bank) for bank in banks]
                for task, banks in self.task_experts.items()
            }
            or None,
            "shared_gate": None
            if self.shared_gate is None
            else serialize(self.shared_gate),
            "fusion": serialize(self.fusion),
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "MultiGateMixture":
        names = ("experts", "gates", "task_experts", "shared_gate", "fusion")
        return cls(**read_layers(config, *names))
