"""Image models that start from a preset's weights."""

from collections.abc import Callable, Mapping
from typing import Any

import keras

from moe_keras.errors import require
from moe_keras.zoo.presets.loading import list_presets, load_arrays, load_info
from moe_keras.zoo.presets.weight_file import assign_weights
from moe_keras.zoo.presets.weight_names import name_weights

OWNER = "build_image_moe"
BUILDER = "image"
# What may differ from the preset: the weights of the body fit all the same.
FREE = frozenset(
    {
        "augmentation",
        "balance_loss",
        "importance_loss",
        "dispatch",
        "dropout",
        "expert_augmentation",
        "flip",
        "name",
        "num_classes",
        "trainable",
    }
)


def build_from_weights(
    weights: str,
    given: Mapping[str, Any],
    defaults: Callable[[Mapping[str, Any]], Mapping[str, Any]],
    build: Callable[..., keras.Model],
) -> keras.Model:
    """Build the model of a preset and give it the preset's weights.

    Args:
        weights: handle of the preset, or the name of its data set.
        given: the builder's arguments that the user gave.
        defaults: from arguments to the defaults of the others.
        build: from arguments to a model with new weights.

    Returns:
        `keras.Model`. Where the number of classes is not the preset's, the
        weights that depend on it are new.
    """
    handle = _find(weights)
    info = load_info(handle)
    require(
        info.builder is not None and info.builder["name"] == BUILDER,
        OWNER,
        "`weights` must be a preset that this function can build; from_preset "
        "loads the others.",
        weights=weights,
        builder=info.builder and info.builder["name"],
    )
    arguments = (info.builder or {})["arguments"]
    usual = {**defaults(arguments), **arguments}
    clashes = [
        name
        for name, value in given.items()
        if name not in FREE
        and name in usual
        and _plain(value) != _plain(usual[name])
    ]
    require(
        not clashes,
        OWNER,
        "arguments must agree with the preset of `weights`; leave them out to "
        "take the preset's.",
        weights=weights,
        given={name: given[name] for name in clashes},
        preset={name: usual[name] for name in clashes},
    )
    model = build(**{**usual, **given})
    _fill(model, handle, usual["num_classes"])
    return model


def _find(weights: str) -> str:
    """The handle behind the name of a preset or of a data set."""
    if "/" in weights:
        return weights
    names = [info.name for info in list_presets(BUILDER)]
    for name in (weights, f"{weights}_moe"):
        if name in names:
            return f"{BUILDER}/{name}"
    require(
        False,
        OWNER,
        "`weights` must name a data set or an image preset of the zoo, which "
        f"has {', '.join(names) or 'none'}; or be a handle of load_preset.",
        weights=weights,
    )
    return weights


def _plain(value: Any) -> Any:
    """As JSON would return it; the order of experts counts."""
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, Mapping):
        return [[key, _plain(item)] for key, item in value.items()]
    return value


def _fill(model: keras.Model, handle: str, old: int) -> None:
    """Assign all weights but those that depend on the number of classes."""
    new = model.output_shape[-1]
    weights = name_weights(model)
    arrays = load_arrays(handle, weights, growth=-(-old // new))
    head = {
        name
        for name, weight in weights.items()
        if old != new
        and weight.shape[-1:] == (new,)
        and arrays[name].shape == (*weight.shape[:-1], old)
    }
    body = {name: weights[name] for name in weights if name not in head}
    assign_weights(body, arrays, OWNER, preset=handle)
