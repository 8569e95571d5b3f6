"""Class shares of rows without labels, by expectation-maximisation."""

import warnings
from typing import Any

import keras
import numpy as np

from moe_keras.asking import ask
from moe_keras.errors import require
from moe_keras.layers import PriorCorrection
from moe_keras.layers.calibration.prior_correction import check_prior
from moe_keras.training.calibrate import cut_model

OWNER = "fit_prior"
# Of the largest share's change in one step, and steps at most.
TOLERANCE, STEPS = 1e-7, 10_000
# Of a share: its log is taken in float32.
LEAST = 1e-12


def fit_prior(
    model: keras.Model,
    inputs: Any,
    batch_size: int = 256,
    output: str | None = None,
) -> np.ndarray:
    """Set the prior of a model's `PriorCorrection` from rows without labels.

    The rows are of those that the model is to serve. What is in front must say
    probabilities that hold under `train_prior`: calibrate it first, on held-out
    rows with the class shares of the training.

    Args:
        model: functional or sequential `keras.Model`, built, with one
            `PriorCorrection` in its own graph.
        inputs: what the model reads: arrays `(N, ...)`, or a dict of them.
        batch_size: int > 0.
        output: of a model with several outputs, the name of the one; None for a
            model with one.

    Returns:
        float64 `(C,)`: the class shares, which the layer has now.

    Raises:
        ValueError: for a model with none or several such layers.

    Source: Saerens, Latinne & Decaestecker (2002), Neural Computation 14(1).

    Example:
    >>> shares = fit_prior(model, new_customers)
    """
    layer, logits_of = cut_model(model, PriorCorrection, OWNER, output)
    logits = ask(logits_of, inputs, batch_size)
    logits = np.asarray(logits).reshape(-1, len(layer.train_prior))
    found = estimate_prior(logits, layer.train_prior)
    layer.set_prior(found)
    return found


def estimate_prior(logits: Any, train_prior: Any) -> np.ndarray:
    """The class shares under which rows without labels are the likeliest.

    Each step makes every row's probabilities anew with the shares so far, and
    takes their means for the next shares. The likelihood of the rows rises with
    each, to its only maximum where the classes can be told apart.

    Args:
        logits: float `(N, C)`, logits or log-probabilities that hold under
            `train_prior`.
        train_prior: C floats > 0 that sum to 1.

    Returns:
        float64 `(C,)`, above 0, with sum 1.

    Raises:
        ValueError: for no rows, for rows that are not finite, and for shares
            that are none.

    Source: Saerens, Latinne & Decaestecker (2002), Neural Computation 14(1).

    Example:
    >>> estimate_prior(np.log(classifier.predict_proba(rows)), [0.5, 0.5])
    """
    logits = np.asarray(logits, dtype="float64")
    owner = "estimate_prior"
    require(
        logits.ndim == 2
        and len(logits) > 0
        and bool(np.isfinite(logits).all()),
        owner,
        "`logits` must be finite and (N, C), with a row at least.",
        logits_shape=logits.shape,
    )
    trained = np.asarray(
        check_prior(owner, "train_prior", train_prior, logits.shape[1])
    )
    # Of each row, up to a factor of its own, how likely each class makes it.
    odds = np.exp(logits - logits.max(axis=1, keepdims=True)) / trained
    shares = trained
    for _ in range(STEPS):
        joint = odds * shares
        found = (joint / joint.sum(axis=1, keepdims=True)).mean(axis=0)
        moved = float(np.abs(found - shares).max())
        shares = found
        if moved < TOLERANCE:
            break
    else:
        warnings.warn(
            f"{owner}: the shares still move after {STEPS} steps: the "
            f"classes can hardly be told apart. Received: moved={moved:.2g}",
            stacklevel=2,
        )
    # A class that no row speaks for comes close to 0; the log must exist.
    shares = np.maximum(shares, LEAST)
    result: np.ndarray = shares / shares.sum()
    return result
