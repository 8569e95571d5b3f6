"""ConvExpert, against a loop over images, experts and pixels."""

import numpy as np
import pytest
from keras import ops

from moe_keras.layers import ConvExpert, ExpertBank
from tests import oracles
from tests.gradients import gradients_of, random_projection
from tests.tools import (
    BACKEND,
    assert_close,
    draw,
    numpy_of,
    random_gates,
    randomize,
    weights_by_name,
)


def built(*inputs, **kwargs):
    layer = ConvExpert(**kwargs)
    layer(*inputs)
    return randomize(layer)


def functions_of(layer):
    weights = weights_by_name(layer)

    def function(e):
        blocks = [
            (weights[f"kernel_{i}"][e], weights[f"bias_{i}"][e])
            for i in range(len(layer.filters))
        ]
        projection = None
        if layer.output_units is not None:
            projection = weights["output_kernel"][e], weights["output_bias"][e]
        return lambda image: oracles.conv_expert(
            image,
            blocks,
            layer.pool_size,
            layer.pooling,
            projection,
            linear_last=layer.linear_last,
        )

    return [function(e) for e in range(layer.num_experts)]


CONFIGS = [
    {"filters": 3},
    {"filters": [3, 2], "kernel_size": 2, "pool_size": 2},
    {"filters": (3,), "pooling": "avg", "output_units": 4},
    {"filters": (3, 4), "pooling": "max", "pool_size": 3},
    {"filters": 2, "pooling": "flatten", "pool_size": 2, "output_units": 3},
    {"filters": 2, "kernel_size": 5, "pooling": "avg"},
    {"filters": (3, 2), "linear_last": True},
    {"filters": 3, "linear_last": True},
]


@pytest.mark.parametrize("config", CONFIGS)
def test_outputs_are_those_of_the_loops(config):
    images = draw(3, 5, 6, 2)
    layer = built(images, num_experts=2, **config)
    expected = oracles.run_bank(images, functions_of(layer))
    assert_close(layer(images), expected)


@pytest.mark.parametrize("activation", ["tanh", "softmax"])
@pytest.mark.parametrize("config", [*CONFIGS, {"filters": (32, 2)}])
def test_all_at_once_is_one_by_one(config, activation, monkeypatch):
    images = draw(3, 5, 6, 2)
    layer = built(images, num_experts=3, activation=activation, **config)
    wide = numpy_of(layer(images))
    _, slopes, first = gradients_of(layer, (images,), random_projection)
    monkeypatch.setattr(ConvExpert, "run_all", ExpertBank.run_all)
    assert_close(layer(images), wide)
    _, expected, of_images = gradients_of(layer, (images,), random_projection)
    assert_close(first, of_images)
    for one, other in zip(slopes, expected, strict=True):
        assert_close(one, other)


@pytest.mark.parametrize("filters", [(3,), (3, 2, 2)])
def test_the_first_blocks_are_one_convolution(filters, monkeypatch):
    images, gates = draw(6, 5, 6, 2), random_gates((6, 3))
    layer = built(images, num_experts=3, filters=filters)
    calls, convolve = [], ops.conv

    def counting(*args, **kwargs):
        calls.append(args)
        return convolve(*args, **kwargs)

    monkeypatch.setattr(ops, "conv", counting)
    layer(images)
    later = len(filters) - 1
    assert len(calls) == 1 + later * (1 if BACKEND == "torch" else 3)
    calls.clear()
    # On TensorFlow, too many channels side by side take longer.
    many = built(images, num_experts=3, filters=32)
    calls.clear()
    many(images)
    assert len(calls) == (3 if BACKEND == "tensorflow" else 1)
    calls.clear()
    # Where rows are chosen, each expert reads its own.
    layer(images, gates)
    if BACKEND != "jax":
        assert len(calls) == 3 * len(filters)


def test_dropout_of_all_at_once_is_a_draw_for_each_expert():
    images = draw(40, 5, 6, 2)
    layer = built(images, filters=4, num_experts=2, pooling="avg", dropout=0.5)
    for bank in layer.trainable_weights:
        values = numpy_of(bank).copy()
        values[1] = values[0]
        bank.assign(values)
    still = numpy_of(layer(images))
    assert_close(still[:, 0], still[:, 1])
    outputs = numpy_of(layer(images, training=True))
    kept = outputs != 0
    assert np.mean(kept[still != 0]) == pytest.approx(0.5, abs=0.15)
    assert np.any(kept[:, 0] != kept[:, 1])
    assert_close(outputs[kept], 2 * still[kept])


@pytest.mark.parametrize("dispatch", ["auto", "dense"])
@pytest.mark.parametrize("config", CONFIGS[1:3])
def test_gates_clear_what_is_not_chosen(config, dispatch):
    images, gates = draw(6, 5, 4, 2), random_gates((6, 3))
    gates[:, 1] = 0  # an expert without rows
    layer = built(images, gates, num_experts=3, **config)
    expected = oracles.run_bank(images, functions_of(layer))
    expected[gates == 0] = 0
    assert_close(layer(images, gates, dispatch=dispatch), expected)


def test_groups_are_runs_of_sorted_images():
    images, sizes = draw(5, 4, 4, 2), np.asarray([2, 0, 3], "int32")
    layer = built(images, filters=3, num_experts=3, pooling="avg")
    functions = functions_of(layer)
    expected = [
        functions[e](image)
        for image, e in zip(images, np.repeat([0, 1, 2], sizes), strict=True)
    ]
    assert_close(layer(images, group_sizes=sizes), np.stack(expected))


@pytest.mark.parametrize("pooling", [None, "avg", "max"])
def test_any_size_of_image_when_it_is_unknown(pooling):
    layer = ConvExpert(3, 2, pool_size=2, pooling=pooling)
    layer.build((None, None, None, 2))
    rest = (None, None, 3) if pooling is None else (3,)
    shape = layer.compute_output_shape((None, None, None, 2))
    assert shape == (None, 2, *rest)
    for side in (4, 5):
        images = draw(2, side, side, 2)
        expected = oracles.run_bank(images, functions_of(layer))
        assert_close(layer(images), expected)


def test_activation_is_the_one_asked_for():
    images = draw(2, 4, 4, 2)
    layer = built(images, filters=3, activation="linear")
    relu = built(images, filters=3)
    assert np.any(numpy_of(layer(images)) < 0)
    assert np.all(numpy_of(relu(images)) >= 0)


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"filters": 0}, "`filters` must be an integer above 0 or a sequence "
         "of them. Received: filters=0"),
        ({"filters": []}, "Received: filters=[]"),
        ({"filters": (3, 0)}, "Received: filters=(3, 0)"),
        ({"filters": 3, "kernel_size": 0}, "`kernel_size` must be an integer "
         "above 0. Received: kernel_size=0"),
        ({"filters": 3, "pool_size": 0}, "`pool_size` must be an integer above "
         "0. Received: pool_size=0"),
        ({"filters": 3, "pooling": "sum"}, "`pooling` must be one of (None, "
         "'avg', 'max', 'flatten'). Received: pooling='sum'"),
        ({"filters": 3, "output_units": 2}, "`output_units` needs a `pooling` "
         "that makes a vector. Received: output_units=2, pooling=None"),
        ({"filters": 3, "pooling": "avg", "output_units": 0}, "`output_units` "
         "must be an integer above 0, or None. Received: output_units=0"),
        ({"filters": 3, "dropout": -0.1}, "`dropout` must be in [0, 1). "
         "Received: dropout=-0.1"),
    ],
)  # fmt: skip
def test_errors_name_the_argument(kwargs, message):
    with pytest.raises(ValueError, match=r"^ConvExpert: ") as error:
        ConvExpert(**kwargs)
    assert message in str(error.value)


@pytest.mark.parametrize(
    "shapes",
    [
        [(None, 8, 2)],
        [(None, 8, 8, None)],
        [(None, 8, 8, 2), (None, 8, 1)],
    ],
)
def test_inputs_must_be_images(shapes):
    with pytest.raises(ValueError, match="ConvExpert: `inputs` must be images"):
        ConvExpert(3).build(*shapes)


def test_a_projection_of_flat_maps_needs_their_size():
    layer = ConvExpert(3, pooling="flatten", output_units=2)
    with pytest.raises(ValueError, match="ConvExpert: the size of the proj"):
        layer.build((None, None, 8, 2))
