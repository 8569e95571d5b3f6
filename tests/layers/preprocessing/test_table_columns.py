"""Rows of raw columns: against NumPy, and wherever models go."""

import json
import subprocess
import sys

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from moe_keras.export import export_saved_model
from moe_keras.layers import TableColumns
from moe_keras.ops.cost import count_multiply_adds
from tests.layers.preprocessing.tables import (
    ARGUMENTS,
    NAMES,
    NUMBERS_ONLY,
    expected_rows,
    table,
)
from tests.signature import check_signature
from tests.tools import BACKEND, numpy_of, only_tensorflow


def as_fed(values):
    """Texts as objects, as `predict` wants them."""
    return values.astype(object) if values.dtype.kind == "U" else values


def test_signature_and_config():
    layer = TableColumns(**ARGUMENTS)
    check_signature(TableColumns, layer)
    config = layer.get_config()
    assert json.loads(json.dumps(config)) == config
    twin = TableColumns.from_config(config)
    assert twin.get_config() == config
    columns = table(20)
    layer(columns)
    assert layer.get_config() == config
    np.testing.assert_array_equal(numpy_of(layer(columns)), twin(columns))


def test_names_and_levels():
    layer = TableColumns(**ARGUMENTS)
    assert layer.row_names == NAMES
    assert layer.levels == [None] * 6 + [3, 2, 2, 2]
    assert layer.raw_names == ["x", "n", "grade", "home", "sex"]
    assert layer.compute_output_shape({k: (7,) for k in layer.raw_names}) == (
        7,
        10,
    )


@pytest.mark.parametrize("rows", [0, 1, 40])
@pytest.mark.parametrize("flat", [True, False])
def test_rows_are_those_of_numpy(rows, flat):
    columns = table(rows)
    expected = expected_rows(columns)
    if not flat:
        columns = {name: v[:, None] for name, v in columns.items()}
    found = numpy_of(TableColumns(**ARGUMENTS)(columns))
    assert found.dtype == np.float32
    assert found.shape == (rows, 10)
    np.testing.assert_allclose(found, expected, rtol=1e-6)


@given(
    st.lists(
        st.one_of(
            st.sampled_from([-9.0, -8.0, np.nan, np.inf, -np.inf, 1e300, 0.0]),
            st.floats(-200, 200, width=32, allow_subnormal=False),
        ),
        max_size=8,
    )
)
def test_any_numbers(values):
    columns = table(len(values))
    columns["x"] = np.asarray(values, "float64")
    found = numpy_of(TableColumns(**ARGUMENTS)(columns))
    np.testing.assert_allclose(found, expected_rows(columns), rtol=1e-6)
    assert not np.isinf(found).any()
    # A special value is nowhere on the scale of numbers.
    assert not np.isin(found[:, 0], [-9, -8]).any()
    assert not np.isnan(found[:, 8:]).any()


@pytest.mark.parametrize(
    ("change", "column", "expected"),
    [
        ({}, 0, [5, -9, 200]),
        ({"special": [-9]}, 1, [0, 1, 0]),
        ({"special": [-9]}, 0, [5, np.nan, 200]),
        ({"minimum": 6}, 0, [np.nan, np.nan, 200]),
        ({"maximum": 100}, 0, [5, -9, np.nan]),
        ({"minimum": 6, "outside": "clip"}, 0, [6, 6, 200]),
        ({"maximum": 100, "outside": "clip"}, 0, [5, -9, 100]),
        ({"maximum": 100, "outside": "clip", "special": [200]}, 1, [0, 0, 1]),
    ],
)
def test_every_key_of_a_number(change, column, expected):
    layer = TableColumns([{"name": "x", **change}])
    values = np.asarray([5, -9, 200], "float32")
    found = numpy_of(layer({"x": values}))[:, column]
    np.testing.assert_array_equal(found, expected)


def test_integers_bools_and_lists():
    layer = TableColumns(
        [{"name": "x"}], categories=[{"name": "c", "levels": [0, 1]}]
    )
    for x, c in (
        (np.array([2, 3]), np.array([True, False])),
        ([2, 3], [1, 0]),
        (np.array([2, 3], "int8"), np.array([1.0, 0.0])),
    ):
        np.testing.assert_array_equal(
            numpy_of(layer({"x": x, "c": c})), [[2, 1], [3, 0]]
        )


def test_extra_columns_are_not_read():
    layer = TableColumns([{"name": "x"}])
    extra = {"x": np.ones(2), "id": np.array(["p", "q"]), "y": np.ones((2, 3))}
    np.testing.assert_array_equal(numpy_of(layer(extra)), np.ones((2, 1)))


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "float32", "bfloat16"])
def test_rows_are_float32_whatever_the_policy(policy):
    keras.config.set_dtype_policy(policy)
    layer = TableColumns([{"name": "x"}])
    # 257 is 256 in bfloat16.
    found = layer({"x": keras.ops.convert_to_tensor([257.0], "float32")})
    assert keras.backend.standardize_dtype(found.dtype) == "float32"
    assert numpy_of(found)[0, 0] == 257
    inputs = layer.make_inputs()
    assert layer(inputs).dtype == "float32"


@pytest.mark.parametrize(
    "arguments",
    [
        NUMBERS_ONLY,
        pytest.param(ARGUMENTS, marks=only_tensorflow),
    ],
    ids=["numbers", "texts"],
)
def test_in_a_model(arguments, tmp_path):
    layer = TableColumns(**arguments)
    inputs = layer.make_inputs()
    rows = layer(inputs)
    model = keras.Model(inputs, rows)
    assert model.output_shape == (None, len(layer.row_names))
    columns = {n: as_fed(table(30)[n]) for n in layer.raw_names}
    expected = numpy_of(layer(columns))
    # `torch.compile` needs a C++ compiler.
    model.compile(jit_compile=BACKEND != "torch" and layer.supports_jit)
    found = model.predict(columns, batch_size=8, verbose=0)
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    path = tmp_path / "model.keras"
    model.save(path)
    loaded = keras.saving.load_model(path)
    again = loaded.predict(columns, batch_size=30, verbose=0)
    np.testing.assert_allclose(again, expected, rtol=1e-6)


def test_it_costs_nothing():
    layer = TableColumns(**NUMBERS_ONLY)
    inputs = layer.make_inputs()
    outputs = keras.layers.Dense(2)(layer(inputs))
    cost = count_multiply_adds(keras.Model(inputs, outputs))
    assert cost.total == 2 * len(layer.row_names)


def scored(layer):
    """A model of the row, without NaN, as exporting compares numbers."""
    inputs = layer.make_inputs()
    rows = layer(inputs)
    filled = keras.ops.where(keras.ops.isnan(rows), -5.0, rows)
    return keras.Model(inputs, filled)


def as_served(columns):
    return {
        name: values.astype("U" if values.dtype.kind in "OU" else "float32")
        for name, values in columns.items()
    }


@only_tensorflow
@pytest.mark.parametrize("rows", [0, 1, 9])
def test_served(rows, tmp_path):
    import tensorflow as tf

    layer = TableColumns(**ARGUMENTS)
    path = export_saved_model(scored(layer), tmp_path / "saved")
    loaded = tf.saved_model.load(str(path))
    columns = {n: tf.constant(v) for n, v in as_served(table(rows)).items()}
    found = loaded.signatures["serving_default"](**columns)["outputs"]
    expected = np.nan_to_num(expected_rows(table(rows)), nan=-5)
    np.testing.assert_allclose(found, expected, rtol=1e-6)


@only_tensorflow
@pytest.mark.slow
def test_served_without_this_package(tmp_path):
    layer = TableColumns(**ARGUMENTS)
    path = export_saved_model(scored(layer), tmp_path / "saved")
    np.savez(tmp_path / "columns.npz", **as_served(table(5)))
    program = (
        "import sys\n"
        "import numpy as np, tensorflow as tf\n"
        f"columns = np.load({str(tmp_path / 'columns.npz')!r})\n"
        f"model = tf.saved_model.load({str(path)!r})\n"
        "serve = model.signatures['serving_default']\n"
        "rows = serve(**{k: tf.constant(v) for k, v in columns.items()})\n"
        f"np.save({str(tmp_path / 'rows.npy')!r}, rows['outputs'])\n"
        "assert 'moe_keras' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
    expected = np.nan_to_num(expected_rows(table(5)), nan=-5)
    found = np.load(tmp_path / "rows.npy")
    np.testing.assert_allclose(found, expected, rtol=1e-6)


@only_tensorflow
def test_served_names(tmp_path):
    import tensorflow as tf

    names = ["net pay", "net_pay", "a=b", "LIMIT", "_x", "Größe"]
    layer = TableColumns([{"name": name} for name in names])
    path = export_saved_model(scored(layer), tmp_path / "saved")
    loaded = tf.saved_model.load(str(path))
    serve = loaded.signatures["serving_default"]
    found = set(serve.structured_input_signature[1])
    assert found == {"net_pay", "net_pay_", "a_b", "LIMIT", "x_x", "Gr__e"}
