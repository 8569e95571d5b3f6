"""`loss` is `val_loss`' kind of loss plus the router's parts in the log."""

import keras
import numpy as np
import pytest

from moe_keras.layers import (
    DenseExpert,
    FeatureGating,
    GatingLayer,
    HierarchicalGating,
    MixtureOfExperts,
    MultiGateMixture,
)
from moe_keras.training import RoutingLog
from tests.tools import BACKEND

ALL = {
    "balance_loss": 0.3,
    "z_loss": 0.2,
    "importance_loss": 0.4,
    "mutual_information_loss": 0.1,
    "entropy_loss": 0.2,
    "load_loss": 0.3,
}
GATES = {
    "every loss": lambda: GatingLayer(
        4, top_k=2, noisy=True, seed=1, name="gate", **ALL
    ),
    "dense": lambda: GatingLayer(4, importance_loss=0.4, name="gate"),
    "hierarchical": lambda: HierarchicalGating(
        2, 2, top_groups=1, balance_loss=0.3, z_loss=0.2, name="gate"
    ),
    "inside another": lambda: FeatureGating(
        keras.layers.Dense(3),
        GatingLayer(4, top_k=1, balance_loss=0.3, name="gate"),
    ),
}
NAMES = {
    "every loss": list(ALL),
    "dense": ["importance_loss"],
    "hierarchical": ["balance_loss", "z_loss"],
    "inside another": ["balance_loss", "z_loss"],
}


def draw(*shape):
    return np.random.default_rng(0).normal(size=shape).astype("float32")


def fit(gate, epochs=1, **arguments):
    """A model that does not learn, and its log: loss is the same all along."""
    keras.utils.set_random_seed(0)
    inputs = keras.Input((4,))
    moe = MixtureOfExperts(
        DenseExpert(3, 4), gate, name="moe", dispatch="dense"
    )
    model = keras.Model(inputs, moe(inputs))
    model.compile(keras.optimizers.SGD(0.0), "mse")
    data = draw(22, 4), draw(22, 3)
    history = model.fit(
        *data,
        # The last batch is a small one.
        batch_size=8,
        epochs=epochs,
        shuffle=False,
        verbose=0,
        callbacks=[RoutingLog()],
        **arguments,
    ).history
    return model, data, history


@pytest.mark.jax
@pytest.mark.parametrize(
    "kind",
    [
        "every loss",
        "hierarchical",
        pytest.param("dense", marks=pytest.mark.slow),
        pytest.param("inside another", marks=pytest.mark.slow),
    ],
)
def test_the_loss_without_its_parts_is_that_of_evaluate(kind):
    model, data, history = fit(GATES[kind]())
    parts = {name: history[f"gate_{name}"][0] for name in NAMES[kind]}
    assert all(parts.values())
    # Noise of the gates is in training alone.
    noisy = kind == "every loss"
    task = model.evaluate(*data, verbose=0)
    assert history["loss"][0] - sum(parts.values()) == pytest.approx(
        task, rel=0.5 if noisy else 1e-5
    )
    assert {name for name in history if name.endswith("_loss")} == {
        f"gate_{name}" for name in parts
    }


@pytest.mark.jax
def test_each_epoch_has_means_of_its_own_and_validation_none():
    data = draw(8, 4), draw(8, 3)
    _, _, history = fit(GATES["hierarchical"](), epochs=3, validation_data=data)
    # Nothing learns: what is left of an earlier epoch would show.
    for name in ("gate_balance_loss", "gate_z_loss"):
        np.testing.assert_allclose(history[name], history[name][0], rtol=1e-5)
    assert {name for name in history if name.startswith("val_")} == {"val_loss"}


@pytest.mark.slow
@pytest.mark.jax
def test_by_hand():
    """Zero logits: balance is 1, z is ln(4)^2, times their coefficients."""
    gate = GatingLayer(
        4,
        top_k=2,
        balance_loss=0.3,
        z_loss=0.2,
        kernel_initializer="zeros",
        name="gate",
    )
    _, _, history = fit(gate)
    assert history["gate_balance_loss"][0] == pytest.approx(0.3)
    expected = 0.2 * np.log(4) ** 2
    assert history["gate_z_loss"][0] == pytest.approx(expected, rel=1e-5)


@pytest.mark.slow
def test_losses_without_a_coefficient_are_not_there():
    gate = GatingLayer(4, top_k=2, balance_loss=0.3, z_loss=0.0, name="gate")
    _, _, history = fit(gate)
    assert {name for name in history if "loss" in name} == {
        "loss",
        "gate_balance_loss",
    }


@pytest.mark.slow
@pytest.mark.skipif(BACKEND == "jax", reason="two models; the way is the same")
def test_each_gate_of_several_has_its_own():
    inputs = keras.Input((4,))
    mixture = MultiGateMixture(
        DenseExpert(3, 4),
        {name: GatingLayer(4, top_k=2, name=name) for name in ("one", "two")},
    )
    model = keras.Model(inputs, mixture(inputs))
    model.compile("sgd", "mse")
    targets = {"one": draw(8, 3), "two": draw(8, 3)}
    history = model.fit(draw(8, 4), targets, verbose=0).history
    assert {"one_balance_loss", "two_balance_loss"} < set(history)


@pytest.mark.jax
def test_nothing_of_it_is_a_weight_or_saved(tmp_path):
    model, data, _ = fit(GATES["hierarchical"]())
    weights = {weight.path for weight in model.weights}
    assert not [path for path in weights if "rows" in path or "loss" in path]
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(
        again.predict(data[0], verbose=0), model.predict(data[0], verbose=0)
    )
