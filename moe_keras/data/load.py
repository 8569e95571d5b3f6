"""Data sets by name: `digits`, `tfds:NAME`."""

import os
from collections.abc import Callable
from typing import Any

from moe_keras.data.breast_cancer import load_breast_cancer
from moe_keras.data.dataset import Dataset
from moe_keras.data.digits import load_digits
from moe_keras.data.tfds_files import data_folder, prepared_names
from moe_keras.errors import require

EMBEDDED: dict[str, Callable[..., Dataset]] = {
    "breast_cancer": load_breast_cancer,
    "digits": load_digits,
}


def list_datasets(data_dir: str | os.PathLike[str] | None = None) -> list[str]:
    """The names that `load_dataset` answers here without a network.

    Args:
        data_dir: folder of prepared data, see `load_dataset`.

    Returns:
        The embedded data sets, then `tfds:NAME` for each prepared one.
    """
    prepared = prepared_names(data_folder(data_dir))
    return [*sorted(EMBEDDED), *(f"tfds:{name}" for name in prepared)]


def load_dataset(
    name: str,
    data_dir: str | os.PathLike[str] | None = None,
    **options: Any,
) -> Dataset:
    """A data set by its name, as one record for all tasks.

    Args:
        name: one of `list_datasets()`, or `tfds:` and any name that TensorFlow
            Datasets knows, with `/CONFIG` and `:VERSION` where wanted.
        data_dir: the folder of prepared TFDS data. Defaults to the environment
            variable `MOE_KERAS_DATA_DIR`, then to TFDS' own default.
        **options: of every data set: `validation_share`, float in (0, 1),
            defaults to 0.1, of the training rows; `positive`, the name of the
            class of two whose label is to be 1. Others are those of the
            loader.

    Returns:
        `Dataset`.

    Raises:
        ValueError: for a name or an option that nothing answers to.
        ImportError: when a package is needed that is not installed.
        FileNotFoundError: when the data are neither there nor to be had.
    """
    kind, _, rest = name.partition(":")
    if kind == "tfds" and rest:
        from moe_keras.data.tfds_sets import load_tfds

        return load_tfds(rest, data_dir, **options)
    require(
        name in EMBEDDED,
        "load_dataset",
        f"the name must be tfds:NAME or one of {sorted(EMBEDDED)}.",
        name=name,
    )
    return EMBEDDED[name](**options)
