"""Features of TensorFlow Datasets, and how examples of them become arrays."""

import re
from dataclasses import dataclass
from typing import Any

import numpy as np

from moe_keras.data.dataset import Feature
from moe_keras.data.split import Inputs, Split
from moe_keras.data.tfds_known import COLUMNS
from moe_keras.errors import require

# Examples that are decoded at a time.
_CHUNK = 1024
# TFDS' classes of features without more meaning than their dtype.
_PLAIN = ("Tensor", "Scalar")


@dataclass(frozen=True)
class Form:
    """What the inputs of a data set are.

    Attributes:
        keys: the input feature, or for each column of a table its feature.
        task: see `Dataset`.
        schema: see `Dataset`.
        image_size: `(H, W)` to resize images to, or None.
        categories: the names of a column's codes, by column.
    """

    keys: str | dict[str, str]
    task: str
    schema: tuple[Feature, ...]
    image_size: tuple[int, int] | None
    categories: dict[str, tuple[str, ...]]


def form_of(
    info: Any,
    keys: str | dict[str, str],
    image_size: tuple[int, int] | None = None,
) -> Form:
    """The form of a data set's inputs.

    Args:
        info: `tfds.core.DatasetInfo`.
        keys: the input feature, or for each column of a table its feature.
        image_size: `(H, W)` to resize images to, or None.

    Raises:
        ValueError: for anything but an image, a text, numbers `(D,)` or a table
            of single values.
    """
    require(
        image_size is None
        or (isinstance(keys, str) and _kind(info.features[keys]) == "Image"),
        "load_dataset",
        f"the inputs of tfds:{info.name} are no images.",
        image_size=image_size,
    )
    if isinstance(keys, dict):
        found = {name: info.features[key] for name, key in keys.items()}
        categories = {
            name: tuple(feature.names)
            for name, feature in found.items()
            if _kind(feature) == "ClassLabel"
        }
        schema = tuple(_column(info, *item) for item in found.items())
        return Form(keys, "tabular", schema, None, categories)
    feature = info.features[keys]
    task, schema = "tabular", ()
    if _kind(feature) == "Image":
        task, schema = "image", (_image(info, feature, image_size),)
    elif _is_text(feature):
        task, schema = "text", (Feature("text", "string"),)
    else:
        schema = _numbers(info, feature)
    return Form(keys, task, schema, image_size, {})


def read_split(builder: Any, split: str, form: Form, label: str) -> Split:
    """One split as arrays, rows in the order in which they are stored.

    Args:
        builder: `tfds.core.DatasetBuilder` of prepared data.
        split: its name.
        form: see `form_of`.
        label: the label's feature.

    Raises:
        RuntimeError: when the files do not hold the rows that they should.
    """
    import tensorflow as tf
    import tensorflow_datasets as tfds

    keys = form.keys
    needed = {label, *(keys.values() if isinstance(keys, dict) else [keys])}
    examples = builder.as_dataset(
        split=split,
        # One file after the other, or the order hangs on their number.
        read_config=tfds.ReadConfig(
            interleave_cycle_length=1, try_autocache=False
        ),
        decoders=tfds.decode.PartialDecoding(dict.fromkeys(needed, True)),
    )
    if form.image_size is not None:
        examples = examples.map(
            lambda example: {
                **example,
                keys: _resized(example[keys], form.image_size),
            },
            num_parallel_calls=tf.data.AUTOTUNE,
        )
    batches: list[dict[str, np.ndarray]] = []
    try:
        batches.extend(examples.batch(_CHUNK).as_numpy_iterator())
    except tf.errors.OpError as error:
        raise _damaged(builder, split, error.message) from error
    whole = {
        key: np.concatenate([batch[key] for batch in batches]) for key in needed
    }
    return _split(whole, form, label)


def _split(whole: dict[str, np.ndarray], form: Form, label: str) -> Split:
    labels = whole[label].astype("int64")
    if isinstance(form.keys, dict):
        columns: Inputs = {
            name: _tidy(whole[key], form.categories.get(name))
            for name, key in form.keys.items()
        }
        return Split(columns, labels)
    names: tuple[str, ...] = ()
    if form.task == "tabular":
        names = tuple(column.name for column in form.schema)
    return Split(_tidy(whole[form.keys]), labels, names)


def _resized(image: Any, size: tuple[int, int]) -> Any:
    import tensorflow as tf

    resized = tf.image.resize(image, size, antialias=True)
    return tf.saturate_cast(tf.round(resized), image.dtype)


def _tidy(
    values: np.ndarray, categories: tuple[str, ...] | None = None
) -> np.ndarray:
    """Texts as `str` instead of bytes, codes by their names."""
    if categories is not None:
        # The last one is for -1, TFDS' code of what is not known.
        names = np.array([*categories, ""], dtype=object)
        return np.take(names, values)
    if values.dtype != object:
        return values
    texts = np.empty(len(values), dtype=object)
    texts[:] = [value.decode(errors="replace") for value in values]
    return texts


def _damaged(builder: Any, split: str, why: str) -> RuntimeError:
    # TensorFlow puts the place in its graph before what it has to say.
    why = re.sub(r"\{\{.*?\}\} ", "", why)
    return RuntimeError(
        f"load_dataset: the files of split {split!r} in {builder.data_dir} are "
        f"damaged: {why}. Remove the folder and prepare it again."
    )


def _kind(feature: Any) -> str:
    # By name: TFDS' classes are the same for files and for code.
    return type(feature).__name__


def _is_text(feature: Any) -> bool:
    return _kind(feature) == "Text" or (
        _kind(feature) in _PLAIN
        and feature.shape == ()
        and np.dtype(feature.np_dtype).kind == "O"
    )


def _is_number(feature: Any) -> bool:
    # Of numpy's kinds: bool, signed, unsigned, float.
    return (
        _kind(feature) in _PLAIN and np.dtype(feature.np_dtype).kind in "biuf"
    )


def _image(
    info: Any, feature: Any, image_size: tuple[int, int] | None
) -> Feature:
    height, width, channels = feature.shape
    if image_size is not None:
        height, width = image_size
    require(
        None not in (height, width, channels),
        "load_dataset",
        f"the images of tfds:{info.name} are of different sizes, {feature}: "
        "give the size to resize them to.",
        image_size=image_size,
    )
    dtype = np.dtype(feature.np_dtype).name
    return Feature("image", dtype, (height, width, channels))


def _numbers(info: Any, feature: Any) -> tuple[Feature, ...]:
    require(
        _is_number(feature)
        and len(feature.shape) == 1
        and feature.shape[0] is not None,
        "load_dataset",
        f"the inputs of tfds:{info.name} must be images, texts, numbers (D,) "
        "or single values by name.",
        feature=feature,
    )
    width = feature.shape[0]
    names = COLUMNS.get(info.name) or [f"feature_{i}" for i in range(width)]
    dtype = np.dtype(feature.np_dtype).name
    return tuple(Feature(name, dtype) for name in names)


def _column(info: Any, name: str, feature: Any) -> Feature:
    if _kind(feature) == "ClassLabel" or _is_text(feature):
        return Feature(name, "string")
    require(
        _is_number(feature) and feature.shape == (),
        "load_dataset",
        f"column {name!r} of tfds:{info.name} must be a number, a text or a "
        "class.",
        feature=feature,
    )
    return Feature(name, np.dtype(feature.np_dtype).name)
