"""From a recipe to a compiled model: optimizer, schedule, loss, metrics."""

from typing import Any

import keras

from moe_keras.errors import require
from moe_keras.training.recipe import Recipe
from moe_keras.training.schedule import RecipeSchedule
from moe_keras.training.smoothed_cross_entropy import SmoothedCrossEntropy

# Decay pulls kernels to 0, not the shifts, and not the gains away from 1.
NOT_DECAYED = ("bias", "gamma", "beta", "scale")


def compile_from_recipe(
    model: keras.Model, recipe: Recipe, steps_per_epoch: int
) -> None:
    """Compile a classifier as its recipe says.

    A model with one output unit is taken to return P(label 1), and wants labels
    `(N, 1)`; one with more units returns the classes' probabilities and wants
    labels `(N,)`. The metrics are `accuracy` and `log_loss`,
    which unlike the loss holds no smoothing and no losses of gates.

    Args:
        model: built `keras.Model`.
        recipe: its optimizer, schedule, loss and epochs.
        steps_per_epoch: int > 0, for the schedule.
    """
    loss, metrics = loss_and_metrics(model, recipe)
    model.compile(
        optimizer=make_optimizer(recipe, steps_per_epoch),
        loss=loss,
        metrics=metrics,
    )


def loss_and_metrics(
    model: keras.Model, recipe: Recipe
) -> tuple[keras.losses.Loss, list[Any]]:
    """The loss that a recipe trains with, and what is shown beside it.

    Args:
        model: whose output they are of; see `compile_from_recipe`.
        recipe: its loss.
    """
    smoothing = recipe.loss.label_smoothing
    shape = getattr(model, "output_shape", None)
    require(
        isinstance(shape, tuple) and len(shape) == 2,
        "compile_from_recipe",
        "`model` must return one (B, C) tensor of probabilities.",
        output_shape=shape,
    )
    loss: keras.losses.Loss
    if shape[-1] == 1:
        loss = keras.losses.BinaryCrossentropy(label_smoothing=smoothing)
        log_loss = keras.metrics.BinaryCrossentropy(name="log_loss")
        accuracy = keras.metrics.BinaryAccuracy(name="accuracy")
    else:
        loss = (
            SmoothedCrossEntropy(smoothing)
            if smoothing
            else keras.losses.SparseCategoricalCrossentropy()
        )
        log_loss = keras.metrics.SparseCategoricalCrossentropy(name="log_loss")
        accuracy = keras.metrics.SparseCategoricalAccuracy(name="accuracy")
    return loss, [accuracy, log_loss]


def make_slots(model: keras.Model) -> None:
    """Make the optimizer's variables, before `fit` traces its first step.

    Keras makes them inside the first trace; TensorFlow then throws that trace
    away, and takes as long for another.

    Args:
        model: `keras.Model`, compiled, with what it is to train.
    """
    if model.trainable_variables:
        model.optimizer.build(model.trainable_variables)


def compile_for_use(model: keras.Model) -> None:
    """Compile a trained classifier anew, with nothing but Keras' own parts.

    Its file then needs no more than `import moe_keras.layers` to be loaded, is
    a third as large as with Adam's state, and the model can be evaluated.
    """
    kind = "binary" if model.output_shape[-1] == 1 else "sparse_categorical"
    # Of Keras' optimizers, the one without a state for each weight.
    model.compile("sgd", f"{kind}_crossentropy", metrics=["accuracy"])


def make_optimizer(
    recipe: Recipe, steps_per_epoch: int
) -> keras.optimizers.Optimizer:
    """The optimizer of a recipe, with its schedule."""
    asked = recipe.optimizer
    options: dict[str, Any] = {
        "learning_rate": _learning_rate(recipe, steps_per_epoch),
        "clipnorm": asked.clipnorm,
    }
    if asked.ema is not None:
        options |= {"use_ema": True, "ema_momentum": asked.ema}
    if asked.weight_decay is not None:
        options["weight_decay"] = asked.weight_decay
    if asked.name == "sgd":
        options["momentum"] = asked.momentum or 0.0
        options["nesterov"] = asked.nesterov
    kinds = {
        "adam": keras.optimizers.Adam,
        "adamw": keras.optimizers.AdamW,
        "sgd": keras.optimizers.SGD,
    }
    optimizer = kinds[asked.name](**options)
    if asked.weight_decay is not None:
        optimizer.exclude_from_weight_decay(var_names=list(NOT_DECAYED))
    return optimizer


def _learning_rate(recipe: Recipe, steps_per_epoch: int) -> Any:
    schedule, peak = recipe.schedule, recipe.optimizer.learning_rate
    if schedule.name == "constant" and not schedule.warmup:
        return peak
    steps = recipe.epochs * steps_per_epoch
    warmup = min(round(schedule.warmup * steps), steps - 1)
    return RecipeSchedule(schedule.name, peak, steps, warmup)
