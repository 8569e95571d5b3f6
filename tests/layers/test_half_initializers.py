"""Initializers under half policies: drawn in float32, then rounded."""

import keras
import numpy as np
import pytest
from keras import ops

from moe_keras.layers import (
    AttentionFusion,
    EmbeddedExperts,
    GatingLayer,
    LowRankExpert,
    MixtureOfExperts,
    RecurrentExpert,
    SequenceConvExpert,
)
from moe_keras.layers.initializers import FullPrecision, PerExpert
from moe_keras.zoo.image import build_image_moe
from tests.tools import draw, numpy_of

HALVES = ("bfloat16", "float16")
# The rounding of a matrix of a few numbers of at most 1.
ROUNDING = {"bfloat16": 2e-2, "float16": 3e-3, "float32": 1e-5}


def is_orthogonal(matrix, dtype):
    matrix = numpy_of(ops.cast(matrix, "float32"))
    rows, columns = matrix.shape
    square = matrix.T @ matrix if rows >= columns else matrix @ matrix.T
    return np.allclose(square, np.eye(len(square)), atol=ROUNDING[dtype])


@pytest.mark.jax
@pytest.mark.parametrize("dtype", [*HALVES, "float32"])
def test_orthogonal_matrices(dtype):
    one = FullPrecision("orthogonal")((5, 3), dtype=dtype)
    assert is_orthogonal(one, dtype)
    bank = PerExpert("orthogonal")((2, 3, 5), dtype=dtype)
    assert keras.backend.standardize_dtype(bank.dtype) == dtype
    assert all(is_orthogonal(bank[e], dtype) for e in range(2))
    assert not np.allclose(*numpy_of(ops.cast(bank, "float32")))


@pytest.mark.parametrize("dtype", HALVES)
def test_a_half_draw_is_the_rounded_one(dtype):
    base = keras.initializers.RandomNormal(seed=3)
    found = FullPrecision(base)((4, 2), dtype=dtype)
    expected = ops.cast(base((4, 2), dtype="float32"), dtype)
    np.testing.assert_array_equal(
        *(numpy_of(ops.cast(v, "float32")) for v in (found, expected))
    )
    copy = keras.initializers.deserialize(
        keras.initializers.serialize(FullPrecision(base))
    )
    assert isinstance(copy, FullPrecision)
    assert copy.base.seed == 3


def recurrent(dtype, **kwargs):
    bank = RecurrentExpert(3, num_experts=2, dtype=dtype, **kwargs)
    bank.build((None, 4, 2))
    return [w for w in bank.weights if w.name == "recurrent_kernel"]


@pytest.mark.parametrize(
    "kwargs", [{}, {"cell": "lstm", "bidirectional": True}]
)
@pytest.mark.parametrize("dtype", HALVES)
def test_recurrent_banks(dtype, kwargs):
    kernels = recurrent(dtype, **kwargs)
    assert len(kernels) == (4 if kwargs else 2)
    assert all(is_orthogonal(kernel, dtype) for kernel in kernels)


def build_low_rank(dtype):
    bank = LowRankExpert(
        3, 2, (4,), kernel_initializer="orthogonal", dtype=dtype
    )
    bank.build((None, 5))
    return bank.weights[0]


def build_fusion(dtype):
    fusion = AttentionFusion(3, kernel_initializer="orthogonal", dtype=dtype)
    fusion.build([(None, 2, 4), (None, 2)])
    return fusion.key_kernel


def build_embedded(dtype):
    bank = SequenceConvExpert(2, num_experts=2, dtype=dtype)
    made = EmbeddedExperts(
        bank, 7, 3, embeddings_initializer="orthogonal", dtype=dtype
    )
    made.build((None, 4))
    config = made.get_config()["embeddings_initializer"]
    assert config["class_name"] == "Orthogonal"
    return made.embedding.embeddings


@pytest.mark.parametrize("dtype", HALVES)
@pytest.mark.parametrize(
    "build", [build_low_rank, build_fusion, build_embedded]
)
def test_other_weights_that_a_user_may_start_orthogonal(build, dtype):
    assert is_orthogonal(build(dtype), dtype)


@pytest.mark.parametrize(
    "dtype", ["bfloat16", pytest.param("float16", marks=pytest.mark.slow)]
)
def test_a_recurrent_mixture_is_trained(dtype):
    keras.config.set_dtype_policy(dtype)
    mixture = MixtureOfExperts(
        RecurrentExpert(3, num_experts=2, output_units=2),
        GatingLayer(2, level="sample"),
    )
    model = keras.Sequential([keras.Input((4, 2)), mixture])
    model.compile(keras.optimizers.SGD(0.1), "mse")
    history = model.fit(
        draw(8, 4, 2), draw(8, 2, seed=1), epochs=3, verbose=0
    ).history["loss"]
    assert np.all(np.isfinite(history))
    assert history[-1] < history[0]


@pytest.mark.slow
@pytest.mark.parametrize("dtype", HALVES)
def test_the_image_models_of_different_experts_are_trained(dtype):
    keras.config.set_dtype_policy(dtype)
    model = build_image_moe((16, 16, 1), 3, variant="hetero")
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(0.01), loss)
    history = model.fit(
        abs(draw(8, 16, 16, 1)), np.arange(8) % 3, verbose=0
    ).history["loss"]
    assert np.all(np.isfinite(history))
