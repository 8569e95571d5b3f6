"""What a model returned, as probabilities, and which experts counted."""

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np

from moe_keras.errors import require


def as_numpy(tensor: Any) -> np.ndarray:
    """A tensor as a float32 array."""
    value: np.ndarray = keras.ops.convert_to_numpy(
        keras.ops.cast(tensor, "float32")
    )
    return value


def read_probabilities(owner: str, outputs: Any, model: str) -> np.ndarray:
    """The probabilities of the classes.

    Args:
        owner: whom to name in errors.
        outputs: `(N, C)`; or `(N, 1)`, the probability of the second of two.
        model: its name, for errors.

    Returns:
        float32 `(N, C)`, C > 1.

    Raises:
        ValueError: when they are none.
    """
    found = as_numpy(outputs)
    if found.shape[-1] == 1:
        found = np.concatenate([1 - found, found], axis=-1)
    require(
        bool(np.all(found >= 0))
        and np.allclose(found.sum(axis=-1), 1, atol=1e-2),
        owner,
        "the model must return probabilities of classes.",
        model=model,
        first_output=found[0].tolist(),
    )
    return found


def busiest(gates: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For each input, the expert that counted most, and its share.

    Args:
        gates: float `(N, ..., E)`.

    Returns:
        int `(N,)` and float `(N,)` in [0, 1], of the means over positions.
    """
    means = gates.reshape(len(gates), -1, gates.shape[-1]).mean(axis=1)
    best = means.argmax(axis=1)
    total = means.sum(axis=1)
    shares = means[np.arange(len(means)), best] / np.where(total > 0, total, 1)
    return best, shares


def name_expert(
    names: Mapping[str, Sequence[str]], layer: str, expert: int
) -> str:
    """The name of an expert, its number where it has none."""
    return names[layer][expert] if layer in names else str(expert)
