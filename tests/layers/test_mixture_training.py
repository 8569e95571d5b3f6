"""MixtureOfExperts: any sizes, gradients, `fit` and compilation."""

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from moe_keras.layers import (
    ConvExpert,
    DenseExpert,
    GatingLayer,
    MixtureOfExperts,
    MoEFeedForward,
    WeightedFusion,
)
from tests import oracles
from tests.differences import check_differences
from tests.layers import test_dense_expert
from tests.layers.test_mixture import built, expected_of
from tests.tools import (
    BACKEND,
    assert_close,
    draw,
    numpy_of,
    only_tensorflow,
    random_gates,
    randomize,
)


@given(
    num_rows=st.integers(1, 9),
    num_experts=st.integers(2, 5),
    top_k=st.integers(1, 5),
    features=st.integers(1, 4),
    masked=st.floats(0, 1),
    seed=st.integers(0, 1000),
)
def test_sorted_is_dense(num_rows, num_experts, top_k, features, masked, seed):
    inputs = draw(num_rows, features, seed=seed)
    mask = random_gates((num_rows,), seed, masked) > 0
    gate = GatingLayer(num_experts, min(top_k, num_experts))
    moe = built(inputs, DenseExpert(2, num_experts), gate, dispatch="sorted")
    outputs = numpy_of(moe(inputs, mask=mask))
    moe.dispatch = "dense"
    assert_close(moe(inputs, mask=mask), outputs)
    assert_close(outputs, expected_of(moe, inputs, 1, mask))


@given(
    num_rows=st.integers(1, 8),
    sizes=st.lists(st.integers(1, 3), min_size=1, max_size=3),
    share=st.floats(0, 1),
    seed=st.integers(0, 1000),
)
def test_stages_composed_by_hand_are_the_loops(num_rows, sizes, share, seed):
    inputs = draw(num_rows, 3, seed=seed)
    gates = random_gates((num_rows, sum(sizes)), seed, share)
    outputs, functions, start = [], [], 0
    for size in sizes:
        bank = DenseExpert(2, size)
        columns = gates[:, start : start + size]
        bank(inputs, columns)
        functions += test_dense_expert.functions_of(randomize(bank, start))
        outputs.append(bank(inputs, columns))
        start += size
    fused = WeightedFusion()([*outputs, gates])
    assert_close(fused, oracles.mixture(inputs, gates, functions))


@pytest.mark.parametrize("top_k", [1, 2])
@pytest.mark.parametrize("dispatch", ["dense", "sorted", "gather", "capacity"])
def test_gradient_is_the_finite_difference(dispatch, top_k, float64):
    inputs = draw(5, 3, dtype="float64")
    bank = DenseExpert(2, 4, hidden_units=3, activation="tanh")
    gate = GatingLayer(4, top_k, balance_loss=0.3, z_loss=0.2)
    # Room for most rows: some are dropped.
    moe = built(inputs, bank, gate, dispatch=dispatch, capacity_factor=0.8)
    check_differences(moe, inputs)
    check_differences(moe, inputs, mask=np.arange(5) != 2)


@pytest.mark.parametrize("noisy", [False, True])
def test_it_fits(noisy):
    inputs, labels = draw(70, 5), np.arange(70) % 3
    inputs[:, 0] += labels
    symbols = keras.Input((5,))
    gate = GatingLayer(4, top_k=2, noisy=noisy)
    mixed = MixtureOfExperts(DenseExpert(6, 4), gate)(symbols)
    outputs = keras.layers.Dense(3, activation="softmax")(mixed)
    model = keras.Model(symbols, outputs)
    model.compile(
        keras.optimizers.Adam(0.02), "sparse_categorical_crossentropy"
    )
    # 70 rows: the last batch has another size.
    history = model.fit(inputs, labels, batch_size=32, epochs=5, verbose=0)
    losses = history.history["loss"]
    assert losses[-1] < 0.9 * losses[0]


def test_jax_compiles_sorted_dense_experts_and_refuses_others():
    if BACKEND != "jax":
        return
    inputs, images = draw(9, 5), draw(4, 4, 4, 2)
    moe = built(inputs, DenseExpert(3, 4), GatingLayer(4, 2), dispatch="sorted")
    model = keras.Sequential([keras.Input((5,)), moe])
    assert_close(model.predict(inputs, verbose=0), expected_of(moe, inputs))
    moe = built(images, ConvExpert(3, 2), GatingLayer(2, 1), dispatch="sorted")
    model = keras.Sequential([keras.Input((4, 4, 2)), moe])
    with pytest.raises(ValueError, match="use dispatch='dense'"):
        model.predict(images, verbose=0)


@only_tensorflow
def test_fit_in_float64():
    keras.config.set_floatx("float64")
    keras.config.set_dtype_policy("float64")
    try:
        inputs = keras.Input((4,))
        block = MoEFeedForward(3, 6, shared_units=2)
        model = keras.Model(inputs, block(inputs))
        model.compile("sgd", "mse")
        rows = draw(8, 4, dtype="float64")
        before = numpy_of(block.gate.kernel)
        log = model.fit(rows, rows, epochs=2, verbose=0).history
    finally:
        keras.config.set_floatx("float32")
    assert np.all(np.isfinite(log["loss"]))
    assert np.any(numpy_of(block.gate.kernel) != before)
    assert {weight.dtype for weight in model.trainable_weights} == {"float64"}
