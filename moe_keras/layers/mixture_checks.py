"""What the arguments of a `MixtureOfExperts` must be."""

from typing import Any

import keras

from moe_keras.errors import is_number, require
from moe_keras.ops.capacity import HUNDREDTHS

OWNER = "MixtureOfExperts"
OVERFLOWS = ("report", "error")


def check_parts(
    owner: str,
    num_experts: int,
    gate: Any,
    fusion: Any = None,
    shared: Any = None,
) -> None:
    """Refuse parts that are no layers, and a gate of another width."""
    for name, part, such_as in (
        ("gate", gate, f"GatingLayer({num_experts})"),
        ("fusion", fusion, "WeightedFusion(), or None"),
        ("shared", shared, "keras.layers.Dense(64), or None"),
    ):
        require(
            isinstance(part, keras.layers.Layer)
            or (name != "gate" and part is None),
            owner,
            f"`{name}` must be a Keras layer, such as {such_as}.",
            **{name: part},
        )
    check_width(owner, getattr(gate, "num_experts", num_experts), num_experts)
    require(
        not getattr(fusion, "loses_scale", False)
        or not getattr(gate, "learns_by_scale", False),
        owner,
        "`fusion` must not be a linear pool where a row gets a single gate, or "
        "a single group: a cross-entropy cancels that factor, and the router's "
        "gradient with it. Use LogitFusion('logarithmic'), or a larger `top_k`"
        ".",
        fusion=fusion,
        gate=gate,
    )


def check_width(owner: str, width: int | None, num_experts: int) -> None:
    """Refuse a gate with another number of outputs than there are experts."""
    require(
        width == num_experts,
        owner,
        f"`gate` must have one output for each of the {num_experts} experts.",
        gate_outputs=width,
    )


def check_capacity(
    owner: str, capacity_factor: Any, eval_capacity_factor: Any, overflow: Any
) -> None:
    """Refuse what capacity dispatch could not work with."""
    factors = (capacity_factor, eval_capacity_factor)
    require(
        all(
            is_number(factor) and factor >= 1 / HUNDREDTHS for factor in factors
        ),
        owner,
        f"capacity factors must be numbers of at least {1 / HUNDREDTHS}.",
        capacity_factor=capacity_factor,
        eval_capacity_factor=eval_capacity_factor,
    )
    require(
        overflow in OVERFLOWS,
        owner,
        f"`overflow` must be one of {OVERFLOWS}.",
        overflow=overflow,
    )


def check_shared(shared_shape: Any, fused_shape: Any) -> None:
    """Refuse a shared path whose outputs are not those of the experts."""
    require(
        tuple(shared_shape)[1:] == tuple(fused_shape)[1:],
        OWNER,
        "`shared` must return what the experts return.",
        shared_shape=tuple(shared_shape),
        fused_shape=tuple(fused_shape),
    )
