"""The builders that a recipe can name, and what it may hand to them."""

import difflib
import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError

from moe_keras.schema import RiskSchema
from moe_keras.training.forest_fit import fit_forests
from moe_keras.training.forest_kinds import ForestKind
from moe_keras.zoo import (
    build_image_moe,
    build_risk_moe,
    build_sentiment_moe,
)
from moe_keras.zoo.image.builder import VARIANTS as IMAGE_VARIANTS
from moe_keras.zoo.sentiment.experts import with_thresholds

if TYPE_CHECKING:
    from moe_keras.data import Dataset

BUILDERS: dict[str, Callable[..., keras.Model]] = {
    "image": build_image_moe,
    "risk": build_risk_moe,
    "sentiment": build_sentiment_moe,
}

# Where a builder has variants: the functions that take its `**options`, whose
# first two parameters are no options.
VARIANTS: dict[str, Mapping[str, Callable[..., Any]]] = {
    "image": IMAGE_VARIANTS
}

# What a builder is told by the data, where its signature asks for it.
DATA_ARGUMENTS: dict[str, Callable[["Dataset"], Any]] = {
    "input_shape": lambda data: np.shape(data.train.inputs)[1:],
    "num_classes": lambda data: len(data.classes),
    "texts": lambda data: data.train.inputs,
    "labels": lambda data: data.train.labels,
    "table": lambda data: data.train.inputs,
}
# Of these, what is rows of the data, and too much to be written down.
_ROWS = {"texts", "labels", "table"}
# What a recipe writes for arguments that no file can hold.
_WRITTEN: dict[str, Any] = {"forests": list[ForestKind]}
_NOT_IN_RECIPES = {*DATA_ARGUMENTS, "name"}
# A builder's annotations may name classes of others, such as Keras' layers.
_CONFIG = ConfigDict(arbitrary_types_allowed=True, allow_inf_nan=False)


def build_from_data(
    builder: str, arguments: Mapping[str, Any], data: "Dataset", name: str
) -> keras.Model:
    """Build a model for a data set.

    Args:
        builder: a key of `BUILDERS`.
        arguments: of the builder, by name.
        data: says the input's shape and the number of classes.
        name: of the model.

    Returns:
        `keras.Model`, not compiled. Its forests, if it has some, are fitted to
        the training rows.
    """
    from_data = {
        argument: DATA_ARGUMENTS[argument](data)
        for argument in _told_by_data(builder)
    }
    made = {**arguments}
    if builder == "risk":
        made["schema"] = read_schema(arguments)
        made["forests"] = fit_forests(
            made["schema"],
            data.train.inputs,
            data.train.labels,
            make_forests(arguments),
        )
    return BUILDERS[builder](**from_data, **made, name=name)


def read_schema(arguments: Mapping[str, Any]) -> RiskSchema:
    """What a recipe's arguments say of the columns of a table."""
    schema = arguments["schema"]
    if isinstance(schema, RiskSchema):
        return schema
    return RiskSchema.model_validate(schema)


def make_forests(arguments: Mapping[str, Any]) -> list[Any]:
    """The classifiers of trees of a recipe's arguments, not fitted.

    Raises:
        ImportError: when a library is not installed.
    """
    monotone = any(read_schema(arguments).row_monotone().signs)
    return [
        ForestKind.model_validate(one).make(monotone)
        for one in arguments.get("forests", ())
    ]


def describe_build(
    builder: str, arguments: Mapping[str, Any], data: "Dataset"
) -> dict[str, Any]:
    """What a preset says of its builder: `name` and `arguments`.

    Args:
        builder: a key of `BUILDERS`.
        arguments: of the builder, by name.
        data: says the input's shape and the number of classes, and what depends
            on the number of texts; its rows, which a builder of texts reads,
            are left out.
    """
    from_data = {
        argument: DATA_ARGUMENTS[argument](data)
        for argument in _told_by_data(builder)
        if argument not in _ROWS
    }
    if builder == "sentiment":
        arguments = with_thresholds(
            arguments, data.train.labels, len(data.classes)
        )
    return {"name": builder, "arguments": {**arguments, **from_data}}


def _told_by_data(builder: str) -> list[str]:
    """Which of a builder's arguments the data say."""
    known = inspect.signature(BUILDERS[builder]).parameters
    return [argument for argument in DATA_ARGUMENTS if argument in known]


def merge_arguments(
    arguments: Mapping[str, Any], changes: Mapping[str, Any]
) -> dict[str, Any]:
    """Arguments with some of them changed; another variant starts afresh."""
    return {**({} if "variant" in changes else arguments), **changes}


def check_arguments(
    builder: str, arguments: Mapping[str, Any], *place: int | str
) -> None:
    """Check arguments against a builder's signature: names and types.

    Args:
        builder: a key of `BUILDERS`.
        arguments: by name.
        *place: keys that lead to the arguments, for the errors.

    Raises:
        ValidationError: of pydantic, with an error for each wrong argument.
    """
    errors = []
    variants = VARIANTS.get(builder, {})
    variant = arguments.get("variant")
    if variants and variant is not None and variant not in variants:
        message = f"must be one of {', '.join(variants)}"
        errors.append(_error(message, (*place, "variant"), variant))
        arguments = {}
    known = _parameters(builder, variant if variant in variants else None)
    for name, value in arguments.items():
        if name not in known:
            message = unknown(name, known, _NOT_IN_RECIPES)
            errors.append(_error(message, (*place, name), value))
            continue
        errors += _faults(
            _WRITTEN.get(name, known[name].annotation), value, (*place, name)
        )
    for name, parameter in known.items():
        needed = parameter.default is inspect.Parameter.empty
        if needed and not errors and name not in arguments:
            errors.append(_error("is missing", (*place, name), None))
    if errors:
        raise ValidationError.from_exception_data("arguments", errors)


def _faults(
    wanted: Any, value: Any, place: tuple[int | str, ...]
) -> list[InitErrorDetails]:
    """What is wrong with a value, for what is wanted in its place."""
    own = isinstance(wanted, type) and issubclass(wanted, BaseModel)
    try:
        # What brings its own rules can take none besides.
        TypeAdapter(wanted, config=None if own else _CONFIG).validate_python(
            value
        )
    except ValidationError as error:
        found = error.errors()
        if own or wanted in _WRITTEN.values():
            return [
                _error(one["msg"], (*place, *one["loc"]), one["input"])
                for one in found
            ]
        # Of a union's branches, the first is as good as any.
        return [_error(found[0]["msg"], place, value)]
    return []


def _parameters(
    builder: str, variant: str | None
) -> dict[str, inspect.Parameter]:
    """What a recipe can say to a builder, and to its variant."""
    build, variants = BUILDERS[builder], VARIANTS.get(builder, {})
    signature = inspect.signature(build, eval_str=True)
    known = dict(signature.parameters)
    if variants:
        # The first is what the builder takes where none is named.
        grow = variants[variant or next(iter(variants))]
        options = inspect.signature(grow, eval_str=True).parameters
        known |= list(options.items())[2:]
    return {
        name: parameter
        for name, parameter in known.items()
        if name not in _NOT_IN_RECIPES
        and parameter.kind is not inspect.Parameter.VAR_KEYWORD
    }


def unknown(
    name: str, known: Iterable[str], given_elsewhere: Iterable[str] = ()
) -> str:
    """What to say of a key that is not known."""
    if name in given_elsewhere:
        return "is not for a recipe to say: it comes from the data or the name"
    near = difflib.get_close_matches(str(name), list(known), n=1)
    return "unknown key" + (f"; did you mean {near[0]}?" if near else "")


def _error(
    message: str, place: tuple[int | str, ...], value: Any
) -> InitErrorDetails:
    # As a value, not as a template: it may hold braces.
    kind = PydanticCustomError("argument", "{message}", {"message": message})
    return InitErrorDetails(type=kind, loc=place, input=value)
