"""Data sets by name: `digits`, `tfds:NAME`, `csv:PATH?target=COLUMN`."""

import dataclasses
import inspect
import os
import urllib.parse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from moe_keras.data.breast_cancer import load_breast_cancer
from moe_keras.data.dataset import Dataset
from moe_keras.data.digits import load_digits
from moe_keras.data.synthetic_credit import load_synthetic_credit
from moe_keras.data.synthetic_reviews import load_synthetic_reviews
from moe_keras.data.table import load_table
from moe_keras.data.tfds_files import data_folder, prepared_names
from moe_keras.errors import require

EMBEDDED: dict[str, Callable[..., Dataset]] = {
    "breast_cancer": load_breast_cancer,
    "digits": load_digits,
    "synthetic_credit": load_synthetic_credit,
    "synthetic_reviews": load_synthetic_reviews,
}
# Options that every data set takes.
COMMON = ("validation_share", "positive")
# Kinds of files, and the options of `load_table` that take several names.
FILES = ("csv", "parquet")
LISTS = {"drop", "numeric", "text", "missing"}


def list_datasets(data_dir: str | os.PathLike[str] | None = None) -> list[str]:
    """The names that `load_dataset` answers here without a network.

    Args:
        data_dir: folder of prepared data, see `load_dataset`.

    Returns:
        The embedded data sets, then `tfds:NAME` for each prepared one.
    """
    prepared = prepared_names(data_folder(data_dir))
    return [*sorted(EMBEDDED), *(f"tfds:{name}" for name in prepared)]


def is_file_name(name: str) -> bool:
    """Whether `load_dataset` takes a name for that of a file's table."""
    return name.partition(":")[0] in FILES


def load_dataset(
    name: str,
    data_dir: str | os.PathLike[str] | None = None,
    **options: Any,
) -> Dataset:
    """A data set by its name, as one record for all tasks.

    Args:
        name: one of `list_datasets()`; or `tfds:` and any name that TensorFlow
            Datasets knows, with `/CONFIG` and `:VERSION` where wanted; or
            `csv:` or `parquet:` and the path of a file, with options of
            `load_table` behind a question mark:
            `csv:loans.csv?target=risk&positive=bad&drop=id,date`.
        data_dir: the folder of prepared TFDS data. Defaults to the environment
            variable `MOE_KERAS_DATA_DIR`, then to TFDS' own default. For a
            file, the folder that its path starts from.
        **options: of every data set: `validation_share`, float in (0, 1),
            defaults to 0.1, of the training rows; `positive`, the name of the
            class of two whose label is to be 1. Of TFDS' data sets: `download`,
            `image_size`, `input_key`, `label_key`, see docs/data.md. Of files:
            those of `load_table`. Of made-up ones: `size`, `test_size`, `seed`.

    Returns:
        `Dataset`.

    Raises:
        ValueError: for a name or an option that nothing answers to.
        ImportError: when a package is needed that is not installed.
        FileNotFoundError: when the data are neither there nor to be had.
    """
    require(
        isinstance(name, str),
        "load_dataset",
        "`name` must be the name of a data set, such as 'digits' or "
        "'csv:loans.csv?target=risk'; arrays go to `fit` as they are.",
        name=type(name).__name__,
    )
    kind, _, rest = name.partition(":")
    if kind == "tfds" and rest:
        from moe_keras.data.tfds_sets import load_tfds

        _check_options(load_tfds, options)
        return load_tfds(rest, data_dir, **options)
    if kind in FILES and rest:
        path, found = _path_and_options(rest, options)
        _check_options(load_table, found)
        data = load_table(Path(data_dir or "", path), **found)
        # As it was asked for: where the folder is, is of this machine.
        return dataclasses.replace(data, name=f"{kind}:{path}")
    require(
        name in EMBEDDED,
        "load_dataset",
        "the name must be tfds:NAME, csv:PATH, parquet:PATH or one of "
        f"{sorted(EMBEDDED)}.",
        name=name,
    )
    _check_options(EMBEDDED[name], options)
    return EMBEDDED[name](**options)


def _check_options(
    loader: Callable[..., Dataset], options: dict[str, Any]
) -> None:
    known = {*inspect.signature(loader).parameters, *COMMON}
    known -= {"name", "path", "data_dir", "options"}
    unknown = sorted(set(options) - known)
    require(
        not unknown,
        "load_dataset",
        f"no such option here; there are {sorted(known)}.",
        options=unknown,
    )


def _path_and_options(
    text: str, options: dict[str, Any]
) -> tuple[str, dict[str, Any]]:
    """`PATH?target=NAME&drop=A,B` as a path and options of `load_table`."""
    path, _, query = text.partition("?")
    pairs = urllib.parse.parse_qsl(query, keep_blank_values=True)
    named: dict[str, Any] = dict(pairs)
    twice = sorted(set(named) & set(options))
    require(
        len(named) == len(pairs) and not twice,
        "load_dataset",
        "an option is given twice.",
        name=text,
        options=twice,
    )
    for key in LISTS & set(named):
        named[key] = named[key].split(",")
    if "validation_share" in named:
        named["validation_share"] = float(named["validation_share"])
    return path, {**named, **options}
