"""1,797 scanned handwritten digits, 8 x 8 pixels: real, and no download."""

from typing import Any

import numpy as np

from moe_keras.data.dataset import Dataset, Feature, assemble
from moe_keras.data.split import Split

TEST_SHARE = 0.2
# Which rows are test rows is part of the data set: never change it.
SPLIT_SEED = 0


def load_digits(**options: Any) -> Dataset:
    """The digits that scikit-learn carries, in one fixed, stratified split.

    Args:
        **options: `validation_share`, see `load_dataset`.

    Returns:
        `Dataset`: 1,437 images for training and validation and 360 for the
        test, float32 `(N, 8, 8, 1)` in 0..16 (how many of a 4 x 4 block's
        pixels were set), ten classes.

    Source: Alpaydin & Kaynak (1998), Optical Recognition of Handwritten Digits,
        UCI Machine Learning Repository, doi:10.24432/C50P49 (its test part).
    """
    # Here, so that a list of names does not wait for scikit-learn.
    import sklearn.datasets
    from sklearn.model_selection import train_test_split

    pixels, labels = sklearn.datasets.load_digits(return_X_y=True)
    images = pixels.reshape(-1, 8, 8, 1).astype("float32")
    train, test = train_test_split(
        np.arange(len(labels)),
        test_size=TEST_SHARE,
        stratify=labels,
        random_state=SPLIT_SEED,
    )
    return assemble(
        name="digits",
        task="image",
        train=Split(images[train], labels[train]),
        test=Split(images[test], labels[test]),
        classes=tuple(map(str, range(10))),
        schema=(Feature("image", "float32", (8, 8, 1)),),
        licence="CC BY 4.0",
        citation=(
            "Alpaydin, E. and Kaynak, C. (1998). Optical Recognition of "
            "Handwritten Digits. UCI Machine Learning Repository. "
            "doi:10.24432/C50P49"
        ),
        source="scikit-learn: sklearn.datasets.load_digits",
        description="Handwritten digits, grey levels 0 to 16.",
        **options,
    )
