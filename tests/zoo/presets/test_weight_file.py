"""The file of weights: half precision where it is safe, and no pickle."""

import io
import pickle
import zipfile

import keras
import numpy as np
import pytest

from moe_keras.zoo.presets.weight_file import (
    assign_weights,
    encode,
    pack_weights,
    unpack_weights,
)
from moe_keras.zoo.presets.weight_names import name_weights
from tests.tools import draw, numpy_of
from tests.zoo.presets.tiny import tiny_model

pytestmark = pytest.mark.jax


def unpack(content, weights):
    return unpack_weights(content, weights, "weights.npz", "test")


def archive_of(arrays):
    content = io.BytesIO()
    np.savez(content, **arrays)
    return content.getvalue()


def a_weight(*shape):
    return keras.Variable(np.zeros(shape, "float32"), name="w")


@pytest.mark.parametrize(
    ("value", "dtype"),
    [
        (draw(20, 30), "float16"),
        (draw(3, 20, 30), "float16"),
        (0.02 * draw(3, 3, 8, 8), "float16"),
        (np.zeros((3, 4), "float32"), "float16"),
        # Half precision has no such large and no such small numbers.
        (1e5 * draw(20, 30), "float32"),
        (1e-6 * draw(20, 30), "float32"),
        (draw(20), "float32"),
        (np.float32(0.3), "float32"),
        (draw(20, 30).astype("float64"), "float16"),
        (np.array([2**20 + 1]), "int64"),
        (np.array([[True, False]]), "bool"),
    ],
)
def test_half_precision_where_it_is_safe(value, dtype):
    value = np.asarray(value)
    found = encode(value)
    assert found.dtype == dtype
    assert found.shape == value.shape
    error = np.linalg.norm(found.astype("float64") - value)
    assert error <= 2**-11 * np.linalg.norm(value)


def test_an_expert_with_tiny_weights_keeps_its_bank_in_float32():
    bank = draw(4, 20, 30)
    bank[2] *= 1e-6
    assert encode(bank).dtype == "float32"
    flat = bank.reshape(-1, 30)
    # Beside the others of one matrix such weights do not count.
    assert encode(flat).dtype == "float16"


def test_a_variance_survives():
    variances = np.array([1e-9, 3e-5, 1.0, 2e5], "float32")
    np.testing.assert_array_equal(encode(variances), variances)


def test_bfloat16_becomes_numbers_that_numpy_knows():
    value = numpy_of(keras.Variable(draw(4, 5), dtype="bfloat16"))
    found = encode(value)
    assert found.dtype == "float16"
    np.testing.assert_array_equal(found, value.astype("float32"))


def test_weights_come_back():
    model, other = tiny_model(), tiny_model()
    for weight in other.weights:
        weight.assign(np.zeros(weight.shape))
    weights = name_weights(other)
    arrays = unpack(pack_weights(model, "test"), weights)
    assign_weights(weights, arrays, "test")
    for name, weight in name_weights(model).items():
        value, found = numpy_of(weight), numpy_of(weights[name])
        np.testing.assert_allclose(found, value, rtol=2**-11, atol=2**-25)
        if value.ndim < 2:
            np.testing.assert_array_equal(found, value)


def test_equal_weights_make_equal_files():
    model = tiny_model()
    assert pack_weights(model, "test") == pack_weights(model, "test")


def test_the_file_is_an_npz_file_of_half_precision():
    content = pack_weights(tiny_model(), "test")
    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        kernel = arrays["moe_0_0/moe_0_0_experts/kernel_0"]
    assert kernel.dtype == "float16"


def test_a_weight_that_is_not_finite_is_refused():
    model = tiny_model()
    kernel = name_weights(model)["logits/kernel"]
    kernel.assign(np.full((4, 3), np.nan))
    with pytest.raises(ValueError, match=r"finite weights.*logits/kernel"):
        pack_weights(model, "test")


def test_a_pickle_is_not_opened(tmp_path):
    mark = tmp_path / "was_run"

    class Evil:
        def __reduce__(self):
            return (mark.touch, ())

    content = io.BytesIO()
    np.savez(content, w=np.array([Evil()], dtype=object))
    pickle.loads(pickle.dumps(Evil()))
    assert mark.exists()  # it would work
    mark.unlink()
    with pytest.raises(ValueError, match=r"cannot be read.*pickle"):
        unpack(content.getvalue(), {"w": a_weight(1)})
    assert not mark.exists()


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({}, r"missing=\['w'\], unknown=\[\]"),
        ({"w": draw(2), "x": draw(2)}, r"missing=\[\], unknown=\['x'\]"),
        ({"w": np.array(["a", "b"])}, "must hold numbers.*'<U1'"),
        ({"w": draw(9999)}, "as large as its weight.*at_most=1040"),
    ],
)
def test_what_is_not_the_models_is_refused(arrays, message):
    with pytest.raises(ValueError, match=message):
        unpack(archive_of(arrays), {"w": a_weight(2)})


def test_a_bomb_is_not_unpacked():
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        with archive.open("w.npy", "w") as file:
            header = {
                "descr": "<f4",
                "fortran_order": False,
                "shape": (10**12,),
            }
            np.lib.format.write_array_header_1_0(file, header)
            file.write(bytes(100))
    with pytest.raises(ValueError, match="cannot be read"):
        unpack(content.getvalue(), {"w": a_weight(50)})


def test_what_is_no_archive_is_refused():
    with pytest.raises(ValueError, match=r"must be an npz file.*weights\.npz"):
        unpack(b"no archive", {})


def test_another_shape_is_refused_and_nothing_assigned():
    weights = {"v": a_weight(2), "w": a_weight(2, 3)}
    arrays = {"v": draw(2), "w": draw(3, 2)}
    with pytest.raises(ValueError, match=r"expected=\(2, 3\), found=\(3, 2\)"):
        assign_weights(weights, arrays, "test")
    np.testing.assert_array_equal(numpy_of(weights["v"]), [0, 0])
