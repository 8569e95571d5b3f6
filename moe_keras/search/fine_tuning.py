"""The gate of a smaller model, trained on."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import keras

from moe_keras.asking import ask
from moe_keras.errors import require
from moe_keras.search.log_loss import Data, log_loss
from moe_keras.search.selection import Selection
from moe_keras.training import Stage, fit_stages

DEFAULT_STAGES = (Stage(name="gate", train="gate", epochs=3),)


def check_tuning(holder: Any, stages: Sequence[Stage], owner: str) -> None:
    """Refuse to train a gate that has nothing to learn, before the search."""
    only_gate = all(stage.parts == ("gate",) for stage in stages)
    require(
        stages and not (only_gate and not holder.gate.trainable_weights),
        owner,
        "`tuning_stages` must name a part with weights to train.",
        tuning_stages=[(stage.name, stage.train) for stage in stages],
        gate=holder.gate.name,
    )


def fine_tune(
    found: Selection,
    data: Any,
    stages: Sequence[Stage],
    rows: Data,
    from_logits: bool,
    seed: int,
    batch_size: int,
) -> Selection:
    """The same selection, its model trained in stages.

    Args:
        found: of `select_experts`.
        data: what `fit_stages` takes.
        stages: of the training.
        rows: where the loss is measured.
        from_logits: what the model's outputs are.
        seed: int >= 0.
        batch_size: int > 0.
    """
    model = found.model
    losses = keras.losses
    kind = (
        losses.BinaryCrossentropy
        if model.output_shape[-1] == 1
        else losses.SparseCategoricalCrossentropy
    )
    model.compile("adam", kind(from_logits=from_logits))
    fit_stages(model, data, stages, batch_size=batch_size, seed=seed, verbose=0)
    outputs = ask(model, rows.inputs, batch_size)
    loss = log_loss(outputs, rows, from_logits, "select_experts")
    return replace(found, tuned_loss=loss)
