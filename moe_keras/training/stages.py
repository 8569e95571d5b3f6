"""Training a mixture in stages: the experts, the gate, the fusion, all."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import keras

from moe_keras.errors import is_count, require
from moe_keras.layers import MixtureOfExperts
from moe_keras.training.best_weights import BestWeights
from moe_keras.training.compiling import make_slots
from moe_keras.training.dense_gates import dense_gates
from moe_keras.training.expert_view import with_expert_outputs
from moe_keras.training.finite import (
    FiniteWeights,
    require_finite_pictures,
)
from moe_keras.training.freezing import Freezer
from moe_keras.training.generators import held_generators
from moe_keras.training.input_pipeline import (
    InputPipeline,
    as_array,
    drawn_seed,
)
from moe_keras.training.recipe_parts import Monitor
from moe_keras.training.routing_log import RoutingLog
from moe_keras.training.stage import DEFAULT_STAGES, Stage
from moe_keras.training.stage_model import StageModel

OWNER = "fit_stages"


class StagesHistory(keras.callbacks.History):
    """The histories of all stages as one.

    Attributes:
        history: by name, one value for each epoch, NaN where a stage has none;
            under `stage`, the name of the epoch's stage.
        epoch: the numbers of the epochs, counted from 0 through all stages.
        notes: a line for each stage that was passed over.
    """

    def __init__(self) -> None:
        super().__init__()
        self.epoch: list[int] = []
        self.history: dict[str, list[Any]] = {}
        self.notes: list[str] = []

    def join(self, stage: str, found: keras.callbacks.History) -> None:
        """Put the epochs of a stage, by its name, behind those there are."""
        before, count = len(self.epoch), len(found.epoch)
        new = {**found.history, "stage": [stage] * count}
        for name in {**self.history, **new}:
            values = self.history.setdefault(name, [math.nan] * before)
            values.extend(new.get(name, [math.nan] * count))
        self.epoch.extend(range(before, before + count))

    def pass_over(self, stage: Stage) -> None:
        """Note that a stage has nothing to train."""
        self.notes.append(
            f"{stage.name}: passed over, as there is no weight to train in "
            f"{stage.train!r}"
        )


@held_generators()
def fit_stages(
    model: keras.Model,
    data: Any,
    stages: Sequence[Stage] | None = None,
    validation_data: Any = None,
    batch_size: int | None = None,
    optimizer: (
        str
        | keras.optimizers.Optimizer
        | Callable[[float], keras.optimizers.Optimizer]
    ) = "adam",
    callbacks: Sequence[keras.callbacks.Callback] = (),
    seed: int | None = None,
    verbose: int | str = "auto",
    mixture: MixtureOfExperts | str | None = None,
    from_logits: bool = True,
) -> StagesHistory:
    """Train one part of a model after the other, each with a plain `fit`.

    Every stage has its own epochs, learning rate and loss, and an optimizer
    without a past. What a stage does not train keeps its values to the bit,
    batch statistics too; only a mixture's running figures of its routing go on
    in every stage. Layers that were frozen before stay frozen. At the end,
    after an error too, all flags are as before, and the model is compiled as it
    was, with its own optimizer.

    Args:
        model: built `keras.Model`; compiled, if a stage has the loss `"model"`.
            For losses of experts, see also `with_expert_outputs`.
        data: `(x, y)` or `(x, y, sample_weight)` of arrays, what has such
            `arrays`, as a `Split`, or all else that `fit` takes as `x`, such as
            a `tf.data.Dataset`. Losses of experts need labels `(B,)`.
        stages: in their order. Defaults to experts (each alone), gate, fusion
            and all, for 5, 3, 3 and 5 epochs. A stage without a weight to train
            is passed over, and noted in the history.
        validation_data: the same, or None.
        batch_size: int > 0, for arrays; None for Keras' own.
        optimizer: a name; an optimizer, whose configuration is taken anew in
            each stage, with the stage's rate; or a function from that rate to a
            new one.
        callbacks: of Keras, for every stage. Their `model` is the model itself
            where the loss is its own, and a view of it where it is of experts.
        seed: int >= 0 for `keras.utils.set_random_seed`, or None. Arrays are
            shuffled anew for each epoch; Keras' own `fit`, after such a seed,
            has the same batches in every epoch on TensorFlow.
        verbose: as of `fit`.
        mixture: whose experts are asked; see `with_expert_outputs`.
        from_logits: whether experts return logits; the same.

    Returns:
        One history of all stages, a `keras.callbacks.History`.

    Raises:
        ValueError: for stages that do not fit the model, and where no stage
            has anything to train.

    Source: Jacobs et al. (1991), Neural Computation 3(1), for losses that make
        experts compete, against training each alone.
    """
    stages = DEFAULT_STAGES if stages is None else tuple(stages)
    _check(model, stages, validation_data, batch_size)
    freezer = Freezer(model)
    freezer.check([part for stage in stages for part in stage.parts], OWNER)
    if seed is not None:
        keras.utils.set_random_seed(seed)
    held_out = getattr(validation_data, "arrays", validation_data)
    given = {"train": _source(data, batch_size, seed)}
    if any(stage.data == "validation" for stage in stages):
        given["validation"] = _source(
            held_out, batch_size if isinstance(held_out, tuple) else None, seed
        )
    asked = any(stage.asks_experts for stage in stages)
    view = with_expert_outputs(model, mixture, from_logits) if asked else None
    joined, settings = StagesHistory(), _compiled_with(model)
    try:
        for stage in stages:
            with (
                freezer.only(stage.parts),
                dense_gates(model, stage.dense_gates),
            ):
                if not model.trainable_variables:
                    joined.pass_over(stage)
                    continue
                trainer = model
                if stage.asks_experts:
                    trainer = StageModel(model, view, stage)
                _compile(trainer, settings, stage, optimizer)
                own = {"verbose": verbose}
                if stage.data == "train":
                    own["validation_data"] = held_out
                    own["validation_batch_size"] = batch_size
                _run(trainer, stage, joined, given[stage.data], own, callbacks)
    finally:
        if settings:
            model.compile(**settings)
    require(
        joined.epoch,
        OWNER,
        "`stages` must hold one with weights to train.",
        notes=joined.notes,
    )
    return joined


def _run(
    trainer: keras.Model,
    stage: Stage,
    joined: StagesHistory,
    source: InputPipeline | dict[str, Any],
    own: dict[str, Any],
    callbacks: Sequence[keras.callbacks.Callback],
) -> None:
    """One stage: `fit`, and the weights of its best epoch."""
    best = None
    if stage.patience is not None:
        best = BestWeights(Monitor(metric="val_loss", patience=stage.patience))
    first = len(joined.epoch)
    last = first + stage.epochs
    given, followers = source, []
    if isinstance(source, InputPipeline):
        given, followers = source.for_fit(first, last)
    make_slots(trainer)
    found = trainer.fit(
        **given,
        **own,
        initial_epoch=first,
        epochs=last,
        callbacks=[
            *(*followers, FiniteWeights(), RoutingLog(), *callbacks),
            *([] if best is None else [best]),
        ],
    )
    if best is not None:
        best.apply()
    joined.join(stage.name, found)


def _check(
    model: Any, stages: Sequence[Any], validation_data: Any, batch_size: Any
) -> None:
    require(
        isinstance(model, keras.Model) and model.built,
        OWNER,
        "`model` must be a keras.Model that is built.",
        model=model,
    )
    require(
        stages and all(isinstance(stage, Stage) for stage in stages),
        OWNER,
        "`stages` must be one or more of Stage.",
        stages=stages,
    )
    require(
        model.compiled or all(stage.loss != "model" for stage in stages),
        OWNER,
        "`model` must be compiled, for stages with its own loss.",
        compiled=model.compiled,
    )
    require(
        validation_data is not None
        or not any(s.patience or s.data == "validation" for s in stages),
        OWNER,
        "`validation_data` must be given, for a stage with `patience` or that "
        "learns from it.",
        stages=[stage.name for stage in stages],
    )
    require(
        batch_size is None or is_count(batch_size),
        OWNER,
        "`batch_size` must be an integer above 0, or None.",
        batch_size=batch_size,
    )


def _source(
    data: Any, batch_size: int | None, seed: int | None
) -> InputPipeline | dict[str, Any]:
    """Batches of arrays, or what `fit` is to be told of other data."""
    data = getattr(data, "arrays", data)
    if isinstance(data, tuple):
        require(
            len(data) in (2, 3),
            OWNER,
            "`data` must be (x, y) or (x, y, sample_weight).",
            length=len(data),
        )
        require_finite_pictures(OWNER, data[0])
        x, y, *weights = keras.tree.map_structure(as_array, data)
        return InputPipeline(
            x,
            y,
            batch_size or 32,
            drawn_seed(seed),
            by_length=False,
            weights=weights[0] if weights else None,
        )
    require(
        batch_size is None,
        OWNER,
        "`batch_size` is for arrays: other data have batches of their own.",
        batch_size=batch_size,
    )
    if hasattr(data, "element_spec"):
        # A `tf.data.Dataset`: Keras would warn that it does not shuffle it.
        return {"x": data, "shuffle": False}
    return {"x": data}


def _compiled_with(model: keras.Model) -> dict[str, Any]:
    """The arguments of the model's `compile`, as objects; {} without it.

    `get_compile_config` would serialize them, and lose a loss of the user's.
    """
    return dict(model._compile_config.config) if model.compiled else {}


def _compile(
    trainer: keras.Model, settings: dict[str, Any], stage: Stage, optimizer: Any
) -> None:
    """Compile for a stage: the model's settings with another optimizer."""
    own = dict(settings)
    if stage.loss != "model":
        own |= {"loss": None, "loss_weights": None}
    rate = stage.learning_rate
    if not isinstance(optimizer, str | keras.optimizers.Optimizer):
        new = optimizer(rate)
    else:
        kind = keras.optimizers.get(optimizer)
        # Under mixed_float16, `compile` wraps it anew.
        kind = getattr(kind, "inner_optimizer", kind)
        config = {**kind.get_config(), "learning_rate": rate}
        new = type(kind).from_config(config)
    trainer.compile(**{**own, "optimizer": new})
