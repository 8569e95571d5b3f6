"""SoftMoE against the loops."""

import keras
import numpy as np
import pytest

from moe_keras.layers import DenseExpert, GatingLayer, SoftMoE, record_gates
from moe_keras.ops.cost import count_multiply_adds
from moe_keras.ops.soft_moe import soft_weights
from tests import oracles_blocks
from tests.gradients import gradients_of, random_projection
from tests.layers.test_dense_expert import functions_of
from tests.tools import (
    assert_close,
    draw,
    numpy_of,
    only_tensorflow,
    randomize,
)

BANKS = {
    "one_map": lambda: DenseExpert(3, 3, activation="tanh"),
    "hidden": lambda: DenseExpert(3, 2, hidden_units=6, activation="gelu"),
    "glu": lambda: DenseExpert(
        5, 2, hidden_units=4, gated=True, activation="silu", use_bias=False
    ),
    "single": lambda: DenseExpert(3),
}


def built(inputs, experts, *args, **kwargs):
    layer = SoftMoE(experts, *args, **kwargs)
    layer(inputs)
    randomize(layer)
    layer.scale.assign(3.0)
    return layer


def expected_of(layer, sample):
    return oracles_blocks.soft_moe(
        sample.reshape(-1, sample.shape[-1]).astype("float64"),
        numpy_of(layer.kernel),
        float(numpy_of(layer.scale)),
        functions_of(layer.experts),
        layer.slots_per_expert,
    )


@pytest.mark.parametrize("shape", [(2, 4, 5), (3, 1, 5), (2, 2, 3, 5)])
@pytest.mark.parametrize("slots", [1, 3])
@pytest.mark.parametrize("bank", BANKS)
def test_outputs_are_those_of_the_loops(bank, slots, shape):
    inputs = draw(*shape)
    layer = built(inputs, BANKS[bank](), slots)
    with record_gates() as record:
        outputs = numpy_of(layer(inputs))
    assert layer.compute_output_shape(shape) == outputs.shape
    gates = numpy_of(record[layer.name])
    assert gates.shape == (*shape[:-1], layer.num_experts)
    for n in range(shape[0]):
        expected, combine = expected_of(layer, inputs[n])
        assert_close(outputs[n], expected.reshape(outputs[n].shape))
        by_expert = combine.reshape(-1, layer.num_experts, slots).sum(axis=-1)
        assert_close(gates[n], by_expert.reshape(gates[n].shape))


def test_padding_has_no_part_in_any_slot():
    inputs = draw(4, 5, 3)
    mask = np.arange(5) < np.asarray([[5], [3], [1], [0]])
    layer = built(inputs, DenseExpert(4, 3), 2)
    inputs[~mask] = np.nan
    with record_gates() as record:
        outputs = numpy_of(layer(inputs, mask=mask))
    gates = numpy_of(record[layer.name])
    np.testing.assert_array_equal(outputs[~mask], 0)
    np.testing.assert_array_equal(gates[~mask], 0)
    assert_close(np.sum(gates, axis=-1), mask.astype("float64"))
    for n in range(3):
        expected, _ = expected_of(layer, inputs[n][mask[n]])
        assert_close(outputs[n][mask[n]], expected)
    _, gradients, first = gradients_of(
        layer, (inputs,), random_projection, mask=mask
    )
    assert all(np.all(np.isfinite(gradient)) for gradient in gradients)
    np.testing.assert_array_equal(first[~mask], 0)


def test_the_mask_of_an_embedding_goes_through():
    tokens = np.asarray([[3, 1, 2, 0], [4, 2, 0, 0]], "int32")
    symbols = keras.Input((None,), dtype="int32")
    embedded = keras.layers.Embedding(5, 6, mask_zero=True)(symbols)
    layer = SoftMoE(DenseExpert(3, 2), 2)
    mixed = layer(embedded)
    assert mixed.shape == (None, None, 3)
    pooled = keras.layers.GlobalAveragePooling1D()(mixed)
    model = randomize(keras.Model(symbols, [embedded, mixed, pooled]))
    embedded, mixed, pooled = map(numpy_of, model(tokens))
    for n in range(2):
        real = tokens[n] > 0
        expected, _ = expected_of(layer, embedded[n][real])
        assert_close(mixed[n][real], expected)
        assert_close(pooled[n], np.mean(expected, axis=0))


def test_a_token_of_zeros_is_safe():
    inputs = draw(2, 4, 5)
    inputs[0, 1] = 0
    layer = built(inputs, DenseExpert(3, 2))
    _, gradients, first = gradients_of(layer, (inputs,), random_projection)
    assert np.all(np.isfinite(numpy_of(layer(inputs))))
    assert np.all(np.isfinite(first))
    assert all(np.all(np.isfinite(gradient)) for gradient in gradients)


def test_weights_do_not_depend_on_the_size_of_tokens_or_slots():
    tokens = keras.ops.convert_to_tensor(draw(2, 4, 5))
    kernel = keras.ops.convert_to_tensor(draw(5, 6, seed=1))
    one = soft_weights(tokens, kernel, 2.0)
    other = soft_weights(100 * tokens, 0.01 * kernel, 2.0)
    for a, b in zip(one, other, strict=True):
        assert_close(a, numpy_of(b))
    dispatch, combine = map(numpy_of, one)
    assert_close(np.sum(dispatch, axis=1), np.ones((2, 6)))
    assert_close(np.sum(combine, axis=2), np.ones((2, 4)))


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_the_router_computes_in_float32(policy):
    keras.config.set_dtype_policy(policy)
    inputs = draw(2, 4, 5)
    layer = built(inputs, DenseExpert(3, 2))
    assert keras.backend.standardize_dtype(layer.kernel.dtype) == "float32"
    outputs = layer(inputs)
    assert keras.backend.standardize_dtype(outputs.dtype) == layer.compute_dtype
    outputs = numpy_of(keras.ops.cast(outputs, "float32"))
    for n in range(2):
        expected, _ = expected_of(layer, inputs[n])
        np.testing.assert_allclose(outputs[n], expected, atol=0.03)


# Half a unit in the last place: the weights are rounded once, at the end.
@pytest.mark.parametrize(
    ("policy", "error"), [("mixed_bfloat16", 2**-8), ("mixed_float16", 2**-11)]
)
def test_the_router_reads_what_it_was_given(policy, error):
    inputs = draw(2, 4, 5)
    layer = built(inputs, DenseExpert(3, 2, dtype=policy), dtype=policy)
    layer.scale.assign(50.0)
    with record_gates() as record:
        layer(inputs)
    (gates,) = (keras.ops.cast(g, "float32") for g in record.values())
    for n in range(2):
        _, combine = expected_of(layer, inputs[n])
        np.testing.assert_allclose(
            numpy_of(gates[n]), combine, rtol=1.01 * error, atol=1e-4
        )


def test_cost_is_the_products():
    symbols = keras.Input((7, 5))
    layer = SoftMoE(DenseExpert(3, 4, hidden_units=6), 2, name="soft")
    cost = count_multiply_adds(keras.Model(symbols, layer(symbols)))
    assert cost.total == 7 * 8 * (5 + 5 + 3) + 8 * 6 * (5 + 3)
    assert cost.active == cost.total


@only_tensorflow
def test_it_compiles_with_xla_and_is_exported(tmp_path):
    import tensorflow as tf

    from moe_keras.export import export_saved_model

    symbols = keras.Input((None, 5), name="x")
    model = keras.Model(symbols, SoftMoE(DenseExpert(3, 2), 2)(symbols))
    model.compile("sgd", "mse", jit_compile=True)
    x = draw(3, 6, 5)
    model.fit(x, draw(3, 6, 3, seed=1), verbose=0)
    export_saved_model(model, tmp_path)
    artefact = tf.saved_model.load(str(tmp_path))
    result = artefact.signatures["explain"](x=tf.constant(x))
    assert_close(result["outputs"], numpy_of(model(x)))
    assert tuple(result["gates"].shape) == (3, 6, 2)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: SoftMoE(GatingLayer(2, name="g")), "SoftMoE: `experts` must "
         "be a bank, such as DenseExpert(64, num_experts=4); a model"),
        (lambda: SoftMoE(DenseExpert(2), 0), "SoftMoE: `slots_per_expert` must "
         "be an integer above 0. Received: slots_per_expert=0"),
        (lambda: SoftMoE(DenseExpert(2)).build((4, 5)), "SoftMoE: `inputs` "
         "must be (B, ..., D) of rank 3 or more with a known D. Received: "
         "input_shape=(4, 5)"),
        (lambda: SoftMoE(DenseExpert(2, dtype="mixed_bfloat16")).build(
            (2, 4, 5)), "SoftMoE: `experts` must compute in the dtype of the "
         "layer. Received: experts_dtype='bfloat16', dtype='float32'"),
    ],
)  # fmt: skip
def test_errors_name_the_argument(make, message):
    with pytest.raises(ValueError, match=r"^SoftMoE: ") as error:
        make()
    assert message in str(error.value)
