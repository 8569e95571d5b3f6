"""The experts of a trained model without its gate: alone, averaged, stacked."""

from collections.abc import Sequence
from dataclasses import dataclass

import keras
import numpy as np
from scipy.special import log_softmax, logsumexp, softmax
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_predict

from moe_keras.data import Split
from moe_keras.data.lengths import in_order_of_length
from moe_keras.errors import require
from moe_keras.insight.routing import names_of
from moe_keras.layers import LogitFusion, MixtureOfExperts
from moe_keras.training.calibrate import best_temperature
from moe_keras.training.gate_fit import predict_experts

OWNER = "recombine"
BATCH_SIZE = 256
# Of the cross-validation where stacking is judged by the rows it learns from.
FOLDS = 10


@dataclass(frozen=True)
class Opinions:
    """What the experts of a model say of some rows.

    Attributes:
        names: of the E experts.
        pool: how the model averages them; see `LogitFusion`.
        logits: float `(N, E, C)`.
        labels: int `(N,)`.
    """

    names: tuple[str, ...]
    pool: str
    logits: np.ndarray
    labels: np.ndarray


def ask_experts(model: keras.Model, split: Split) -> Opinions:
    """Run every expert of a model's mixture on every row.

    Args:
        model: `keras.Model` with one mixture, whose experts give logits that a
            `LogitFusion` averages.
        split: inputs and labels.

    Raises:
        ValueError: for another model.
    """
    mixtures = [
        layer for layer in model.layers if isinstance(layer, MixtureOfExperts)
    ]
    require(
        len(mixtures) == 1 and isinstance(mixtures[0].fusion, LogitFusion),
        OWNER,
        "the model must have one mixture, with a LogitFusion.",
        model=model.name,
        fusions=[type(layer.fusion).__name__ for layer in mixtures],
    )
    logits = in_order_of_length(
        lambda rows: predict_experts(model, rows, BATCH_SIZE), split.inputs
    )
    (mixture,) = mixtures
    return Opinions(
        tuple(names_of(mixture)),
        mixture.fusion.pool,
        logits.astype("float64"),
        split.labels,
    )


def recombine(
    how: str | Sequence[str], held_out: Opinions, rows: Opinions
) -> np.ndarray:
    """Class probabilities of a model's experts, put together in another way.

    Args:
        how: `"uniform"`: all with equal weights, in the model's own pool;
            `"stacking"`: by a logistic regression of their logits (Wolpert,
            1992, Neural Networks 5(2)); else the name of an expert, which
            speaks alone, or of a bank, for all its experts, or several names,
            with equal weights. The regression, and the temperature of the
            others, are fitted to `held_out`.
        held_out: of rows that no expert was trained on.
        rows: what to predict. If they are `held_out` itself, stacking is fitted
            to nine tenths of them, in turn, and predicts the tenth.

    Returns:
        float `(N, C)`.

    Raises:
        ValueError: for a name that no expert has, nor a bank.
    """
    if how == "stacking":
        return _stack(held_out, rows)
    wanted = _names(how, rows.names)
    given, asked = _average(held_out, wanted), _average(rows, wanted)
    weights = np.ones(len(given))
    temperature = best_temperature(given, held_out.labels, weights)
    probabilities: np.ndarray = softmax(asked / temperature, axis=-1)
    return probabilities


def _names(
    how: str | Sequence[str], experts: tuple[str, ...]
) -> tuple[str, ...]:
    """The experts that have a say."""
    if how == "uniform":
        return experts
    asked = (how,) if isinstance(how, str) else tuple(how)
    found = [
        {
            one
            for one in experts
            if one in (name, f"{name} {one.rpartition(' ')[2]}")
        }
        for name in asked
    ]
    require(
        bool(found) and all(found),
        OWNER,
        "`recombine` must be 'uniform', 'stacking', or names of experts or "
        "banks.",
        recombine=how,
        experts=experts,
    )
    return tuple(one for one in experts if one in set().union(*found))


def _average(opinions: Opinions, names: Sequence[str]) -> np.ndarray:
    logits = opinions.logits[:, [opinions.names.index(one) for one in names]]
    if opinions.pool == "logarithmic":
        return logits.mean(axis=1)
    each = log_softmax(logits, axis=-1)
    total: np.ndarray = logsumexp(each, axis=1) - np.log(each.shape[1])
    return total


def _stack(held_out: Opinions, rows: Opinions) -> np.ndarray:
    def features(opinions: Opinions) -> np.ndarray:
        # A constant that all logits of an expert have in common says nothing.
        relative = opinions.logits[..., 1:] - opinions.logits[..., :1]
        return relative.reshape(len(relative), -1)

    model = LogisticRegression(max_iter=1000)
    given, labels = features(held_out), held_out.labels
    if rows is held_out:
        found: np.ndarray = cross_val_predict(
            model, given, labels, cv=FOLDS, method="predict_proba"
        )
        return found
    predicted: np.ndarray = model.fit(given, labels).predict_proba(
        features(rows)
    )
    return predicted
