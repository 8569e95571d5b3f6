"""The ten rules that mixtures of experts keep breaking, one after the other."""

import inspect

import keras
import numpy as np
import pytest

from moe_keras.layers import (
    ConvExpert,
    DenseExpert,
    GatingLayer,
    MixtureOfExperts,
    ModelExpert,
    RecurrentExpert,
    record_gates,
)
from tests import oracles
from tests.flips import FLIPS, differ, observe
from tests.gradients import gradients_of, random_projection
from tests.layers.test_dense_expert import functions_of
from tests.tools import (
    BACKEND,
    assert_close,
    draw,
    not_jax,
    numpy_of,
    randomize,
)

DISPATCHES = ["dense", "sorted"]


def mixture(inputs, dispatch="auto", **gate):
    moe = MixtureOfExperts(
        DenseExpert(3, 4), GatingLayer(4, **gate), dispatch=dispatch
    )
    moe(inputs)
    return randomize(moe)


def close_logits():
    """Two logits 1 and 1.001: one number in bfloat16, two in float32."""
    layer = GatingLayer(2, top_k=1)
    layer.build((None, 3))
    layer.kernel.assign([[1.0, 1.0], [0.0, 0.001], [0.001, 0.0]])
    inputs = np.asarray([[1.0, 1.0, 0.0], [1.0, 0.0, 1.0]], "float32")
    return layer, inputs


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_rule_01_router_computes_in_float32(policy):
    keras.config.set_dtype_policy(policy)
    layer, inputs = close_logits()
    low = keras.ops.cast(inputs, layer.compute_dtype)
    gates = layer(low)
    assert keras.backend.standardize_dtype(gates.dtype) == layer.compute_dtype
    assert keras.backend.standardize_dtype(layer.kernel.dtype) == "float32"
    chosen = np.argmax(numpy_of(keras.ops.cast(gates, "float32")), axis=-1)
    np.testing.assert_array_equal(chosen, [1, 0])


def test_rule_01_a_mixture_does_not_cast_its_routers_input_down():
    keras.config.set_dtype_policy("mixed_bfloat16")
    # 1.001 is 1 in bfloat16: the two rows would be one and the same.
    inputs = np.asarray([[1.0, 1.001], [1.001, 1.0]], "float32")
    moe = MixtureOfExperts(DenseExpert(3, 2), GatingLayer(2, 1, name="gate"))
    moe.build(inputs.shape)
    moe.gate.kernel.assign(np.eye(2))
    with record_gates() as record:
        moe(inputs)
    gates = numpy_of(keras.ops.cast(record["gate"], "float32"))
    np.testing.assert_array_equal(np.argmax(gates, axis=-1), [1, 0])


@pytest.mark.parametrize("dispatch", DISPATCHES)
def test_rule_02_top_1_gate_learns_from_the_task(dispatch):
    inputs, labels = draw(32, 5), np.arange(32) % 3
    symbols = keras.Input((5,))
    gate = GatingLayer(4, top_k=1, balance_loss=0.0, z_loss=0.0)
    moe = MixtureOfExperts(DenseExpert(6, 4), gate, dispatch=dispatch)
    outputs = keras.layers.Dense(3, activation="softmax")(moe(symbols))
    model = randomize(keras.Model(symbols, outputs))
    cross_entropy = keras.losses.SparseCategoricalCrossentropy()

    def loss(probabilities):
        return cross_entropy(keras.ops.convert_to_tensor(labels), probabilities)

    _, gradients, _ = gradients_of(model, (inputs,), loss)
    names = [weight.path for weight in model.trainable_weights]
    (place,) = [i for i, n in enumerate(names) if gate.kernel.path == n]
    assert np.max(np.abs(gradients[place])) > 1e-3
    # And so it does in a compiled `fit`.
    before = numpy_of(gate.kernel)
    model.compile(keras.optimizers.SGD(1.0), cross_entropy)
    model.fit(inputs, labels, batch_size=32, verbose=0)
    assert np.max(np.abs(numpy_of(gate.kernel) - before)) > 1e-3


@pytest.mark.parametrize("top_k", [1, 2, 3])
def test_rule_03_balance_loss(top_k):
    # Row n prefers experts n, n+1, ...: perfect balance for every k.
    inputs = np.stack([np.roll([4, 3, 2, 1], n) for n in range(4)])
    inputs = inputs.astype("float32")
    layer = GatingLayer(4, top_k=top_k)
    layer.build(inputs.shape)
    layer.kernel.assign(np.eye(4))
    layer(inputs, training=True)
    balance, z = (float(numpy_of(loss)) for loss in layer.losses)
    assert balance == pytest.approx(0.01, rel=1e-5)
    assert z == pytest.approx(0.001 * oracles.z_loss(inputs), rel=1e-5)
    # Padding changes nothing, whatever it holds.
    padded = np.concatenate([inputs, np.full((3, 4), 9.0, "float32")])
    layer(padded, mask=np.arange(7) < 4, training=True)
    again = [float(numpy_of(loss)) for loss in layer.losses]
    assert again == pytest.approx([balance, z], rel=1e-5)
    _, gradients, _ = gradients_of(layer, (inputs,), keras.ops.sum)
    assert np.all(np.isfinite(gradients[0]))


def test_rule_03_losses_are_on_by_default_when_sparse():
    inputs = draw(6, 5)
    sparse, dense = mixture(inputs, top_k=2), mixture(inputs)
    sparse(inputs, training=True)
    assert len(sparse.losses) == 2
    sparse(inputs, training=False)
    assert sparse.losses == []
    dense(inputs, training=True)
    assert dense.losses == []


@pytest.mark.parametrize("dispatch", DISPATCHES)
def test_rule_04_noise_is_for_the_router_in_training(dispatch):
    inputs = draw(8, 5)

    def run(seed, training):
        keras.utils.set_random_seed(0)
        moe = mixture(inputs, dispatch, top_k=2, noisy=True, seed=seed)
        with record_gates() as record:
            outputs = numpy_of(moe(inputs, training=training))
        (gates,) = map(numpy_of, record.values())
        # The experts see the clean input: only the gates are noisy.
        assert_close(
            outputs,
            oracles.mixture(inputs, gates, functions_of(moe.experts[0])),
        )
        return moe, outputs

    moe, still = run(1, False)
    assert_close(moe(inputs, training=False), still)
    _, noisy = run(1, True)
    assert np.any(np.abs(noisy - still) > 1e-3)
    np.testing.assert_array_equal(run(1, True)[1], noisy)
    assert np.any(np.abs(run(2, True)[1] - noisy) > 1e-3)
    # A second draw of the same layer is another one.
    moe(inputs, training=True)
    assert np.any(np.abs(numpy_of(moe(inputs, training=True)) - noisy) > 1e-3)


@pytest.mark.parametrize("dispatch", DISPATCHES)
@pytest.mark.parametrize("noisy", [False, True])
def test_rule_05_a_row_does_not_depend_on_its_batch(noisy, dispatch):
    inputs = draw(8, 5)
    moe = mixture(inputs, dispatch, top_k=2, noisy=noisy)
    together = numpy_of(moe(inputs))
    for n in range(8):
        assert_close(moe(inputs[n : n + 1]), together[n : n + 1])
        crowd = np.repeat(inputs[n : n + 1], 20, axis=0)
        crowd = np.concatenate([100 * draw(5, 5, seed=n), crowd])
        assert_close(moe(crowd)[-1], together[n])


@pytest.mark.parametrize(
    "initializer",
    ["he_normal", "glorot_uniform", keras.initializers.LecunNormal(seed=4)],
)
def test_rule_06_fans_of_one_expert_and_a_draw_for_each(initializer):
    bank = DenseExpert(96, 8, kernel_initializer=initializer)
    bank.build((None, 64))
    one = keras.layers.Dense(96, kernel_initializer=initializer)
    one.build((None, 64))
    images = ConvExpert(32, 8, kernel_initializer=initializer)
    images.build((None, 8, 8, 16))
    conv = keras.layers.Conv2D(32, 3, kernel_initializer=initializer)
    conv.build((None, 8, 8, 16))
    for ours, theirs in ((bank, one), (images, conv)):
        kernels = numpy_of(ours.weights[0])
        expected = np.std(numpy_of(theirs.kernel))
        assert np.std(kernels) == pytest.approx(expected, rel=0.05)
        for e in range(7):
            assert np.mean(kernels[e] == kernels[e + 1]) < 0.01


def bank_on(shape):
    norm = keras.Sequential(
        [
            keras.Input((5,)),
            keras.layers.Dense(3),
            keras.layers.BatchNormalization(),
        ]
    )
    return {
        "dense": (DenseExpert(3, 3, hidden_units=4), draw(6, 5)),
        "conv": (ConvExpert(3, 3, pooling="avg"), draw(6, 5, 5, 2)),
        "maps": (ConvExpert((2, 3), 3, pool_size=2), draw(6, 5, 5, 2)),
        "gru": (RecurrentExpert(3, 3, output_units=2), draw(6, 4, 2)),
        "model": (ModelExpert(norm), draw(6, 5)),
    }[shape]


@pytest.mark.parametrize("dispatch", ["auto", "dense"])
@pytest.mark.parametrize("kind", ["dense", "conv", "maps", "gru", "model"])
def test_rule_07_an_expert_without_rows_is_safe(kind, dispatch):
    bank, inputs = bank_on(kind)
    gates = np.zeros((6, bank.num_experts), "float32")
    gates[:, 2:] = 0.5
    bank(inputs, gates)
    randomize(bank)
    states = [numpy_of(s) for s in bank.non_trainable_weights]
    outputs = numpy_of(bank(inputs, gates, dispatch=dispatch, training=True))
    np.testing.assert_array_equal(outputs[:, :2], np.zeros_like(outputs[:, :2]))
    assert np.all(np.isfinite(outputs))
    if BACKEND != "jax" and dispatch == "auto":
        # JAX runs every expert on every row, and clears afterwards.
        for state, old in zip(bank.non_trainable_weights, states, strict=True):
            np.testing.assert_array_equal(numpy_of(state), old)
    _, gradients, _ = gradients_of(
        bank, (inputs, gates), random_projection, dispatch=dispatch
    )
    for gradient in gradients:
        if gradient is None:
            continue  # of a network that did not run
        assert np.all(np.isfinite(gradient))
        if len(gradient) == bank.num_experts > 1 and kind != "gru":
            np.testing.assert_array_equal(gradient[:2], 0 * gradient[:2])


@pytest.mark.parametrize("dispatch", DISPATCHES)
@pytest.mark.parametrize("leading", [(7,), (2, 4), (2, 3, 2), (2, 1, 2, 2)])
def test_rule_08_any_rank_and_padding_goes_nowhere(leading, dispatch):
    inputs = draw(*leading, 5)
    moe = mixture(inputs, dispatch, top_k=2, level="position")
    outputs = numpy_of(moe(inputs))
    assert outputs.shape == (*leading, 3)
    rows = inputs.reshape(-1, 5)
    flat = mixture(rows, dispatch, top_k=2)
    flat.set_weights(moe.get_weights())
    assert_close(flat(rows), outputs.reshape(-1, 3))
    mask = np.arange(len(rows)).reshape(leading) % 2 > 0
    inputs[~mask] = 50.0
    with record_gates() as record:
        masked = numpy_of(moe(inputs, mask=mask))
    (gates,) = map(numpy_of, record.values())
    np.testing.assert_array_equal(np.sum(gates > 0, axis=-1), 2 * mask)
    assert_close(masked, outputs * mask[..., None])


@pytest.mark.parametrize("layer_class", FLIPS)
def test_rule_09_every_argument_changes_something(layer_class):
    inputs, flips = FLIPS[layer_class]
    names = set(inspect.signature(layer_class.__init__).parameters)
    if "__init__" in vars(layer_class):
        assert set(flips) == names - {"self", "kwargs"}
    for argument, (make_usual, make_flipped) in flips.items():
        usual = observe(layer_class, make_usual, inputs)
        assert not differ(usual, observe(layer_class, make_usual, inputs))
        flipped = observe(layer_class, make_flipped, inputs)
        assert differ(usual, flipped), f"{layer_class.__name__}: {argument}"


@not_jax
def test_rule_10_rows_routed_elsewhere_do_not_reach_an_expert():
    inputs = draw(6, 5)
    gates = np.zeros((6, 3), "float32")
    gates[:3, 0], gates[3:5, 1], gates[2, 2] = 1, 0.5, 0.5
    inputs[3:5] = np.nan  # of expert 1 alone
    inputs[5] = np.nan  # of none
    bank = DenseExpert(2, 3, hidden_units=4)
    bank(inputs, gates)
    _, gradients, first = gradients_of(
        bank, (inputs, gates), lambda outputs: keras.ops.sum(outputs[:3])
    )
    for gradient in gradients:
        assert np.all(np.isfinite(gradient[[0, 2]]))
    assert np.all(np.isfinite(first[[0, 1, 2, 5]]))
