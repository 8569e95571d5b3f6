"""Routing: where a trained model sends its inputs."""

from collections.abc import Iterable, Iterator
from typing import Any

import keras
import numpy as np

from moe_keras.errors import require
from moe_keras.insight.gated_model import GatedModel
from moe_keras.layers import ExpertBank, MixtureOfExperts
from moe_keras.layers.gate import Gate


def collect_gates(
    model: keras.Model, inputs: Any, batch_size: int = 256
) -> dict[str, np.ndarray]:
    """The gates of every gating layer over a data set, in inference.

    Args:
        model: `keras.Model` of any kind.
        inputs: array `(N, ...)`, or a dict of them.
        batch_size: int > 0.

    Returns:
        By the layer's name, float `(N, ..., E)`; empty where no layer gates.
    """
    require(
        isinstance(model, keras.Model),
        "collect_gates",
        "`model` must be a keras.Model; of a layer, record_gates shows the "
        "gates.",
        model=model,
    )
    places: list[int] = []
    batches: dict[str, list[np.ndarray]] = {}
    for rows, _, record in GatedModel(model).batches(inputs, batch_size):
        places.extend(rows)
        for name, gates in record.items():
            batches.setdefault(name, []).append(gates)
    found = {name: np.concatenate(parts) for name, parts in batches.items()}
    back = np.argsort(places)
    return {name: gates[back] for name, gates in found.items()}


def expert_names(model: keras.Model) -> dict[str, list[str]]:
    """A name for each expert of each mixture in a model.

    Args:
        model: `keras.Model` of any kind.

    Returns:
        By the name under which `record_gates` has the mixture's gates, E names:
        an expert's number; where there are several banks, behind the name of
        its own, which alone names the only expert of a bank.
    """
    found = {}
    for layer in model._flatten_layers():
        if isinstance(layer, MixtureOfExperts):
            gate = layer.gate if isinstance(layer.gate, Gate) else layer
            found[gate.name] = names_of(layer)
    return found


def names_of(mixture: MixtureOfExperts) -> list[str]:
    """A name for each expert of one mixture; see `expert_names`."""
    banks = list(_simple_banks(mixture.experts))
    return [
        name
        for bank in banks
        for name in _names_in(bank, several=len(banks) > 1)
    ]


def _names_in(bank: ExpertBank, several: bool) -> list[str]:
    if several and bank.num_experts == 1:
        return [bank.name]
    before = f"{bank.name} " if several else ""
    return [f"{before}{number}" for number in range(bank.num_experts)]


def _simple_banks(banks: Iterable[ExpertBank]) -> Iterator[ExpertBank]:
    """The banks, and in the place of one that is made of banks its own."""
    for bank in banks:
        inner = getattr(bank, "experts", None)
        if inner is None:
            yield bank
        else:
            yield from _simple_banks(
                [inner] if isinstance(inner, ExpertBank) else inner
            )


def expert_by_class(gates: Any, labels: Any, num_classes: int) -> np.ndarray:
    """Mean gate of each expert for the rows of each class.

    Args:
        gates: float `(N, E)`.
        labels: int `(N,)`, in 0..num_classes-1.
        num_classes: int > 0.

    Returns:
        float `(num_classes, E)`; NaN for a class without rows.
    """
    gates, labels = np.asarray(gates, "float64"), np.asarray(labels)
    require(
        gates.ndim == 2 and labels.shape == gates.shape[:1],
        "expert_by_class",
        "`gates` must be (N, E) and `labels` (N,).",
        gates_shape=gates.shape,
        labels_shape=labels.shape,
    )
    members = labels[:, None] == np.arange(num_classes)
    counts = members.sum(axis=0)
    with np.errstate(invalid="ignore"):
        table: np.ndarray = (members.T @ gates) / counts[:, None]
    return table
