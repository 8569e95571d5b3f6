"""Banks that are trained alone learn what they learn in their mixture."""

import keras
import numpy as np
import pytest

from moe_keras.layers import (
    EncodedExperts,
    LinearExpert,
    LogitFusion,
    LowRankExpert,
    MixtureOfExperts,
    TabularEncoding,
    UniformGating,
)
from moe_keras.training import Stage, banks_alone, fit_stages
from moe_keras.training.banks_alone import BankTrainer

EPOCHS, BATCH, RATE, DECAY = 3, 16, 2e-2, 1e-2


def table(rows, seed):
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(rows, 3)).astype("float32")
    values[::7, 1] = np.nan
    return values, (values[:, 0] + rng.normal(size=rows) > 0).astype("int64")


def encoded(rows, bank, bins):
    encoding = TabularEncoding([None, None, None], bins=bins)
    encoding.adapt(rows)
    return EncodedExperts(bank, encoding)


def banks_of(rows, dropout=0.3, units=8):
    return [
        encoded(rows, LinearExpert(2, 1), 4),
        encoded(
            rows, LowRankExpert(2, 5, hidden_units=[units], dropout=dropout), 6
        ),
    ]


def mixture_of(banks):
    moe = MixtureOfExperts(banks, UniformGating(6), LogitFusion(), name="moe")
    model = keras.Sequential([keras.Input((3,)), moe])
    model.compile("adam", "sparse_categorical_crossentropy")
    return model


def trainer():
    return BankTrainer(EPOCHS, BATCH, RATE, DECAY)


def fitted(make_trainer, rows, labels, seed=1, **options):
    keras.utils.set_random_seed(seed)
    model = mixture_of(banks_of(rows, **options))
    history = make_trainer().fit(model.get_layer("moe").experts, rows, labels)
    return model.get_weights(), history.history["loss"]


def test_it_is_the_stage_of_the_mixture():
    rows, labels = table(70, 0)
    # On PyTorch all layers draw from one source, and a mixture more often.
    dropout = 0.0 if keras.backend.backend() == "torch" else 0.3
    found, losses = fitted(trainer, rows, labels, dropout=dropout)
    keras.utils.set_random_seed(1)
    model = mixture_of(banks_of(rows, dropout))
    steps = EPOCHS * 5
    history = fit_stages(
        model,
        (rows, labels),
        [Stage(name="experts", train="experts", loss="experts", epochs=EPOCHS)],
        batch_size=BATCH,
        optimizer=lambda _: keras.optimizers.AdamW(
            keras.optimizers.schedules.CosineDecay(RATE, steps),
            weight_decay=DECAY,
        ),
        verbose=0,
    )
    np.testing.assert_allclose(losses, history.history["loss"], rtol=1e-5)
    for one, other in zip(found, model.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, atol=2e-4)
    assert losses[-1] < losses[0]


def test_rows_that_do_not_fit_are_encoded_by_the_batch(monkeypatch):
    rows, labels = table(70, 0)
    expected, _ = fitted(trainer, rows, labels)
    monkeypatch.setattr(banks_alone, "MOST_NUMBERS", 0)
    found, _ = fitted(trainer, rows, labels)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, atol=2e-4)


@pytest.fixture
def traces(monkeypatch):
    """How often a step was traced, or on PyTorch run."""
    counted, own = [], keras.Model.train_step

    def step(self, *arguments, **options):
        counted.append(self)
        return own(self, *arguments, **options)

    monkeypatch.setattr(keras.Model, "train_step", step)
    return counted


def test_the_next_fold_is_trained_with_the_trace_of_the_first(traces):
    first, second = table(70, 0), table(100, 1)
    shared = trainer()
    fitted(lambda: shared, *first)
    traced = len(traces)
    found = fitted(lambda: shared, *second, seed=2)
    if keras.backend.backend() == "tensorflow":
        assert traced == len(traces) == 1
    expected = fitted(trainer, *second, seed=2)
    # To the bit, whoever was trained before: an interrupted training is not.
    for one, other in zip(found[0], expected[0], strict=True):
        np.testing.assert_array_equal(one, other)
    assert found[1] == expected[1]


@pytest.mark.parametrize("change", [{"dropout": 0.0}, {"units": 9}])
def test_what_differs_is_traced_anew(traces, change):
    shared, (rows, labels) = trainer(), table(70, 0)
    fitted(lambda: shared, rows, labels)
    found, _ = fitted(lambda: shared, rows, labels, **change)
    if keras.backend.backend() == "tensorflow":
        assert len(traces) == 2
    expected, _ = fitted(trainer, rows, labels, **change)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)


def test_weights_that_are_lost_are_an_error():
    rows, labels = table(70, 0)
    with pytest.raises(ValueError, match="must have finite weights"):
        fitted(lambda: BankTrainer(2, 16, float("inf"), 0.0), rows, labels)
