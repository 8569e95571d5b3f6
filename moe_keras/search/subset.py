"""The same few training rows in every trial, with the classes' shares kept."""

from dataclasses import replace

import numpy as np
from sklearn.model_selection import train_test_split

from moe_keras.data import Dataset
from moe_keras.errors import is_count, require

# Which rows they are must not depend on the search's seed.
SEED = 0


def limit_training_rows(data: Dataset, limit: int | None) -> Dataset:
    """A data set with a fixed, stratified part of its training rows.

    Args:
        data: `Dataset`.
        limit: int >= number of classes; None, or as many as there are, for all
            rows.

    Returns:
        `Dataset`: rows in their order; validation and test as they were.
    """
    if limit is None:
        return data
    classes = len(data.classes)
    require(
        is_count(limit) and limit >= classes,
        "tune",
        f"`limit` must be an integer of at least {classes}, the number of "
        "classes, or None.",
        limit=limit,
    )
    rows = len(data.train)
    if limit > rows - classes:
        return data
    kept, _ = train_test_split(
        np.arange(rows),
        train_size=limit,
        stratify=data.train.labels,
        random_state=SEED,
    )
    return replace(
        data,
        train=data.train.take(np.sort(kept)),
        # Places in the publisher's whole split, which is no longer there.
        validation_rows=None,
    )
