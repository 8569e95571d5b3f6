"""Cross-validation: each fold as a data set with a test split of its own."""

import dataclasses

from moe_keras.data.dataset import Dataset
from moe_keras.errors import is_count, require

OWNER = "fold_of"


def fold_of(data: Dataset, folds: int, place: int) -> Dataset:
    """One fold of a repeated, stratified cross-validation.

    The rows are shuffled anew for each repeat. Place p is fold `p % folds` of
    repeat `p // folds`, as `StratifiedKFold(folds, shuffle=True,
    random_state=repeat)` of scikit-learn cuts them.

    Args:
        data: without a test split. Its training and validation rows are cut,
            in the publisher's order.
        folds: int > 1.
        place: int >= 0.

    Returns:
        `Dataset`: `test` is the fold, `train` are all other rows, `validation`
        has none.

    Raises:
        ValueError: for a data set with a test split, and for more folds than
            rows of a class.
    """
    require(
        data.test is None,
        OWNER,
        "the data have a test split, which is to be used.",
        data=data.name,
    )
    rows = data.whole_train()
    rarest = min(
        int((rows.labels == label).sum()) for label in range(len(data.classes))
    )
    require(
        is_count(folds) and 1 < folds <= rarest,
        OWNER,
        "`folds` must be an integer above 1, and at most the rows of the "
        "rarest class.",
        folds=folds,
        rarest=rarest,
    )
    # Here, so that a list of names does not wait for scikit-learn.
    from sklearn.model_selection import StratifiedKFold

    repeat, fold = divmod(place, folds)
    parts = StratifiedKFold(folds, shuffle=True, random_state=repeat)
    learned, held_out = list(parts.split(rows.labels, rows.labels))[fold]
    return dataclasses.replace(
        data,
        train=rows.take(learned),
        validation=rows.take(slice(0, 0)),
        test=rows.take(held_out),
        validation_rows=None,
    )
