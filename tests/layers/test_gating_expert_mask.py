"""Experts out of service: as if the layer had been built without them."""

import keras
import numpy as np
import pytest

from moe_keras.layers import (
    DenseExpert,
    ExpertChoiceGating,
    GatingLayer,
    HashGating,
    HierarchicalGating,
    MixtureOfExperts,
    UniformGating,
)
from tests import oracles_gating
from tests.tools import (
    BACKEND,
    assert_close,
    draw,
    numpy_of,
    only_tensorflow,
    randomize,
)

LOSSES = {
    "balance_loss": 1.0,
    "z_loss": 0.5,
    "importance_loss": 0.25,
    "mutual_information_loss": 0.125,
    "entropy_loss": 2.0,
}
IN_SERVICE = np.asarray([True, False, True, True, False])
PER_ROW = np.asarray(
    [[1, 0, 1, 1, 0], [0, 0, 0, 0, 1], [1, 1, 1, 1, 1], [0, 1, 1, 0, 0]], bool
)

# A function from the number of experts to a gate.
KINDS = {
    "all": lambda n: GatingLayer(n, **LOSSES),
    **{
        f"top_{k}": lambda n, k=k: GatingLayer(n, min(k, n), **LOSSES)
        for k in (1, 2, 3, 4)
    },
    "unnormalised": lambda n: GatingLayer(n, 2, normalize=False, **LOSSES),
    "late": lambda n: GatingLayer(
        n, 2, order="top_k_softmax", normalize=False, **LOSSES
    ),
    "sigmoid": lambda n: GatingLayer(n, activation="sigmoid", **LOSSES),
    "sigmoid_2": lambda n: GatingLayer(n, 2, activation="sigmoid", **LOSSES),
    "cosine": lambda n: GatingLayer(
        n, 2, scores="cosine", score_units=3, **LOSSES
    ),
    "attention": lambda n: GatingLayer(
        n, 2, scores="attention", score_units=3, **LOSSES
    ),
    "top_p": lambda n: GatingLayer(n, top_p=0.6, **LOSSES),
    "load_bias": lambda n: GatingLayer(n, 2, load_bias=0.5, **LOSSES),
    "uniform": UniformGating,
    "expert_choice": lambda n: ExpertChoiceGating(n, 1.5),
}


def smaller(layer, make, kept, inputs):
    """The layer without the other experts, with the same weights."""
    twin = make(len(kept))
    twin.build(inputs.shape)
    for weight, other in zip(twin.weights, layer.weights, strict=True):
        values = numpy_of(other)
        # The experts are the last axis, wherever they are one.
        if values.shape and values.shape[-1] == layer.num_experts:
            values = values[..., kept]
        weight.assign(values)
    return twin


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_gates_and_losses_are_those_of_the_smaller_layer(kind, training):
    make, inputs = KINDS[kind], 2 * draw(9, 4)
    layer = make(5)
    layer.build(inputs.shape)
    randomize(layer)
    kept = np.flatnonzero(IN_SERVICE)
    twin = smaller(layer, make, kept, inputs)
    gates = numpy_of(layer(inputs, expert_mask=IN_SERVICE, training=training))
    assert_close(gates[:, kept], numpy_of(twin(inputs, training=training)))
    assert np.all(gates[:, ~IN_SERVICE] == 0)
    total, expected = (
        sum(float(numpy_of(loss)) for loss in one.losses)
        for one in (layer, twin)
    )
    assert total == pytest.approx(expected, abs=1e-4)
    if training and kind == "load_bias":
        moved = numpy_of(layer.selection_bias)
        assert_close(moved[kept], numpy_of(twin.selection_bias))
        assert np.all(moved[~IN_SERVICE] == 0)


@pytest.mark.parametrize("kind", KINDS)
def test_a_mask_per_row_and_a_single_expert(kind):
    inputs = 2 * draw(4, 4)
    layer = KINDS[kind](5)
    layer.build(inputs.shape)
    randomize(layer)
    gates = numpy_of(layer(inputs, expert_mask=PER_ROW))
    assert np.all(gates[~PER_ROW] == 0)
    if kind == "expert_choice":
        return  # whose rows do see each other
    for n in range(4):
        alone = layer(inputs[n : n + 1], expert_mask=PER_ROW[n])
        assert_close(alone, gates[n : n + 1])
    kept = np.flatnonzero(PER_ROW[1])
    if kind in ("unnormalised", "late", "load_bias", "cosine", "attention"):
        return  # made for two experts or more
    if kind != "sigmoid_2":
        twin = smaller(layer, KINDS[kind], kept, inputs)
        assert_close(gates[1:2, kept], numpy_of(twin(inputs[1:2])))


def test_leading_axes_may_be_left_out_between():
    inputs = draw(4, 3, 4)
    layer = GatingLayer(5, top_k=2)
    layer(inputs)
    by_sample = numpy_of(layer(inputs, expert_mask=PER_ROW))
    each = np.repeat(PER_ROW[:, None], 3, axis=1)
    assert_close(layer(inputs, expert_mask=each), by_sample)
    assert_close(layer(inputs, expert_mask=each.tolist()), by_sample)
    for n in range(4):
        alone = layer(inputs[n : n + 1], expert_mask=PER_ROW[n])
        assert_close(alone, by_sample[n : n + 1])


@pytest.mark.parametrize("in_service", [IN_SERVICE, PER_ROW])
def test_expert_choice_among_those_in_service(in_service):
    inputs = 2 * draw(4, 4)
    layer = ExpertChoiceGating(5, 1.5)
    layer.build(inputs.shape)
    randomize(layer)
    expected = oracles_gating.expert_choice(
        inputs @ numpy_of(layer.kernel), 1.5, None, in_service
    )
    assert_close(layer(inputs, expert_mask=in_service), expected)


HIERARCHIES = {
    "all": (None, None),
    "both": (1, 2),
    "groups": (2, None),
    "within": (None, 1),
}


@pytest.mark.parametrize("kind", HIERARCHIES)
@pytest.mark.parametrize(
    "in_service",
    [
        [1, 0, 1, 1, 1, 0, 0, 0, 0],
        [1, 1, 1, 0, 0, 0, 1, 1, 1],
        [0, 0, 0, 0, 1, 0, 0, 0, 0],
    ],
)
def test_hierarchical_among_those_in_service(kind, in_service):
    top_groups, top_k = HIERARCHIES[kind]
    inputs, in_service = 2 * draw(6, 4), np.asarray(in_service, bool)
    layer = HierarchicalGating(3, 3, top_groups, top_k)
    layer.build(inputs.shape)
    randomize(layer)
    outer = inputs @ numpy_of(layer.group_kernel)
    inner = (inputs @ numpy_of(layer.kernel)).reshape(-1, 3, 3)
    expected = oracles_gating.hierarchical(
        outer, inner, top_groups, top_k, in_service
    )
    gates = layer(inputs, expert_mask=in_service, training=True)
    assert_close(gates, expected)
    assert np.all(np.isfinite([float(numpy_of(x)) for x in layer.losses]))


def test_hierarchical_losses_without_a_group():
    inputs, in_service = draw(9, 4), np.repeat([True, False, True], 2)
    layer = HierarchicalGating(3, 2, 1, 1)
    layer.build(inputs.shape)
    randomize(layer)
    twin = HierarchicalGating(2, 2, 1, 1)
    twin.build(inputs.shape)
    twin.group_kernel.assign(numpy_of(layer.group_kernel)[:, [0, 2]])
    twin.kernel.assign(numpy_of(layer.kernel)[:, in_service])
    gates = numpy_of(layer(inputs, expert_mask=in_service, training=True))
    assert_close(gates[:, in_service], numpy_of(twin(inputs, training=True)))
    for loss, other in zip(layer.losses, twin.losses, strict=True):
        assert_close(loss, numpy_of(other))


def test_noise_does_not_bring_an_expert_back():
    layer = GatingLayer(5, top_k=2, noisy=True, load_loss=1.0, jitter=0.1)
    inputs = draw(50, 4)
    layer(inputs)
    layer.noise_kernel.assign(5 * np.ones((4, 5)))
    gates = layer(inputs, expert_mask=IN_SERVICE, training=True)
    gates = numpy_of(gates)
    assert np.all(gates[:, ~IN_SERVICE] == 0)
    np.testing.assert_array_equal(np.sum(gates > 0, axis=-1), 2)
    # One expert is left where two are wanted: no choice, no load to even out.
    one = np.arange(5) == 3
    gates = numpy_of(layer(inputs, expert_mask=one, training=True))
    assert_close(gates, np.tile(one.astype("float32"), (50, 1)))
    assert [float(numpy_of(loss)) for loss in layer.losses] == [0, 0, 0]


def test_uniform_weights_are_shared_out():
    layer = UniformGating(4, [1, 2, 3, 4])
    gates = layer(draw(2, 5), expert_mask=[True, False, True, False])
    assert_close(gates, [[0.25, 0, 0.75, 0]] * 2)


def test_mask_of_positions_is_found_beside_a_mask_of_experts():
    ids = np.asarray([[1, 2, 0], [3, 0, 0]], "int32")
    embedded = keras.layers.Embedding(4, 5, mask_zero=True)(ids)
    gates = numpy_of(GatingLayer(5, 2)(embedded, expert_mask=IN_SERVICE))
    np.testing.assert_array_equal(np.any(gates > 0, axis=-1), ids > 0)


def test_mask_is_an_input_of_a_model():
    symbols = keras.Input((4,)), keras.Input((5,), dtype="bool")
    layer = GatingLayer(5, top_k=2)
    model = keras.Model(symbols, layer(symbols[0], expert_mask=symbols[1]))
    inputs = draw(4, 4)
    model.compile(jit_compile=BACKEND == "jax")
    gates = model.predict([inputs, PER_ROW], verbose=0)
    assert_close(gates, numpy_of(layer(inputs, expert_mask=PER_ROW)))
    # Traced, nobody can tell; the gates are 0.
    nobody = np.zeros((4, 5), bool)
    if BACKEND != "torch":
        assert np.all(model.predict([inputs, nobody], verbose=0) == 0)


def test_mixture_hands_the_mask_on():
    inputs = draw(6, 4)
    moe = MixtureOfExperts(DenseExpert(3, 5), GatingLayer(5, top_k=2))
    moe(inputs)
    randomize(moe)
    small = MixtureOfExperts(DenseExpert(3, 3), GatingLayer(3, top_k=2))
    small.build(inputs.shape)
    small.gate.kernel.assign(numpy_of(moe.gate.kernel)[:, IN_SERVICE])
    ours, theirs = moe.experts[0].weights, small.experts[0].weights
    for weight, other in zip(theirs, ours, strict=True):
        weight.assign(numpy_of(other)[IN_SERVICE])
    expected = numpy_of(small(inputs))
    assert_close(moe(inputs, expert_mask=IN_SERVICE), expected)


ALL_KINDS = {**KINDS, "hierarchical": lambda n: HierarchicalGating(n, 1)}


@pytest.mark.parametrize("kind", ALL_KINDS)
@pytest.mark.parametrize("shape", [(5,), (4, 5)])
def test_nobody_in_service_is_an_error(kind, shape):
    mask = np.ones(shape, bool)
    mask[-1:] = False
    mask = np.zeros(shape, bool) if len(shape) == 1 else mask
    with pytest.raises(
        ValueError, match="`expert_mask` must leave an expert in service"
    ):
        ALL_KINDS[kind](5)(draw(4, 4), expert_mask=mask)


@only_tensorflow
@pytest.mark.parametrize("kind", ALL_KINDS)
def test_a_row_with_nobody_in_service_reaches_nobody_in_a_graph(kind):
    # Where values are not known beforehand there is nothing to refuse.
    import tensorflow as tf

    inputs, layer = 2 * draw(4, 4), ALL_KINDS[kind](5)
    layer(inputs)
    randomize(layer)
    others = np.arange(4) != 1
    expected = numpy_of(layer(inputs[others]))
    mask = np.repeat(others[:, None], layer.num_experts, axis=1)

    @tf.function
    def step(expert_mask):
        gates = layer(inputs, expert_mask=expert_mask, training=True)
        return gates, tf.add_n([0.0, *layer.losses])

    gates, loss = map(numpy_of, step(tf.constant(mask)))
    assert np.all(gates[1] == 0)
    assert_close(gates[others], expected)
    assert np.isfinite(loss)


@pytest.mark.parametrize("shape", [(), (4,), (3, 5), (4, 1, 5)])
def test_mask_must_have_the_shape_of_the_gates(shape):
    with pytest.raises(ValueError, match=r"`expert_mask` must be \(E,\), or"):
        GatingLayer(5)(draw(4, 4), expert_mask=np.ones(shape, bool))


def test_hash_refuses_a_mask():
    with pytest.raises(ValueError, match="HashGating: a hash cannot do"):
        HashGating(5)(np.arange(4), expert_mask=IN_SERVICE)
