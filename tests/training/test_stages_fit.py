"""The history of stages, their ends, and what is as before behind them."""

import math

import keras
import numpy as np
import pytest

from moe_keras.layers import (
    AttentionFusion,
    DenseExpert,
    GatingLayer,
    MixtureOfExperts,
    WeightedFusion,
)
from moe_keras.training import DEFAULT_STAGES, Stage, fit_stages
from moe_keras.training.stages import StagesHistory
from tests.tools import numpy_of
from tests.training.staged import (
    CLASSES,
    WIDTH,
    build,
    data,
    flags_of,
    weights_of,
)

EXPERTS = Stage(name="experts", train="experts", loss="experts", epochs=2)
GATE = Stage(name="gate", train="gate", learning_rate=0.25)
FUSION = Stage(name="fusion", train="fusion")


class Look(keras.callbacks.Callback):
    """Notes what each stage is run with."""

    def __init__(self):
        super().__init__()
        self.epochs, self.rates, self.steps, self.optimizers = [], [], [], []

    def on_train_begin(self, logs=None):
        optimizer = self.model.optimizer
        self.optimizers.append(optimizer)
        self.rates.append(float(numpy_of(optimizer.learning_rate)))
        self.steps.append(int(numpy_of(optimizer.iterations)))

    def on_epoch_begin(self, epoch, logs=None):
        self.epochs.append(epoch)


class Fail(keras.callbacks.Callback):
    """Raises in the second epoch."""

    def __init__(self, error):
        super().__init__()
        self._error = error

    def on_train_batch_end(self, batch, logs=None):
        if self._epoch == 1:
            raise self._error

    def on_epoch_begin(self, epoch, logs=None):
        self._epoch = epoch


def fit(model, *stages, **options):
    return fit_stages(
        model, data(), stages, batch_size=16, verbose=0, **options
    )


def test_the_history_is_one():
    model, look = build(), Look()
    history = fit(
        model, EXPERTS, GATE, validation_data=data(1), callbacks=[look]
    )
    assert isinstance(history, keras.callbacks.History)
    assert history.epoch == look.epochs == [0, 1, 2]
    assert history.history["stage"] == ["experts", "experts", "gate"]
    for name in ("loss", "accuracy", "val_loss", "val_accuracy"):
        values = history.history[name]
        assert len(values) == 3
        assert np.all(np.isfinite(values))
    assert history.notes == []
    # Of four experts, and then of the model.
    assert history.history["loss"][0] > 2 * history.history["loss"][2]


def test_what_a_stage_does_not_log_is_nan():
    joined = StagesHistory()
    for stage, log in ((EXPERTS, {"a": [1.0, 2.0]}), (GATE, {"b": [3.0]})):
        found = keras.callbacks.History()
        found.history = log
        found.epoch = list(range(len(next(iter(log.values())))))
        joined.join(stage.name, found)
    assert joined.history["stage"] == ["experts", "experts", "gate"]
    np.testing.assert_array_equal(joined.history["a"], [1, 2, math.nan])
    np.testing.assert_array_equal(joined.history["b"], [math.nan, math.nan, 3])


@pytest.mark.parametrize(
    ("optimizer", "kind"),
    [
        ("sgd", keras.optimizers.SGD),
        (keras.optimizers.SGD(0.7, momentum=0.5), keras.optimizers.SGD),
        (lambda rate: keras.optimizers.Adam(rate / 2), keras.optimizers.Adam),
    ],
)
def test_each_stage_has_an_optimizer_without_a_past(optimizer, kind):
    look = Look()
    stages = [EXPERTS, GATE]
    fit(build(), *stages, optimizer=optimizer, callbacks=[look])
    share = 0.5 if kind is keras.optimizers.Adam else 1
    rates = [share * stage.learning_rate for stage in stages]
    assert look.rates == pytest.approx(rates)
    assert look.steps == [0, 0]
    one, two = look.optimizers
    assert one is not two
    assert optimizer not in (one, two)
    assert isinstance(one, kind)
    if isinstance(optimizer, keras.optimizers.SGD):
        assert two.momentum == optimizer.momentum


@pytest.mark.parametrize("error", [KeyError("stop"), KeyboardInterrupt()])
@pytest.mark.parametrize(
    "stage", [EXPERTS, GATE.model_copy(update={"epochs": 2})]
)
def test_flags_and_optimizer_are_back_after_an_error(stage, error):
    model = build()
    model.get_layer("head").trainable = False
    flags, optimizer = flags_of(model), model.optimizer
    with pytest.raises(type(error)):
        fit(model, stage, callbacks=[Fail(error)])
    assert flags_of(model) == flags
    assert model.optimizer is optimizer
    inputs, labels = data()
    # All that is not frozen is trained again.
    before = weights_of(model)
    model.fit(inputs, labels, verbose=0)
    after = weights_of(model)
    same = {
        path for path in before if np.array_equal(before[path], after[path])
    }
    assert same == {path for path in before if path.startswith("head/")}


def test_the_model_is_compiled_as_before():
    def loss(labels, outputs):
        return keras.losses.sparse_categorical_crossentropy(labels, outputs)

    model, (inputs, labels) = build(), data()
    optimizer = keras.optimizers.SGD(0.25)
    # A function that nobody could serialize.
    model.compile(optimizer, loss, metrics=["accuracy"])
    fit(model, EXPERTS, GATE)
    assert model.optimizer is optimizer
    values = model.evaluate(inputs, labels, verbose=0, return_dict=True)
    assert sorted(values) == ["accuracy", "loss"]
    model = build(compiled=False)
    history = fit(model, EXPERTS)
    assert "accuracy" not in history.history
    assert not model.compiled


@pytest.mark.parametrize("stage", [EXPERTS, GATE])
def test_patience_restores_the_best_epoch(stage):
    # Labels that training cannot guess: the loss soon rises.
    inputs, labels = data(1)
    validation = inputs, (labels + 1) % 3
    seen = []

    class Keep(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            seen.append((logs["val_loss"], weights_of(self.model)))

    model = build()
    stage = stage.model_copy(
        update={"epochs": 12, "patience": 2, "learning_rate": 0.03}
    )
    history = fit(model, stage, validation_data=validation, callbacks=[Keep()])
    losses = [loss for loss, _ in seen]
    best = int(np.argmin(losses))
    assert best == len(losses) - 3
    assert len(losses) < 12
    assert history.history["val_loss"] == losses
    for path, value in weights_of(model).items():
        np.testing.assert_array_equal(value, seen[best][1][path])


def test_a_stage_without_weights_is_passed_over():
    model = build(fusion=WeightedFusion(name="plain"))
    history = fit(model, FUSION, GATE)
    assert history.history["stage"] == ["gate"]
    assert history.notes == [
        "fusion: passed over, as there is no weight to train in 'fusion'"
    ]
    with pytest.raises(ValueError, match="one with weights to train"):
        fit(model, FUSION)


def test_the_default_stages():
    bank = DenseExpert(CLASSES, 2, output_activation=None)
    moe = MixtureOfExperts(bank, GatingLayer(2), AttentionFusion(3))
    model = keras.Sequential([keras.Input((WIDTH,)), moe])
    model.compile(
        "sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    )
    history = fit_stages(model, data(), batch_size=48, verbose=0)
    names = [
        stage.name for stage in DEFAULT_STAGES for _ in range(stage.epochs)
    ]
    assert history.history["stage"] == names
    assert [stage.train for stage in DEFAULT_STAGES] == [
        *("experts", "gate", "fusion", "all"),
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"train": "gate", "loss": "experts"}, "does not reach 'gate'"),
        ({"train": ["fusion"], "loss": "averaged"}, "does not reach"),
        ({"train": ()}, "must name a part"),
        ({"epochs": 0}, "epochs"),
        ({"learning_rate": 0.0}, "learning_rate"),
        ({"loss": "hinge"}, "loss"),
        ({"expert_weights": (1.0, -1.0)}, "expert_weights"),
        ({"patience": 0}, "patience"),
        ({"epoch": 2}, "epoch"),
    ],
)
def test_stages_that_make_no_sense(arguments, message):
    with pytest.raises(ValueError, match=message):
        Stage(name="one", **arguments)


@pytest.mark.parametrize(
    ("stages", "options", "message"),
    [
        ((), {}, "one or more of Stage"),
        ((Stage(name="a", train="gates"),), {}, r"unknown=\['gates'\]"),
        ((Stage(name="a", patience=1),), {}, "`validation_data` must be given"),
        ((EXPERTS,), {"batch_size": 0}, "batch_size=0"),
        ((EXPERTS,), {"data": iter([]), "batch_size": 2}, "is for arrays"),
        ((EXPERTS,), {"data": data()[:1]}, "length=1"),
        ((EXPERTS,), {"data": (data()[0], np.eye(48))}, "numbers of classes"),
        (
            (EXPERTS.model_copy(update={"expert_weights": (1.0,)}),),
            {},
            "one number for each expert",
        ),
    ],
)
def test_what_does_not_fit(stages, options, message):
    model = build()
    flags = flags_of(model)
    with pytest.raises(ValueError, match=message):
        fit_stages(model, **{"data": data(), "stages": stages, **options})
    assert flags_of(model) == flags


def test_a_loss_of_its_own_needs_a_compiled_model():
    with pytest.raises(ValueError, match="must be compiled"):
        fit(build(compiled=False), GATE)
