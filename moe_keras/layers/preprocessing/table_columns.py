"""Raw columns of a table, by name -> the row that gate and experts read."""

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from moe_keras.errors import require
from moe_keras.layers.preprocessing.column_input import make_inputs
from moe_keras.layers.preprocessing.table_spec import check_table
from moe_keras.layers.preprocessing.texts import import_tensorflow
from moe_keras.layers.registration import register
from moe_keras.ops.expression import evaluate_expression

OWNER = "TableColumns"


@register
class TableColumns(keras.layers.Layer):
    """Raw columns of a table to rows of D floats, NaN where missing.

    The row has, in this order: the numeric columns; the ordered ones, each as
    the place 0..L-1 of its level; the derived ones; the categorical ones, as
    places too; and for each special value of a number a category of two levels,
    named like `debt=-9`: 1 where the column has that value, 0 elsewhere.

    A special value is no number: the number itself is missing there. Missing
    are also NaN, infinite numbers, numbers outside of the allowed range (unless
    they are to be clipped), the empty text, and levels that are not listed. A
    derived column is missing where one of its columns is, and where it divides
    by 0; it reads numbers after these rules, in float32.

    Numbers run on every backend. Texts in a model need TensorFlow, and then use
    its own operations only, so that a SavedModel needs no other package.
    Outside of a model, NumPy arrays of texts are read on every backend.

    Args:
        numbers: dicts with `name`; `special`, a list of numbers; `minimum` and
            `maximum`, the allowed range, both included; `outside`, `"missing"`
            or `"clip"`, what a number out of the range becomes. All but the
            name can be left out. Defaults to `()`.
        ordinals: dicts with `name` and `levels`, texts or numbers, from the
            lowest to the highest. Defaults to `()`.
        derived: dicts with `name` and `expression`, a formula over numbers,
            ordered columns and the derived ones before it; see
            `moe_keras.ops.expression`. Defaults to `()`.
        categories: dicts with `name` and `levels`, texts or numbers. Defaults
            to `()`.
        **kwargs: `keras.layers.Layer` arguments.

    Call arguments:
        inputs: dict with an entry for each raw column, `(B,)` or `(B, 1)`:
            numbers or bools, or texts where the levels are texts. Further
            entries are not read.

    Returns:
        float32 `(B, D)`, whatever the dtype policy.

    Example:
    >>> debt = [{"name": "debt", "special": [-9]}]
    >>> TableColumns(debt)({"debt": np.array([5, -9])}).numpy().tolist()
    [[5.0, 0.0], [nan, 1.0]]
    """

    def __init__(
        self,
        numbers: Sequence[Mapping[str, Any]] = (),
        ordinals: Sequence[Mapping[str, Any]] = (),
        derived: Sequence[Mapping[str, Any]] = (),
        categories: Sequence[Mapping[str, Any]] = (),
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self._spec = check_table(OWNER, numbers, ordinals, derived, categories)
        # Lower precision would merge numbers, and arrays of texts are no
        # tensors: each column is converted by itself.
        self._convert_input_args = False
        self._allow_non_tensor_positional_args = True
        self.supports_jit = not any(self._spec.raw.values())

    @property
    def row_names(self) -> list[str]:
        """The names of the row's D columns."""
        return [one.name for one in self._spec.row]

    @property
    def levels(self) -> list[int | None]:
        """For each of the D columns, how many levels; None for a number."""
        return [one.levels for one in self._spec.row]

    @property
    def raw_names(self) -> list[str]:
        """The names of the columns that a call must have."""
        return list(self._spec.raw)

    def make_inputs(
        self, taken: Collection[str] = ()
    ) -> dict[str, keras.KerasTensor]:
        """A model's inputs, by name: float32 `(B,)`, strings for texts.

        Args:
            taken: the names of the model's other layers, but for this one.
                Defaults to `()`.
        """
        return make_inputs(self._spec.raw, {self.name, *taken})

    def build(self, input_shape: Any = None) -> None:
        """There is nothing to build."""

    def call(self, inputs: Mapping[str, Any]) -> Any:
        self._check_names(inputs)
        raw = {
            name: _read(name, inputs[name], text)
            for name, text in self._spec.raw.items()
        }
        _check_rows({name: value.shape for name, value in raw.items()})
        numbers, marks = {}, []
        for one in self._spec.numbers:
            value, special = _clean(one, raw[one["name"]])
            numbers[one["name"]] = value
            marks += special
        for one in self._spec.ordinals:
            numbers[one["name"]] = _place(raw[one["name"]], one["levels"])
        for one, tree in zip(
            self._spec.derived, self._spec.expressions, strict=True
        ):
            numbers[one["name"]] = evaluate_expression(tree, numbers)
        places = [
            _place(raw[one["name"]], one["levels"])
            for one in self._spec.categories
        ]
        return ops.stack([*numbers.values(), *places, *marks], axis=1)

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        self._check_names(input_shape)
        rows = _check_rows({n: input_shape[n] for n in self._spec.raw})
        return (rows, len(self._spec.row))

    def compute_output_spec(self, inputs: Any) -> keras.KerasTensor:
        self._check_names(inputs)
        for name, text in self._spec.raw.items():
            _check_kind(name, inputs[name], text)
            require(
                not text or keras.backend.backend() == "tensorflow",
                OWNER,
                "a model that reads texts needs the TensorFlow backend; on "
                "this one, give levels that are numbers.",
                column=name,
                backend=keras.backend.backend(),
            )
        shapes = {name: inputs[name].shape for name in self._spec.raw}
        return keras.KerasTensor(self.compute_output_shape(shapes), "float32")

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "numbers": [dict(one) for one in self._spec.numbers],
            "ordinals": [dict(one) for one in self._spec.ordinals],
            "derived": [dict(one) for one in self._spec.derived],
            "categories": [dict(one) for one in self._spec.categories],
        }

    def _check_names(self, inputs: Any) -> None:
        require(
            isinstance(inputs, Mapping),
            OWNER,
            "`inputs` must be a dict of columns by name.",
            inputs=type(inputs).__name__,
        )
        missing = [name for name in self._spec.raw if name not in inputs]
        require(
            not missing,
            OWNER,
            "`inputs` lacks columns.",
            missing=missing,
            found=sorted(map(str, inputs)),
        )


def _check_kind(name: str, value: Any, text: bool) -> None:
    """Texts where texts belong, and numbers where numbers do."""
    dtype = value.dtype
    if isinstance(dtype, np.dtype):
        found, is_text = dtype.name, dtype.kind not in "biuf"
    else:
        found = keras.backend.standardize_dtype(dtype)
        is_text = found == "string"
    require(
        is_text == text,
        OWNER,
        f"a column must hold {'texts' if text else 'numbers'}.",
        column=name,
        dtype=found,
    )


def _check_rows(shapes: Mapping[str, Any]) -> int | None:
    """The batch size that is known of all columns together, if any is."""
    rows: dict[int, str] = {}
    for name, shape in shapes.items():
        require(
            len(shape) == 1 or (len(shape) == 2 and shape[1] in (1, None)),
            OWNER,
            "a column must be (B,) or (B, 1).",
            column=name,
            shape=tuple(shape),
        )
        if shape[0] is not None:
            rows.setdefault(int(shape[0]), name)
    require(
        len(rows) <= 1,
        OWNER,
        "all columns must have the same rows.",
        **{f"rows of {name!r}": count for count, name in rows.items()},
    )
    return next(iter(rows), None)


def _read(name: str, value: Any, text: bool) -> Any:
    """A column `(B,)`: float32, or texts."""
    if not hasattr(value, "dtype") or not hasattr(value, "shape"):
        value = np.asarray(value)
    elif not isinstance(value, np.ndarray) and hasattr(value, "to_numpy"):
        value = value.to_numpy()
    _check_kind(name, value, text)
    if len(value.shape) != 1:
        _check_rows({name: value.shape})
    if text and keras.backend.backend() != "tensorflow":
        return np.asarray(value, dtype=object).reshape(-1)
    if text:
        tf = import_tensorflow(OWNER)
        return tf.reshape(tf.convert_to_tensor(value, tf.string), [-1])
    if isinstance(value, np.ndarray):
        with np.errstate(over="ignore"):
            value = value.astype("float32")
    value = ops.cast(ops.convert_to_tensor(value), "float32")
    return value if len(value.shape) == 1 else ops.reshape(value, (-1,))


def _clean(one: Mapping[str, Any], value: Any) -> tuple[Any, list[Any]]:
    """A number, NaN where missing, and a column for each special value."""
    special = [ops.equal(value, float(s)) for s in one["special"]]
    missing = ops.logical_not(ops.isfinite(value))
    for same in special:
        missing = ops.logical_or(missing, same)
    for bound, beyond, cut in (
        ("minimum", ops.less, ops.maximum),
        ("maximum", ops.greater, ops.minimum),
    ):
        if one[bound] is None:
            continue
        limit = float(one[bound])
        if one["outside"] == "clip":
            value = cut(value, limit)
        else:
            missing = ops.logical_or(missing, beyond(value, limit))
    marks = [ops.cast(same, "float32") for same in special]
    return ops.where(missing, math.nan, value), marks


def _place(value: Any, levels: Sequence[Any]) -> Any:
    """The place of each row's level, NaN where it is none of them."""
    if isinstance(levels[0], str):
        same = _same_texts(value, levels)
    else:
        table = ops.convert_to_tensor(np.asarray(levels, "float32"))
        same = ops.equal(value[:, None], table)
    same = ops.cast(same, "float32")
    places = ops.arange(len(levels), dtype="float32")
    found = ops.sum(same, axis=1) > 0
    return ops.where(found, ops.sum(same * places, axis=1), math.nan)


def _same_texts(value: Any, levels: Sequence[str]) -> Any:
    """Whether each row's text is each level, `(B, L)`."""
    if isinstance(value, np.ndarray):
        texts = [
            one.decode() if isinstance(one, bytes) else one for one in value
        ]
        same = [[text == level for level in levels] for text in texts]
        return np.asarray(same, dtype="bool").reshape(-1, len(levels))
    tf = import_tensorflow(OWNER)
    # Operations on texts are nowhere else.
    with tf.device("CPU:0"):
        return tf.equal(value[:, None], tf.constant(list(levels)))
