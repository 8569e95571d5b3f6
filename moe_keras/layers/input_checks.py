"""What the tensors of a call must be: their dtype, and the shape of masks."""

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from moe_keras.errors import require


class ReadsOneTensor:
    """A layer whose `inputs` are one tensor; anything else is refused at once.

    Before Keras builds the layer: it would ask for the shape first, and fail
    over a dict of shapes.
    """

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        inputs = args[0] if args else kwargs.get("inputs")
        if inputs is None or isinstance(inputs, Mapping | list | tuple):
            _refuse_several(type(self).__name__, inputs)
        return super().__call__(*args, **kwargs)  # type: ignore[misc]


def _refuse_several(owner: str, inputs: Any) -> None:
    parts = [*inputs.values()] if isinstance(inputs, Mapping) else inputs or []
    plain = not all(hasattr(part, "shape") for part in parts)
    advice = (
        "make an array of it first, with numpy.asarray"
        if parts and plain
        else "join several first, as keras.layers.Concatenate does; of the "
        "columns of a table, TableColumns makes one"
    )
    shown = None if inputs is None else type(inputs).__name__
    if isinstance(inputs, Mapping):
        shown = list(inputs)
    elif parts and not plain:
        shown = [tuple(part.shape) for part in parts]
    require(
        False,
        owner,
        f"`inputs` must be one tensor: {advice}.",
        inputs=shown,
    )


def check_floats(owner: str, inputs: Any) -> None:
    """Refuse inputs that are no floats, such as identifiers.

    Args:
        owner: the layer that was called.
        inputs: tensor.
    """
    dtype = keras.backend.standardize_dtype(inputs.dtype)
    require(
        keras.backend.is_float_dtype(dtype),
        owner,
        "`inputs` must be of a float dtype.",
        dtype=dtype,
    )


def check_integers(owner: str, inputs: Any) -> str:
    """Refuse inputs that are no integers, such as ids cast to floats.

    Args:
        owner: the layer that was called.
        inputs: tensor.

    Returns:
        The dtype's name.
    """
    dtype: str = keras.backend.standardize_dtype(inputs.dtype)
    require(
        keras.backend.is_int_dtype(dtype),
        owner,
        "`inputs` must be of an integer dtype.",
        dtype=dtype,
    )
    return dtype


def check_identifiers(owner: str, inputs: Any) -> None:
    """Refuse inputs that are no identifiers `(B, T)` of an integer dtype.

    Args:
        owner: the layer that was called.
        inputs: tensor.
    """
    dtype = keras.backend.standardize_dtype(inputs.dtype)
    require(
        keras.backend.is_int_dtype(dtype) and len(inputs.shape) == 2,
        owner,
        "`inputs` must be identifiers (B, T) of an integer dtype.",
        dtype=dtype,
        shape=tuple(inputs.shape),
    )


def known_width(owner: str, input_shape: Any) -> int:
    """D of inputs `(..., D)`, which must be known.

    Args:
        owner: the layer that is built.
        input_shape: with one leading axis at least.
    """
    require(
        len(input_shape) > 1 and input_shape[-1] is not None,
        owner,
        "`inputs` must be (..., D) with a known D.",
        input_shape=tuple(input_shape),
    )
    width: int = input_shape[-1]
    return width


def check_mask(owner: str, mask: Any, shape: Any, behind: int = 0) -> None:
    """Refuse a mask that has not got the axes of the positions.

    A mask that would only be broadcast, as `(T,)` or `(B, 1)`, is refused too:
    it is a mistake more often than it is meant.

    Args:
        owner: the layer that was called.
        mask: bool, or None for nothing to check.
        shape: the axes that the mask must have; None for a size that is not
            known. The last `behind` of them may be left out.
        behind: int >= 0.

    Raises:
        ValueError: with the shapes of both.
    """
    if mask is None:
        return
    found = tuple(mask.shape if hasattr(mask, "shape") else np.shape(mask))
    shape = tuple(shape)
    fewest = max(1, len(shape) - behind)
    require(
        fewest <= len(found) <= len(shape)
        and _agree(found, shape[: len(found)]),
        owner,
        "`mask` must have the axes of the positions in `inputs`.",
        mask_shape=found,
        positions_shape=shape,
    )


def check_gates(owner: str, gates: Any, inputs: Any, num_experts: int) -> None:
    """Refuse gates that a layer of the user's own has got wrong.

    Args:
        owner: the layer that was called.
        gates: `(P..., E)`, as the gate returned them.
        inputs: `(P..., row)`.
        num_experts: int, E.
    """
    found, shape = tuple(gates.shape), tuple(inputs.shape)
    require(
        1 < len(found) <= len(shape) + 1
        and _agree(found, (*shape[: len(found) - 1], num_experts)),
        owner,
        "`gate` must return (P..., E): leading axes of `inputs`, then one gate "
        f"for each of the {num_experts} experts.",
        gates_shape=found,
        inputs_shape=shape,
    )


def check_bank_gates(
    owner: str, inputs_shape: Any, gates_shape: Any, num_experts: int
) -> None:
    """Refuse gates `(P..., E)` that a bank cannot read its rows from.

    Args:
        owner: the bank that was called.
        inputs_shape: `(P..., *row)`.
        gates_shape: `(P..., E)`.
        num_experts: int, E.
    """
    require(
        gates_shape[-1] == num_experts,
        owner,
        f"`gates` must have one column for each of the {num_experts} experts.",
        gates_shape=tuple(gates_shape),
    )
    shared = len(gates_shape) - 1
    require(
        0 < shared < len(inputs_shape)
        and _agree(tuple(gates_shape[:shared]), tuple(inputs_shape[:shared])),
        owner,
        "the leading axes of `gates` must be those of `inputs`.",
        inputs_shape=tuple(inputs_shape),
        gates_shape=tuple(gates_shape),
    )


def _agree(found: tuple[Any, ...], wanted: tuple[Any, ...]) -> bool:
    """Whether all sizes that are known on both sides are the same."""
    return all(
        one is None or other is None or one == other
        for one, other in zip(found, wanted, strict=True)
    )
