"""One record for every data set: its splits, its classes, where it is from."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Split:
    """Inputs and labels of one split.

    Attributes:
        inputs: array `(N, ...)`.
        labels: int array `(N,)`, places in `Dataset.classes`.
    """

    inputs: np.ndarray
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class Dataset:
    """A data set.

    Attributes:
        name: as it is asked for.
        train: what models are fitted to, and what attempts are compared on.
        test: read once, at the end.
        classes: the names of the classes, in the order of the labels.
        licence: under which the data may be used.
        citation: whom to name.
    """

    name: str
    train: Split
    test: Split
    classes: tuple[str, ...]
    licence: str
    citation: str
