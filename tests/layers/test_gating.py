"""GatingLayer: its formula, levels, masks, losses, noise and errors."""

import keras
import numpy as np
import pytest
from keras import ops

from moe_keras.layers import GatingLayer, record_gates
from tests import oracles
from tests.tools import (
    assert_close,
    draw,
    numpy_of,
    randomize,
    weights_by_name,
)


def built(inputs, **kwargs):
    layer = GatingLayer(**kwargs)
    layer(inputs)
    return randomize(layer)


def logits_of(layer, rows):
    weights = weights_by_name(layer)
    scores = rows @ weights["kernel"] + weights.get("score_bias", 0)
    return scores / layer.temperature


@pytest.mark.parametrize("shape", [(6, 5), (3, 4, 5)])
@pytest.mark.parametrize(
    "kwargs",
    [
        {},
        {"top_k": 1},
        {"top_k": 2},
        {"top_k": 3, "normalize": False},
        {"top_k": 2, "temperature": 0.3},
        {"top_k": 4},
        {"bias_initializer": "zeros", "temperature": 0.5},
        {"top_k": 2, "bias_initializer": "zeros"},
    ],
)
def test_gates_are_those_of_the_loops(shape, kwargs):
    inputs = draw(*shape)
    layer = built(inputs, num_experts=4, **kwargs)
    expected = oracles.softmax_gates(
        logits_of(layer, inputs.reshape(-1, 5)),
        kwargs.get("top_k"),
        kwargs.get("normalize", True),
    )
    assert_close(layer(inputs), expected.reshape(*shape[:-1], 4))


@pytest.mark.parametrize("shape", [(6, 4, 5), (6, 3, 4, 5)])
def test_sample_level_scores_the_mean(shape):
    inputs = draw(*shape)
    layer = built(inputs, num_experts=3, top_k=2, level="sample")
    means = np.stack([sample.reshape(-1, 5).mean(axis=0) for sample in inputs])
    expected = oracles.softmax_gates(logits_of(layer, means), 2)
    assert_close(layer(inputs), expected)


@pytest.mark.parametrize(
    ("shape", "level", "leading"),
    [
        ((2, 5), "auto", (2,)),
        ((2, 3, 5), "auto", (2, 3)),
        ((2, 3, 4, 5), "auto", (2,)),
        ((2, 3, 4, 5), "position", (2, 3, 4)),
        ((2, 3, 5), "sample", (2,)),
        ((2, 5), "sample", (2,)),
    ],
)
def test_levels(shape, level, leading):
    layer = GatingLayer(3, level=level)
    assert tuple(layer(draw(*shape)).shape) == (*leading, 3)
    assert layer.compute_output_shape(shape) == (*leading, 3)


def test_the_bias_begins_as_its_initializer_says():
    start = keras.initializers.Constant([0.0, 1.0, -2.0])
    layer = GatingLayer(3, kernel_initializer="zeros", bias_initializer=start)
    expected = np.exp([0.0, 1.0, -2.0])
    found = GatingLayer.from_config(layer.get_config())(draw(4, 5))
    assert_close(found, np.tile(expected / expected.sum(), (4, 1)))


def test_padding_has_no_gates():
    inputs = draw(3, 4, 5)
    mask = np.asarray([[1, 1, 0, 0], [1, 1, 1, 1], [0, 0, 0, 0]], bool)
    layer = built(inputs, num_experts=3, top_k=2)
    gates = numpy_of(layer(inputs, mask=mask))
    np.testing.assert_array_equal(np.any(gates > 0, axis=-1), mask)
    assert_close(gates[mask], numpy_of(layer(inputs))[mask])


def test_padding_is_left_out_of_the_mean():
    inputs = draw(3, 4, 5)
    mask = np.asarray([[1, 1, 0, 0], [1, 1, 1, 1], [0, 0, 0, 0]], bool)
    layer = built(inputs, num_experts=3, level="sample")
    padded = inputs.copy()
    padded[~mask] = np.nan
    gates = numpy_of(layer(padded, mask=mask))
    means = np.stack([inputs[0, :2].mean(axis=0), inputs[1].mean(axis=0)])
    assert_close(gates[:2], oracles.softmax_gates(logits_of(layer, means)))
    np.testing.assert_array_equal(gates[2], np.zeros(3))


def test_noise_has_the_learned_scale():
    inputs = np.zeros((4000, 2), "float32")
    inputs[:, 1] = 1.0
    layer = GatingLayer(2, top_k=2, noisy=True, seed=1)
    layer.build(inputs.shape)
    layer.kernel.assign(np.zeros((2, 2)))
    layer.noise_kernel.assign([[0.0, 0.0], [2.0, 2.0]])
    gates = numpy_of(layer(inputs, training=True))
    # The logit of two gates is the difference of two draws.
    spread = np.std(np.log(gates[:, 0] / gates[:, 1]))
    expected = np.sqrt(2) * (np.log1p(np.exp(2.0)) + 0.01)
    assert spread == pytest.approx(expected, rel=0.05)


def test_default_kernel_is_a_tenth_of_the_usual_variance():
    layer = GatingLayer(64)
    layer.build((None, 256))
    usual = 1 / np.sqrt(256)
    assert np.std(numpy_of(layer.kernel)) == pytest.approx(
        usual * np.sqrt(0.1), rel=0.05
    )


def test_record_sees_the_gates_of_a_model():
    inputs = keras.Input((5,))
    layer = GatingLayer(3, name="router")
    model = keras.Model(inputs, layer(layer(inputs) @ ops.ones((3, 5))))
    with record_gates() as record:
        outputs = model(draw(2, 5))
    assert list(record) == ["router", "router_1"]
    assert_close(record["router_1"], numpy_of(outputs))
    layer(draw(2, 5))
    assert len(record) == 2


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"num_experts": 0}, "`num_experts` must be an integer above 0. "
         "Received: num_experts=0"),
        ({"num_experts": True}, "Received: num_experts=True"),
        ({"num_experts": 4, "top_k": 5}, "`top_k` must be an integer in "
         "1..num_experts, or None. Received: top_k=5, num_experts=4"),
        ({"num_experts": 4, "top_k": 0}, "Received: top_k=0, num_experts=4"),
        ({"num_experts": 4, "top_k": 1.5}, "Received: top_k=1.5, "),
        ({"num_experts": 4, "noisy": True}, "`noisy` needs a `top_k`: without "
         "a choice"),
        ({"num_experts": 4, "temperature": 0}, "`temperature` must be above "
         "0. Received: temperature=0"),
        ({"num_experts": 4, "level": "word"}, "`level` must be one of ('auto', "
         "'sample', 'position'). Received: level='word'"),
        ({"num_experts": 4, "balance_loss": -1}, "`balance_loss` must not be "
         "negative. Received: balance_loss=-1"),
        ({"num_experts": 4, "importance_loss": -1}, "`importance_loss` must "
         "not be negative. Received: importance_loss=-1"),
        ({"num_experts": 4, "mutual_information_loss": -1},
         "`mutual_information_loss` must not be negative."),
        ({"num_experts": 4, "z_loss": -1}, "`z_loss` must not be negative. "
         "Received: z_loss=-1"),
    ],
)  # fmt: skip
def test_errors_name_the_argument(kwargs, message):
    with pytest.raises(ValueError, match=r"^GatingLayer: ") as error:
        GatingLayer(**kwargs)
    assert message in str(error.value)


def test_features_must_be_known():
    with pytest.raises(ValueError, match=r"must be .* with a known D"):
        GatingLayer(3).build((None, None))


def test_inputs_must_be_floats():
    with pytest.raises(ValueError, match="`inputs` must be of a float dtype"):
        GatingLayer(3)(np.ones((2, 5), "int32"))
