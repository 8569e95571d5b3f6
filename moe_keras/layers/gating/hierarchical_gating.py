"""Two levels: gate of an expert = gate of its group * gate in the group."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from moe_keras.errors import is_count, require
from moe_keras.layers.gate import Gate
from moe_keras.layers.initializers import numbered
from moe_keras.layers.registration import register
from moe_keras.layers.router_losses import (
    SPARSE_LOSSES,
    RouterLosses,
    check_coefficients,
)
from moe_keras.layers.router_scores import LinearScores, router_initializer
from moe_keras.ops import balance, gating, service
from moe_keras.ops.cost import Cost
from moe_keras.ops.cost_rules import size_of


@register
class HierarchicalGating(Gate):
    """A softmax over groups of experts, times a softmax within each group.

    Expert number s of group g is expert g * S + s of the mixture. Both levels
    may choose; a level that keeps several divides their gates by their sum,
    and one that keeps a single one leaves its probability, as `GatingLayer`.

    Args:
        groups: int > 0. G.
        experts_per_group: int > 0. S; the number of experts E is G * S.
        top_groups: int in 1..G: how many groups a row reaches; None for all.
            Defaults to `None`.
        top_k: int in 1..S: how many experts a row reaches in each of its
            groups; None for all. Defaults to `None`.
        level: `"sample"`, `"position"` or `"auto"`; see `GatingLayer`.
            Defaults to `"auto"`.
        balance_loss: float >= 0. Coefficient of the Switch balance loss over
            all E experts, used when the gate is sparse. Defaults to `1e-2`
            (Switch Transformer).
        z_loss: float >= 0. Coefficient of the z-loss of the groups plus that of
            the experts in their groups, used when the gate is sparse. Defaults
            to `1e-3` (ST-MoE).
        kernel_initializer: for the kernels of both levels. `None` stands for a
            truncated normal with a tenth of the usual variance (Switch
            Transformer, section 2.4). Defaults to `None`.
        **kwargs: `keras.layers.Layer` arguments.

    Call arguments:
        inputs: float `(..., D)`.
        mask: bool or None, padding: gates of 0, and no part in a loss. See
            `Gate`.
        expert_mask: bool `(E,)`, or `(..., E)` with leading axes of the gates,
            or None; a group without an expert in service is left out. See
            `Gate`.
        training: bool or None; losses are added in training.

    Returns:
        float gates: `(..., E)` at the position level, `(B, E)` at the sample
        level; in [0, 1], 0 where an expert is not chosen.

    Source: Jordan & Jacobs (1994), Neural Computation 6(2), eq. 1-4; Shazeer et
        al. (2017), arXiv:1701.06538, appendix B, eq. 12.

    Example:
    >>> HierarchicalGating(2, 4, 1, 2)(np.ones((3, 8), "float32")).shape
    TensorShape([3, 8])
    """

    def __init__(
        self,
        groups: int,
        experts_per_group: int,
        top_groups: int | None = None,
        top_k: int | None = None,
        level: str = "auto",
        balance_loss: float = 1e-2,
        z_loss: float = 1e-3,
        kernel_initializer: Any = None,
        **kwargs: Any,
    ):
        for name, value in (
            ("groups", groups),
            ("experts_per_group", experts_per_group),
        ):
            require(
                is_count(value),
                "HierarchicalGating",
                f"`{name}` must be an integer above 0.",
                **{name: value},
            )
        for name, value, most, rule in (
            ("top_groups", top_groups, groups, "groups"),
            ("top_k", top_k, experts_per_group, "experts_per_group"),
        ):
            require(
                value is None or (is_count(value) and value <= most),
                "HierarchicalGating",
                f"`{name}` must be an integer in 1..{rule}, or None.",
                **{name: value, rule: most},
            )
        check_coefficients(
            "HierarchicalGating", balance_loss=balance_loss, z_loss=z_loss
        )
        super().__init__(groups * experts_per_group, top_k, level, **kwargs)
        self.groups = groups
        self.experts_per_group = experts_per_group
        self.top_groups = top_groups
        self.balance_loss = balance_loss
        self.z_loss = z_loss
        self.kernel_initializer = router_initializer(kernel_initializer)

    @property
    def choices(self) -> int:
        """K: how many experts a row reaches, over all its groups."""
        groups = self.groups if self.top_groups is None else self.top_groups
        within = self.experts_per_group if self.top_k is None else self.top_k
        return groups * within

    @property
    def learns_by_scale(self) -> bool:
        """Whether the groups' router, or both do; see `Gate`."""
        lone_group = self.top_groups == 1 and self.groups > 1
        return lone_group or super().learns_by_scale

    def kept_config(self, indices: Sequence[int]) -> dict[str, Any]:
        config = self.get_config()
        sizes = np.bincount(np.asarray(indices) // self.experts_per_group)
        left = set(sizes[sizes > 0].tolist())
        require(
            len(left) == 1,
            "HierarchicalGating",
            "all groups that are kept must keep the same number of experts.",
            indices=list(indices),
            experts_by_group=sizes.tolist(),
        )
        config["groups"] = int(np.sum(sizes > 0))
        (config["experts_per_group"],) = left
        for name, most in (
            ("top_groups", "groups"),
            ("top_k", "experts_per_group"),
        ):
            if config[name] is not None:
                config[name] = min(config[name], config[most])
        return config

    def copy_own(self, source: Any, indices: Sequence[int]) -> None:
        groups = sorted({i // source.experts_per_group for i in indices})
        for name, kept in (("group_kernel", groups), ("kernel", indices)):
            kernel = ops.convert_to_numpy(getattr(source, name))
            getattr(self, name).assign(kernel[:, kept])

    def count_own(self, indices: Sequence[int]) -> int:
        groups = {index // self.experts_per_group for index in indices}
        return self.kernel.shape[0] * (len(groups) + len(indices))

    def build(self, input_shape: Any) -> None:
        width = self.check_width(input_shape)
        self.group_kernel = self.add_router_weight(
            (width, self.groups),
            numbered(self.kernel_initializer, 1),
            "group_kernel",
        )
        LinearScores.build(self, width)
        if self.is_sparse:
            self.log_losses(*SPARSE_LOSSES)

    def gate_rows(
        self, rows: Any, real: Any, in_service: Any, training: bool | None
    ) -> Any:
        outer = ops.matmul(rows, self.group_kernel)
        flat = LinearScores.score(self, rows)
        good = ops.logical_and(
            service.finite_rows(outer), service.finite_rows(flat)
        )
        outer = service.clear_rows(outer, good)
        inner = self._grouped(service.clear_rows(flat, good))
        groups_in_service = experts_in_service = None
        if in_service is not None:
            experts_in_service = self._grouped(in_service)
            groups_in_service = ops.any(experts_in_service, axis=-1)
        outer = service.exclude(outer, groups_in_service)
        inner = service.exclude(inner, experts_in_service)
        groups = gating.choose_gates(
            outer, self.top_groups, in_service=groups_in_service
        )
        within = gating.choose_gates(
            inner, self.top_k, in_service=experts_in_service
        )
        gates = within.gates * ops.expand_dims(groups.gates, -1)
        gates = self._joined(gates)
        if training and self.is_sparse:
            chosen = ops.logical_and(
                within.chosen, ops.expand_dims(groups.chosen, -1)
            )
            real = real * ops.cast(good, real.dtype)
            losses = RouterLosses(self, self._joined(chosen), real, in_service)
            self._add_losses(losses, outer, inner, groups_in_service)
        return ops.where(ops.expand_dims(good, -1), gates, float("nan"))

    def _add_losses(
        self, losses: RouterLosses, outer: Any, inner: Any, in_service: Any
    ) -> None:
        if self.balance_loss:
            shares = gating.softmax(inner) * ops.expand_dims(
                gating.softmax(outer), -1
            )
            losses.add_balance(self.balance_loss, self._joined(shares))
        if self.z_loss:
            # Each group of a row is a row for the experts in it.
            real = ops.expand_dims(losses.real, -1)
            each = ops.ones_like(losses.flat(outer))
            if in_service is not None:
                serving = ops.logical_and(
                    in_service, ops.ones_like(outer, dtype="bool")
                )
                each = ops.cast(losses.flat(serving), each.dtype)
            within = balance.z_loss(
                losses.flat(inner), ops.reshape(real * each, (-1,))
            )
            losses.add_z(self.z_loss, outer, within)

    def _grouped(self, tensor: Any) -> Any:
        """`(..., E)` to `(..., G, S)`."""
        leading = ops.shape(tensor)[:-1]
        return ops.reshape(
            tensor, (*leading, self.groups, self.experts_per_group)
        )

    def _joined(self, tensor: Any) -> Any:
        """`(..., G, S)` to `(..., E)`."""
        leading = ops.shape(tensor)[:-2]
        return ops.reshape(tensor, (*leading, self.num_experts))

    def count_cost(self, shapes: Any, load: Any = None) -> Cost:
        """Multiply-adds per example, of both levels."""
        rows = size_of(self.compute_output_shape(shapes[0])[1:-1])
        count = rows * shapes[0][-1] * (self.groups + self.num_experts)
        return Cost(count, count)

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        del config["num_experts"]
        return {
            **config,
            "groups": self.groups,
            "experts_per_group": self.experts_per_group,
            "top_groups": self.top_groups,
            "balance_loss": self.balance_loss,
            "z_loss": self.z_loss,
            "kernel_initializer": keras.initializers.serialize(
                self.kernel_initializer
            ),
        }
