"""Experts without rows: `fit` speaks of them once, and no file knows."""

import re
import warnings
from pathlib import Path

import keras
import numpy as np
import pytest

from moe_keras.layers import (
    DenseExpert,
    ExpertChoiceGating,
    GatingLayer,
    MixtureOfExperts,
    routing_stats,
)
from moe_keras.training import RoutingLog
from moe_keras.training.state import ModelState
from tests.tools import BACKEND

TEXT = (
    r"^MixtureOfExperts: experts \[1, 3\] of 'moe' had no row in the last {} "
    r"steps of training or more, and learn nothing\. Give the gate a larger "
    r"`balance_loss` \(0\.1, say; now 0\.01\), or the optimizer a lower "
    r"learning rate\.$"
)
STEPS = 4
# Written by moe_keras 0.1.0: three experts, top-1, after a little training.
OLD_FILE = Path(__file__).parent / "mixture_0.1.0.keras"


def rows_for(*experts):
    return keras.ops.one_hot(np.array(experts), 4)


@pytest.fixture
def soon(monkeypatch):
    """Fewer steps than the 200 that `fit` waits."""
    monkeypatch.setattr(routing_stats, "IDLE_STEPS", STEPS)


@pytest.fixture
def moe(soon):
    moe = MixtureOfExperts(DenseExpert(2, 4), GatingLayer(4, 2), name="moe")
    moe.build((None, 3))
    return moe


def take(moe, steps, gates, **arguments):
    for _ in range(steps):
        moe.stats.update(gates, None, **arguments)


def told(call, *args):
    """What users are warned of; Keras' own deprecations are not for them."""
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        call(*args)
    return [str(w.message) for w in found if w.category is UserWarning]


@pytest.mark.jax
def test_after_so_many_steps_on_end_and_once(moe):
    take(moe, 1, rows_for(0, 1, 2, 3))
    take(moe, STEPS - 1, rows_for(0, 2))
    assert not told(moe.stats.begin_epoch)
    take(moe, 1, rows_for(0, 2))
    (text,) = told(moe.stats.begin_epoch)
    assert re.match(TEXT.format(STEPS), text)
    assert not told(moe.stats.begin_epoch)


def test_a_single_row_between_is_enough(moe):
    for _ in range(3):
        take(moe, STEPS - 1, rows_for(0, 2))
        take(moe, 1, rows_for(1, 3))
    assert not told(moe.stats.begin_epoch)


def test_batches_of_padding_and_experts_out_of_service_do_not_count(moe):
    take(moe, STEPS, keras.ops.zeros((3, 4)))
    in_service = np.array([True, False, True, False])
    take(moe, STEPS, rows_for(0, 2), in_service=in_service)
    assert not told(moe.stats.begin_epoch)


def test_a_gate_without_the_loss_has_another_cure(soon):
    gate = ExpertChoiceGating(4, 1.0)
    moe = MixtureOfExperts(DenseExpert(2, 4), gate, name="moe")
    moe.build((None, 3))
    take(moe, STEPS, rows_for(0, 2))
    (text,) = told(moe.stats.begin_epoch)
    assert text.endswith(
        "Choose a gate that balances its load, or fewer experts."
    )


@pytest.mark.jax
def test_fit_counts_across_epochs():
    """A hundred steps an epoch: it is told as the third one begins."""
    keras.utils.set_random_seed(0)
    inputs = keras.Input((3,))
    moe = MixtureOfExperts(
        DenseExpert(2, 4), GatingLayer(4, top_k=2), name="moe"
    )
    model = keras.Model(inputs, moe(inputs))
    # All rows are of ones: experts 0 and 2 take them.
    moe.gate.kernel.assign(np.tile([3.0, -3.0, 3.0, -3.0], (3, 1)))
    model.compile(keras.optimizers.SGD(0.0), "mse")
    callbacks = [RoutingLog()] if BACKEND == "jax" else []

    def fit(epochs):
        data = np.ones((100, 3), "float32"), np.ones((100, 2), "float32")
        model.fit(
            *data, batch_size=1, epochs=epochs, verbose=0, callbacks=callbacks
        )

    assert not told(fit, 2)
    (text,) = told(fit, 1)
    assert re.match(TEXT.format(200), text)
    assert not told(fit, 1)


def test_a_file_of_version_0_1_still_loads():
    model = keras.saving.load_model(OLD_FILE)
    moe = model.get_layer("moe")
    rows = np.random.default_rng(0).normal(size=(8, 3)).astype("float32")
    kernel, bias = moe.experts[0].get_weights()
    logits = rows @ keras.ops.convert_to_numpy(moe.gate.kernel)
    gates = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    best = gates.argmax(axis=1)
    expected = [
        gates[n, e] * np.maximum(rows[n] @ kernel[e] + bias[e], 0)
        for n, e in enumerate(best)
    ]
    np.testing.assert_allclose(
        model.predict(rows, verbose=0), expected, atol=1e-5
    )
    history = model.fit(rows, rows[:, :2], verbose=0).history
    assert history["loss"][0] > 0


@pytest.mark.jax
def test_counts_are_in_no_list_of_weights_and_in_no_checkpoint(moe):
    model = keras.Sequential([keras.Input((3,)), moe])
    model.compile("sgd", "mse")
    arrays, _ = ModelState(model).get_state()
    steps = 2  # The optimizer's step and rate.
    # Kernel and bias, the gate's kernel, and load, entropy and dropped.
    assert len(model.weights) == 6
    assert len(arrays) == len(model.weights) + steps
