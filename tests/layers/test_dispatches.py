"""Every dispatch has one result, and `auto` picks by a rule."""

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from moe_keras.layers import (
    AttentionFusion,
    ConvExpert,
    DenseExpert,
    GatingLayer,
    LogitFusion,
    MixtureOfExperts,
    RecurrentExpert,
    WeightedFusion,
    record_gates,
)
from moe_keras.ops.dispatch import FEW_CHOICES
from tests.contract import Around
from tests.tools import BACKEND, assert_close, numpy_of

pytestmark = pytest.mark.jax

# Those that run only the chosen experts.
SPARSE = ("sorted", "gather", "capacity")


def draw(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def mixture(num_experts=4, top_k=2, units=3, **arguments):
    gate = GatingLayer(
        num_experts, top_k=top_k, kernel_initializer="glorot_uniform"
    )
    # Room for every row at every expert: nothing is dropped.
    arguments.setdefault("capacity_factor", num_experts)
    arguments.setdefault("eval_capacity_factor", num_experts)
    bank = DenseExpert(units, num_experts, 5, activation="tanh")
    return MixtureOfExperts(bank, gate, **arguments)


# JAX compiles every dispatch anew for every shape.
@settings(
    max_examples=4 if BACKEND == "jax" else 12, deadline=None, derandomize=True
)
@given(
    num_experts=st.integers(1, 5),
    top_k=st.integers(1, 5),
    shape=st.sampled_from([(1,), (6,), (0,), (2, 3), (3, 1), (2, 2, 2)]),
    masked=st.booleans(),
    tied=st.booleans(),
    seed=st.integers(0, 99),
)
def test_all_dispatches_equal_dense(
    num_experts, top_k, shape, masked, tied, seed
):
    layer = mixture(num_experts, min(top_k, num_experts), dispatch="dense")
    layer.gate.level = "position"
    inputs = draw(*shape, 4, seed=seed)
    layer.build(inputs.shape)
    layer.gate.kernel.assign((1 - tied) * numpy_of(layer.gate.kernel))
    mask = np.random.default_rng(seed).uniform(size=shape) < 0.7
    context = {"mask": mask} if masked else {}
    expected = numpy_of(layer(inputs, **context))
    for dispatch in SPARSE:
        layer.dispatch = dispatch
        found = numpy_of(layer(inputs, **context))
        np.testing.assert_allclose(found, expected, atol=1e-5, err_msg=dispatch)


@pytest.mark.parametrize("dispatch", ["auto", "dense", *SPARSE])
def test_a_layer_around_it_may_have_any_number_of_rows(dispatch):
    layer = mixture(dispatch=dispatch)
    layer.build((None, 4))
    inputs = keras.Input((4,))
    model = keras.Model(inputs, Around(layer)(inputs))
    assert model.output_shape == (None, 3)
    rows = draw(6, 4)
    layer.dispatch = "dense"
    expected = numpy_of(layer(rows))
    layer.dispatch = dispatch
    np.testing.assert_allclose(
        model.predict(rows, verbose=0), expected, atol=1e-5
    )


@pytest.mark.parametrize("dispatch", SPARSE)
def test_all_rows_to_one_expert(dispatch):
    layer = mixture(4, 1)
    inputs = np.abs(draw(6, 4))
    layer.build(inputs.shape)
    kernel = np.zeros((4, 4), "float32")
    kernel[:, 2] = 5
    layer.gate.kernel.assign(kernel)
    layer.dispatch = "dense"
    expected = numpy_of(layer(inputs))
    layer.dispatch = dispatch
    np.testing.assert_allclose(numpy_of(layer(inputs)), expected, atol=1e-5)


def test_capacity_runs_banks_of_every_kind():
    images = draw(6, 8, 8, 1)
    layer = MixtureOfExperts(
        [
            ConvExpert((2, 3), 2, pool_size=2, pooling="avg", output_units=4),
            RecurrentExpert(5, 2, output_units=4),
        ],
        GatingLayer(4, top_k=2),
        eval_capacity_factor=4,
        dispatch="dense",
    )
    expected = numpy_of(layer(images))
    layer.dispatch = "capacity"
    np.testing.assert_allclose(numpy_of(layer(images)), expected, atol=1e-5)


@pytest.mark.parametrize("priority", [False, True])
def test_dropped_choices_leave_their_mass_to_the_kept(priority):
    layer = mixture(3, 2, batch_priority=priority, eval_capacity_factor=0.5)
    layer.dispatch = "capacity"
    inputs = draw(8, 4)
    with record_gates() as record:
        found = numpy_of(layer(inputs))
    (gates,) = (numpy_of(value) for value in record.values())
    outputs = numpy_of(layer.experts[0](inputs))
    best = np.argsort(-gates, axis=1)[:, :2]
    order = range(8)
    if priority:
        order = sorted(order, key=lambda n: -gates[n, best[n, 0]])
    # ceil(0.5 * 2 * 8 / 3) places for each expert.
    taken, kept = [0] * 3, {n: [] for n in range(8)}
    for choice in range(2):
        for n in order:
            expert = best[n, choice]
            if taken[expert] < 3:
                kept[n].append(expert)
            taken[expert] += 1
    for n in range(8):
        mass = sum(gates[n, e] for e in kept[n])
        expected = sum(
            (gates[n, e] / mass * outputs[n, e] for e in kept[n]), np.zeros(3)
        )
        np.testing.assert_allclose(found[n], expected, atol=1e-5)
    assert any(len(experts) < 2 for experts in kept.values())


def test_dropped_rows_fall_back_to_the_shared_path():
    shared = keras.layers.Dense(3)
    layer = mixture(2, 1, shared=shared, eval_capacity_factor=0.5)
    layer.dispatch = "capacity"
    # All rows alike: one expert is asked for all, and seats one of four.
    inputs = np.repeat(draw(1, 4), 4, axis=0)
    found = numpy_of(layer(inputs))
    fallback = numpy_of(shared(inputs))
    np.testing.assert_allclose(found[1:], fallback[1:], atol=1e-6)
    assert np.abs(found[0] - fallback[0]).max() > 1e-3


@pytest.mark.parametrize("priority", [False, True])
def test_a_broken_row_takes_no_place_from_others(priority):
    layer = mixture(3, 2, batch_priority=priority, eval_capacity_factor=0.5)
    layer.dispatch = "capacity"
    inputs = draw(8, 4)
    inputs[2] = np.nan
    others = np.arange(8) != 2
    found = numpy_of(layer(inputs))
    assert np.all(np.isnan(found[2]))
    # Of seven rows as of eight, an expert seats ceil(2.3) or ceil(2.7).
    assert_close(found[others], numpy_of(layer(inputs[others])))


def test_a_broken_row_has_no_part_in_the_dropped_share():
    layer = mixture(4, 1, capacity_factor=2.0)
    layer.dispatch = "capacity"
    layer.build((None, 4))
    layer.gate.kernel.assign(np.eye(4))
    rows = np.tile(np.eye(4, dtype="float32"), (3, 1))
    broken = np.full_like(rows, np.nan)
    layer(np.concatenate([rows, broken]), training=True)
    assert float(numpy_of(layer.stats.dropped)) == 0


@pytest.mark.parametrize("dispatch", ["dense", "sorted", "gather", "capacity"])
@pytest.mark.parametrize(
    "fusion", [LogitFusion, lambda: AttentionFusion(3), WeightedFusion]
)
def test_no_rows_under_every_fusion(fusion, dispatch):
    layer = mixture(4, 2, fusion=fusion(), dispatch=dispatch)
    inputs = draw(6, 4)
    layer(inputs)
    assert numpy_of(layer(inputs[:0], training=True)).shape == (0, 3)


def test_overflow_can_be_an_error():
    same = np.repeat(draw(1, 4), 4, axis=0)
    layer = mixture(2, 1, overflow="error", eval_capacity_factor=0.5)
    layer.dispatch = "capacity"
    with pytest.raises(Exception, match="dropped for want of capacity"):
        layer(same)
    layer = mixture(2, 1, overflow="error", eval_capacity_factor=2.0)
    layer.dispatch = "capacity"
    layer(same)


def test_training_and_inference_have_capacities_of_their_own():
    layer = mixture(2, 1, capacity_factor=0.5, eval_capacity_factor=2.0)
    layer.dispatch = "capacity"
    inputs = np.repeat(draw(1, 4), 4, axis=0)
    assert (numpy_of(layer(inputs, training=True)) == 0).all(axis=1).sum() == 3
    assert (numpy_of(layer(inputs)) == 0).all(axis=1).sum() == 0


def test_what_auto_picks():
    sparse = mixture(4, 2)
    sparse.build((None, 4))
    assert sparse.resolve_dispatch() == "sorted"
    assert sparse.resolve_dispatch(FEW_CHOICES // 2) == "gather"
    assert sparse.resolve_dispatch(FEW_CHOICES // 2 + 1) == "sorted"
    assert mixture(4, None).resolve_dispatch(1) == "dense"
    assert mixture(4, 4).resolve_dispatch(1) == "dense"
    banks = [DenseExpert(3, 2), DenseExpert(3, 2)]
    several = MixtureOfExperts(banks, GatingLayer(4, top_k=2))
    # JAX has no runs of rows whose number depends on data.
    refused = "dense" if BACKEND == "jax" else "sorted"
    assert several.resolve_dispatch(1) == refused
    images = MixtureOfExperts(ConvExpert(3, 4), GatingLayer(4, top_k=2))
    assert images.resolve_dispatch() == refused
    sparse.dispatch = "capacity"
    assert sparse.resolve_dispatch(1) == "capacity"


def test_gather_needs_kernels_to_fetch():
    banks = [DenseExpert(3, 2), DenseExpert(3, 2)]
    layer = MixtureOfExperts(banks, GatingLayer(4, top_k=2), dispatch="gather")
    with pytest.raises(ValueError, match="needs one bank of DenseExpert"):
        layer(draw(2, 4))


@pytest.mark.parametrize("dispatch", ["dense", *SPARSE])
def test_static_dispatches_compile(dispatch):
    if BACKEND == "torch":
        pytest.skip("torch.compile is not claimed")
    if BACKEND == "tensorflow" and dispatch == "sorted":
        pytest.skip("XLA refuses runs whose sizes depend on data")
    layer = mixture(4, 2, dispatch=dispatch)
    inputs = keras.Input((5, 4), batch_size=2)
    model = keras.Model(inputs, layer(inputs))
    model.compile("sgd", "mse", jit_compile=True)
    assert model.jit_compile
    x, y = draw(8, 5, 4), draw(8, 5, 3)
    model.fit(x, y, batch_size=2, verbose=0)
    layer.dispatch = "dense"
    expected = numpy_of(layer(x))
    layer.dispatch = dispatch
    found = model.predict(x, batch_size=2, verbose=0)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_auto_never_makes_the_default_fit_fail():
    inputs = keras.Input((5, 4))
    model = keras.Model(inputs, mixture(4, 2)(inputs))
    model.compile("sgd", "mse")
    history = model.fit(draw(7, 5, 4), draw(7, 5, 3), batch_size=4, verbose=0)
    assert np.isfinite(history.history["loss"][0])


@pytest.mark.parametrize("dispatch", ["dense", *SPARSE])
def test_an_expert_out_of_service_is_as_if_never_built(dispatch):
    layer = mixture(4, 2, dispatch=dispatch)
    inputs = draw(6, 4)
    expert_mask = np.array([True, False, True, True])
    found = numpy_of(layer(inputs, expert_mask=expert_mask))
    smaller = mixture(3, 2, dispatch="dense")
    smaller.build(inputs.shape)
    kept = [0, 2, 3]
    smaller.gate.kernel.assign(numpy_of(layer.gate.kernel)[:, kept])
    for old, new in zip(
        layer.experts[0].weights, smaller.experts[0].weights, strict=True
    ):
        new.assign(numpy_of(old)[kept])
    np.testing.assert_allclose(found, numpy_of(smaller(inputs)), atol=1e-5)


def test_a_gate_that_knows_no_expert_mask_refuses_one():
    plain = keras.layers.Dense(4, activation="softmax")
    layer = MixtureOfExperts(DenseExpert(3, 4), plain)
    with pytest.raises(ValueError, match="`expert_mask` needs a gate"):
        layer(draw(2, 4), expert_mask=np.ones(4, bool))


@pytest.mark.parametrize("dispatch", ["dense", *SPARSE])
def test_a_row_of_nan_leaves_the_others_alone(dispatch):
    layer = mixture(4, 2, dispatch=dispatch)
    inputs = draw(6, 4)
    expected = numpy_of(layer(inputs))
    inputs[2] = np.nan
    found = numpy_of(layer(inputs))
    others = [0, 1, 3, 4, 5]
    np.testing.assert_allclose(found[others], expected[others], atol=1e-5)
