"""What stands behind the logits of a risk model, one time for each target."""

from collections.abc import Mapping, Sequence
from typing import Any

import keras

from moe_keras.errors import require
from moe_keras.layers import PriorCorrection, TemperatureScaling
from moe_keras.zoo.risk.experts import OWNER

# By target: shares of the classes; None for all where none are given.
Priors = Mapping[str, Sequence[float]]


def add_head(
    logits: Any,
    target: str | None = None,
    train_prior: Sequence[float] | None = None,
    prior: Sequence[float] | None = None,
) -> Any:
    """Temperature, prior correction if asked for, probabilities `(B, C)`.

    Args:
        logits: float `(B, C)`.
        target: whose they are, for the layers' names; None for the only one.
        train_prior: see `PriorCorrection`; None for none of it.
        prior: the same.
    """
    tail = "" if target is None else f"_{target}"
    x = TemperatureScaling(name=f"temperature{tail}")(logits)
    if train_prior is not None:
        x = PriorCorrection(train_prior, prior, name=f"prior{tail}")(x)
    return keras.layers.Softmax(dtype="float32", name=f"probabilities{tail}")(x)


def read_priors(name: str, given: Any, targets: Sequence[str]) -> Priors:
    """The shares by target, of a model with several.

    Raises:
        ValueError: for what is no mapping, and for names of no target.
    """
    require(
        given is None
        or (isinstance(given, Mapping) and set(given) <= set(targets)),
        OWNER,
        f"`{name}` must map some of the targets to class shares.",
        **{name: given},
    )
    return given or {}


def check_priors(train_prior: Any, prior: Any) -> None:
    """Refuse shares to be served without those of the training."""
    named = set(prior) if isinstance(prior, Mapping) else set()
    trained = set(train_prior) if isinstance(train_prior, Mapping) else set()
    require(
        prior is None or (train_prior is not None and named <= trained),
        OWNER,
        "`prior` needs `train_prior`, the class shares of the training.",
        prior=prior,
        train_prior=train_prior,
    )
