"""Experts taken out of service in a model as it is.

Keras hands `expert_mask=` to a layer, but a functional model drops what its
inputs do not name, without a word. So the mask is laid down beside the model,
where its mixtures look for it when they are called or traced.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import keras
import numpy as np

from moe_keras.errors import require
from moe_keras.layers.gate import Gate

OWNER = "experts_in_service"

# What Keras compiles for a model, and keeps.
_FUNCTIONS = ("train_function", "test_function", "predict_function")

# By the identity of a mixture, which is alive as long as its mask is here.
_masks: ContextVar[Mapping[int, np.ndarray] | None] = ContextVar(
    "masks", default=None
)


@contextmanager
def experts_in_service(model: keras.Model, expert_mask: Any) -> Iterator[None]:
    """Run a model as if it had been built without some of its experts.

    For the model inside the `with`, whatever runs it: a call, `predict`,
    `evaluate`, `fit`, an export. Its compiled functions are made anew, when
    this begins and when it ends. A `tf.function` or `jax.jit` of your own, with
    the model in it, keeps the experts that it was first traced with, as does a
    model around this one: name the outer one here. Weights are not touched.

    Args:
        model: `keras.Model` with `MixtureOfExperts` in it, of ours or of yours,
            built.
        expert_mask: bool `(E,)`, False for an expert that is out of service; of
            a model with several mixtures, a dict from the names of some of them
            to such masks.

    Raises:
        ValueError: for a model without a mixture, names that it has not, or a
            mask that does not fit.

    Example:
    >>> with experts_in_service(model, [True, True, False, True]):
    ...     model.predict(x)
    """
    masks = _read_masks(model, expert_mask)
    token = _masks.set({**(_masks.get() or {}), **masks})
    try:
        _forget_functions(model)
        yield
    finally:
        _masks.reset(token)
        _forget_functions(model)


def mask_of(mixture: Any) -> Any:
    """Bool `(E,)` that lies ready for a mixture, or None."""
    masks = _masks.get()
    return None if masks is None else masks.get(id(mixture))


def _read_masks(model: Any, expert_mask: Any) -> dict[int, np.ndarray]:
    mixtures = _mixtures_of(model)
    if not isinstance(expert_mask, Mapping):
        require(
            len(mixtures) == 1,
            OWNER,
            "`expert_mask` must be a dict by the mixtures' names, unless the "
            "model has exactly one mixture.",
            mixtures=list(mixtures),
        )
        expert_mask = dict.fromkeys(mixtures, expert_mask)
    require(
        set(expert_mask) <= set(mixtures),
        OWNER,
        "`expert_mask` must name mixtures of the model.",
        expert_mask=list(expert_mask),
        mixtures=list(mixtures),
    )
    return {
        id(mixtures[name]): _read_mask(mixtures[name], mask)
        for name, mask in expert_mask.items()
    }


def _mixtures_of(model: Any) -> dict[str, Any]:
    from moe_keras.layers.mixture_of_experts import MixtureOfExperts

    return {
        layer.name: layer
        for layer in model._flatten_layers()
        if isinstance(layer, MixtureOfExperts)
    }


def _read_mask(mixture: Any, expert_mask: Any) -> np.ndarray:
    mask = np.asarray(expert_mask)
    require(
        mask.dtype == bool
        and mask.shape == (mixture.num_experts,)
        and bool(mask.any()),
        OWNER,
        "`expert_mask` must be one bool for each expert of "
        f"{mixture.name!r}, not all of them False.",
        expert_mask=expert_mask,
        num_experts=mixture.num_experts,
    )
    require(
        isinstance(mixture.gate, Gate),
        OWNER,
        f"the gate of {mixture.name!r} knows no `expert_mask`; use a gate of "
        "ours, such as GatingLayer.",
        gate=mixture.gate,
    )
    return mask


def _forget_functions(model: Any) -> None:
    for name in _FUNCTIONS:
        if getattr(model, name, None) is not None:
            setattr(model, name, None)
