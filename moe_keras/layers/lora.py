"""LoRA in the layers of a given model: W + (1/R) A B with a frozen W.

Keras' own layers know it (`enable_lora`). What is added here: the rest of the
model is frozen too, and A and B are saved.
"""

from types import MethodType
from typing import Any

import keras

from moe_keras.errors import require

# What Keras' layers call A and B begins with this.
PREFIX = "lora_"


def add_lora(model: keras.Model, rank: int, owner: str) -> None:
    """Freeze a model, but for differences of low rank to its kernels.

    Args:
        model: `keras.Model`, built. A layer that has LoRA already keeps it, as
            one of a loaded model does.
        rank: int > 0, R.
        owner: whom to name in errors.

    Raises:
        ValueError: for a model that is not built, and for one without layers
            that know LoRA.
    """
    require(
        model.built,
        owner,
        "`lora_rank` needs a model that is built.",
        model=model.name,
    )
    # A model of KerasHub has `enable_lora` too, for some of its layers.
    layers = [
        layer for layer in _layers(model) if hasattr(layer, "lora_enabled")
    ]
    require(
        layers,
        owner,
        "`lora_rank` needs a model with layers that have `enable_lora`.",
        model=model.name,
    )
    for layer in layers:
        if not layer.lora_enabled:
            layer.enable_lora(rank)
        _save_apart(layer)
    freeze_base(model)


def freeze_base(model: keras.Model) -> None:
    """Freeze everything but LoRA's weights; statistics stay as they are.

    Args:
        model: `keras.Model` that `add_lora` was applied to.
    """
    for layer in _layers(model):
        # A frozen layer would freeze those inside it.
        whole = not list(layer._flatten_layers(include_self=False))
        if whole and not getattr(layer, "lora_enabled", False):
            layer.trainable = False
    for variable in model.variables:
        if not variable.name.startswith(PREFIX):
            variable.trainable = False


def _layers(model: keras.Model) -> list[Any]:
    return list(model._flatten_layers(include_self=False))


def _save_apart(layer: Any) -> None:
    """Save kernel, A and B as they are.

    Keras adds A B to the kernel in the file, and loads zeros for A and B: the
    same outputs, but from there neither factor has a gradient.
    """
    for name in ("save_own_variables", "load_own_variables"):
        method = getattr(keras.layers.Layer, name)
        setattr(layer, name, MethodType(method, layer))
