"""What a trained model is worth, and what it costs."""

from typing import Any

import keras
import numpy as np

from moe_keras.asking import ask
from moe_keras.data import Split
from moe_keras.data.lengths import in_order_of_length
from moe_keras.errors import require
from moe_keras.insight import GatedModel, classification_scores, risk_scores
from moe_keras.layers import Gate
from moe_keras.ops.cost import count_multiply_adds
from moe_keras.training import Recipe

BATCH_SIZE = 256


def score(model: keras.Model, split: Split, classes: int) -> dict[str, float]:
    """Accuracy, log-loss and ECE of a model on a split; see `predict`.

    Returns:
        See `moe_keras.insight.classification_scores`.
    """
    return classification_scores(split.labels, predict(model, split, classes))


def scores_of(
    recipe: Recipe | None, labels: np.ndarray, probabilities: np.ndarray
) -> dict[str, float]:
    """The scores that a recipe's models are judged by.

    Args:
        recipe: with `out_of_fold`, and so of two classes: `risk_scores`; of
            others, or None: `classification_scores`.
        labels: int `(N,)`.
        probabilities: float `(N, C)`.
    """
    if recipe is not None and recipe.out_of_fold is not None:
        return risk_scores(labels, probabilities)
    return classification_scores(labels, probabilities)


def predict(model: keras.Model, split: Split, classes: int) -> np.ndarray:
    """Class probabilities of a model on a split.

    Args:
        model: `keras.Model` that returns probabilities `(B, C)`, or P(label 1)
            `(B, 1)`.
        split: inputs and labels.
        classes: int. C.

    Returns:
        float `(N, C)`.

    Raises:
        ValueError: when the model does not fit the data, or has diverged.
    """
    _check_fit(model, split, classes)
    predicted = in_order_of_length(
        lambda rows: ask(model, rows, BATCH_SIZE), split.inputs
    )
    require(
        np.isfinite(predicted).all(),
        "score",
        "the model's probabilities are not finite: its training has diverged.",
        model=model.name,
    )
    if predicted.shape[-1] == 1:
        predicted = np.concatenate([1 - predicted, predicted], axis=1)
    return predicted


def _check_fit(model: keras.Model, split: Split, classes: int) -> None:
    shape = getattr(model, "output_shape", None)
    require(
        isinstance(shape, tuple)
        and len(shape) == 2
        and (shape[-1] == classes or (shape[-1], classes) == (1, 2)),
        "score",
        f"the model must return probabilities of {classes} classes.",
        output_shape=shape,
    )
    inputs, expected = split.inputs, getattr(model, "input_shape", None)
    if isinstance(inputs, np.ndarray) and isinstance(expected, tuple):
        fits = len(expected) == inputs.ndim and all(
            one in (None, other)
            for one, other in zip(expected[1:], inputs.shape[1:], strict=False)
        )
        require(
            # A text is one input, as a row or as a column.
            fits or inputs.dtype == object,
            "score",
            f"the model reads inputs {expected}, the data have others.",
            inputs_shape=inputs.shape,
        )


def cost(model: keras.Model, split: Split) -> dict[str, Any]:
    """Number of weights, and multiply-adds per example.

    Where a gate is sparse, the experts count as often as they are chosen on the
    given split.

    Args:
        model: `keras.Model`.
        split: what to measure the choices on.

    Returns:
        `parameters`, `active_multiply_adds` and `total_multiply_adds`; the
        latter two are None for a model that has a layer without a rule.
    """
    counted = {"parameters": model.count_params()}
    try:
        found = count_multiply_adds(model)
    except ValueError:
        return {
            **counted,
            "active_multiply_adds": None,
            "total_multiply_adds": None,
        }
    if _has_sparse_gate(model):
        load = expert_load(model, split)
        found = count_multiply_adds(model, expert_load=load)
    return {
        **counted,
        "active_multiply_adds": found.active,
        "total_multiply_adds": found.total,
    }


def _has_sparse_gate(model: keras.Model) -> bool:
    """Whether what experts cost depends on the rows."""
    gates = (one for one in model._flatten_layers() if isinstance(one, Gate))
    return any(gate.is_sparse for gate in gates)


def expert_load(model: keras.Model, split: Split) -> dict[str, list[float]]:
    """How many of the rows reach each expert, by the gate's name.

    Args:
        model: `keras.Model`.
        split: the rows; only the inputs are read.

    Returns:
        For each gate E shares in [0, 1], whose sum is K.
    """
    chosen: dict[str, Any] = {}
    rows: dict[str, int] = {}
    model = GatedModel(model)
    for _, _, record in model.batches(split.inputs, BATCH_SIZE):
        for name, gates in record.items():
            gates = gates.reshape(-1, gates.shape[-1])
            chosen[name] = chosen.get(name, 0) + (gates != 0).sum(axis=0)
            rows[name] = rows.get(name, 0) + len(gates)
    return {name: (chosen[name] / rows[name]).tolist() for name in chosen}
