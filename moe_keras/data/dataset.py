"""One record for every data set: its splits, its classes, where it is from."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import numpy as np

from moe_keras.data.split import Split, concatenate
from moe_keras.data.validation import VALIDATION_SHARE, validation_mask
from moe_keras.errors import require

TASKS = ("image", "text", "tabular")


@dataclass(frozen=True)
class Feature:
    """What one input is: an image, a text, or a column of a table.

    Attributes:
        name: of the column; "image" or "text" where there is one input.
        dtype: numpy's name of it, or "string".
        shape: of one example; `()` for a text and for a column.
    """

    name: str
    dtype: str
    shape: tuple[int, ...] = ()


@dataclass(frozen=True, eq=False)
class Dataset:
    """A data set.

    Attributes:
        name: as it is asked for.
        task: `"image"`, `"text"` or `"tabular"`.
        train: what models are fitted to; without the validation rows.
        validation: what attempts are compared on.
        test: read once, at the end; None where the publisher has none.
        classes: the names of the classes, in the order of the labels.
        schema: one `Feature` for each input; for a table one per column.
        licence: under which the data may be used.
        citation: whom to name.
        source: where the data are from: an address, a file or a package.
        description: what the publisher says of them.
        metadata: what else the publisher hands on.
        validation_rows: int array, ascending: the places that the validation
            rows have in the whole training split; None where the publisher has
            a validation split of its own.
    """

    name: str
    task: str
    train: Split
    validation: Split
    test: Split | None
    classes: tuple[str, ...]
    schema: tuple[Feature, ...]
    licence: str
    citation: str
    source: str
    description: str = ""
    metadata: Mapping[str, Any] = field(
        default_factory=lambda: MappingProxyType({})
    )
    validation_rows: np.ndarray | None = None

    def whole_train(self) -> Split:
        """The publisher's whole training split, in the publisher's order.

        Training and validation rows together, where validation was carved out;
        for a last training once all choices are made.
        """
        held_out = self.validation_rows
        if held_out is None:
            return self.train
        total = len(self.train) + len(held_out)
        order = np.empty(total, "int64")
        others = np.setdiff1d(np.arange(total), held_out, assume_unique=True)
        order[others] = np.arange(len(others))
        order[held_out] = len(others) + np.arange(len(held_out))
        return concatenate(self.train, self.validation, order)


def assemble(
    *,
    train: Split,
    test: Split | None,
    classes: tuple[str, ...],
    validation: Split | None = None,
    keys: Iterable[object] | None = None,
    validation_share: float | None = None,
    positive: str | None = None,
    **facts: Any,
) -> Dataset:
    """A `Dataset` from the publisher's splits, validation carved from `train`.

    Args:
        train: the publisher's whole training split.
        test: the publisher's test split, or None.
        classes: the names of the classes, in the order of the labels.
        validation: the publisher's own validation split: none is carved then.
        keys: one for each training row, see `moe_keras.data.validation`;
            defaults to their positions.
        validation_share: float in (0, 1), of the training rows. Defaults to
            0.1; None if there is a validation split already.
        positive: of two classes, the one whose label is to be 1.
        **facts: the other attributes of `Dataset`.

    Returns:
        `Dataset`.

    Raises:
        ValueError: for a share or a class that cannot be.
    """
    if positive is not None:
        require(
            len(classes) == 2 and positive in classes,
            "load_dataset",
            f"`positive` must be one of two classes; there are {classes}.",
            positive=positive,
        )
        if positive == classes[0]:
            classes, train = classes[::-1], _flipped(train)
            validation = None if validation is None else _flipped(validation)
            test = None if test is None else _flipped(test)
    rows = None
    if validation is None:
        share = (
            VALIDATION_SHARE if validation_share is None else validation_share
        )
        given = range(len(train)) if keys is None else keys
        mask = validation_mask(given, share)
        rows = np.flatnonzero(mask)
        train, validation = train.take(~mask), train.take(mask)
    else:
        require(
            validation_share is None,
            "load_dataset",
            "the data set has a validation split of its own.",
            validation_share=validation_share,
        )
    return Dataset(
        train=train,
        validation=validation,
        test=test,
        classes=classes,
        validation_rows=rows,
        **facts,
    )


def _flipped(split: Split) -> Split:
    """The split with labels 0 and 1 changed for each other."""
    given = split.probability
    return Split(
        split.inputs,
        1 - split.labels,
        split.names,
        None if given is None else 1 - given,
    )
