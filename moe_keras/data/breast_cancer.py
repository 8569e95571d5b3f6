"""569 tumours, 30 measurements each: a real table, and no download."""

from typing import Any

import numpy as np

from moe_keras.data.dataset import Dataset, Feature, assemble
from moe_keras.data.split import Split

TEST_SHARE = 0.2
# Which rows are test rows is part of the data set: never change it.
SPLIT_SEED = 0


def load_breast_cancer(**options: Any) -> Dataset:
    """The breast cancer table of scikit-learn, in one fixed, stratified split.

    Args:
        **options: `validation_share` and `positive`, see `load_dataset`.

    Returns:
        `Dataset`: 455 rows for training and validation and 114 for the test,
        float64 `(N, 30)`, classes malignant (0) and benign (1). For each of ten
        measures of the nuclei (lengths in pixels of the image) its mean, its
        standard error and its worst value.

    Source: Wolberg, Mangasarian, Street & Street (1995), Breast Cancer
        Wisconsin (Diagnostic), UCI Machine Learning Repository,
        doi:10.24432/C5DW2B.
    """
    # Here, so that a list of names does not wait for scikit-learn.
    import sklearn.datasets
    from sklearn.model_selection import train_test_split

    table = sklearn.datasets.load_breast_cancer()
    names = tuple(name.replace(" ", "_") for name in table.feature_names)
    train, test = (
        Split(table.data[rows], table.target[rows], names)
        for rows in train_test_split(
            np.arange(len(table.target)),
            test_size=TEST_SHARE,
            stratify=table.target,
            random_state=SPLIT_SEED,
        )
    )
    return assemble(
        name="breast_cancer",
        task="tabular",
        train=train,
        test=test,
        classes=("malignant", "benign"),
        schema=tuple(Feature(name, "float64") for name in names),
        licence="CC BY 4.0",
        citation=(
            "Wolberg, W., Mangasarian, O., Street, N. and Street, W. (1995). "
            "Breast Cancer Wisconsin (Diagnostic). UCI Machine Learning "
            "Repository. doi:10.24432/C5DW2B"
        ),
        source="scikit-learn: sklearn.datasets.load_breast_cancer",
        description="Measures of cell nuclei in images of breast tumours.",
        **options,
    )
