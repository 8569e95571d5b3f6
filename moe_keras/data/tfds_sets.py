"""Data sets of TensorFlow Datasets: a prepared folder -> arrays."""

import os
from types import MappingProxyType
from typing import Any

from moe_keras.data.dataset import Dataset, assemble
from moe_keras.data.tfds_download import import_tfds, not_prepared, prepare
from moe_keras.data.tfds_files import data_folder, find_prepared
from moe_keras.data.tfds_known import LICENCES
from moe_keras.data.tfds_read import form_of, read_split
from moe_keras.errors import require
from moe_keras.quiet import without_log


# TFDS says this to itself, of its own code.
@without_log("absl", "FeatureConnector.dtype` is deprecated")
def load_tfds(
    name: str,
    data_dir: str | os.PathLike[str] | None = None,
    download: bool = True,
    image_size: tuple[int, int] | None = None,
    input_key: str | None = None,
    label_key: str | None = None,
    **options: Any,
) -> Dataset:
    """A supervised data set of TensorFlow Datasets, whole, as arrays.

    Args:
        name: `NAME[/CONFIG][:VERSION]`, as TFDS writes it.
        data_dir: folder of prepared data; see `data_folder` for the default.
        download: whether to download and prepare what is not there.
        image_size: `(H, W)` to which images are resized; needed where they are
            of different sizes.
        input_key: which feature is the input, where TFDS names none.
        label_key: which feature is the label, where TFDS names none.
        **options: `validation_share` and `positive`, see `load_dataset`.

    Returns:
        `Dataset`, rows in TFDS' order, which never changes for one version.

    Raises:
        ImportError: when TFDS is not installed.
        FileNotFoundError: when the data are neither there nor to be had.
        ValueError: for a name that TFDS does not know, and for features that
            are not images, texts or tables with class labels.
    """
    folder = data_folder(data_dir)
    place = find_prepared(name, folder)
    tfds = import_tfds()
    if place is None and not download:
        raise not_prepared(name, folder, "`download` is False.")
    if place is None:
        place = prepare(name, folder)
    builder = tfds.builder_from_directory(str(place))
    info = builder.info
    inputs, label = _keys(info, input_key, label_key)
    form = form_of(info, inputs, image_size)
    require(
        "train" in info.splits,
        "load_dataset",
        f"tfds:{name} has no split `train` to learn from.",
        splits=sorted(info.splits),
    )
    splits = {
        split: read_split(builder, split, form, label)
        for split in ("train", "validation", "test")
        if split in info.splits
    }
    if "test" in splits and (splits["test"].labels < 0).any():
        del splits["test"]  # The publisher keeps the labels to itself.
    for split, one in splits.items():
        without = int((one.labels < 0).sum())
        rule = f"rows of split {split!r} of tfds:{name} have no label."
        require(not without, "load_dataset", rule, rows=without)
    return assemble(
        name=f"tfds:{name}",
        task=form.task,
        train=splits["train"],
        validation=splits.get("validation"),
        test=splits.get("test"),
        classes=tuple(info.features[label].names),
        schema=form.schema,
        licence=_licence(info),
        citation=info.citation,
        source=f"TensorFlow Datasets: {info.full_name}, {info.homepage}",
        description=info.description,
        metadata=MappingProxyType(dict(info.metadata or {})),
        **options,
    )


def _keys(
    info: Any, input_key: str | None, label_key: str | None
) -> tuple[str | dict[str, str], str]:
    """The names of the input feature, or features, and of the label."""
    named = info.supervised_keys or (None, None)
    inputs: Any = input_key or named[0]
    label = str(label_key or named[-1])
    features = dict(info.features)
    wanted = list(inputs.values()) if isinstance(inputs, dict) else [inputs]
    require(
        {*wanted, label} <= set(features) and len(named) == 2,
        "load_dataset",
        f"tfds:{info.name} needs `input_key` and `label_key`, out of "
        f"{sorted(features)}.",
        input_key=input_key,
        label_key=label_key,
    )
    require(
        type(features[label]).__name__ == "ClassLabel",
        "load_dataset",
        f"the label of tfds:{info.name} must be a ClassLabel.",
        label=f"{label}: {features[label]!r}",
    )
    return inputs, label


def _licence(info: Any) -> str:
    return (
        LICENCES.get(info.name)
        or getattr(info.redistribution_info, "license", "")
        or f"not given by TFDS; see {info.homepage}"
    )
