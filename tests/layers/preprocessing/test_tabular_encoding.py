"""TabularEncoding, against a loop over rows and columns."""

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from moe_keras.layers import TabularEncoding
from moe_keras.ops import tabular
from moe_keras.zoo.presets.weight_file import pack_weights, unpack_weights
from moe_keras.zoo.presets.weight_names import name_weights
from tests.tools import BACKEND, assert_close, numpy_of

# age, job of 3 levels, amount, a constant, one that is always missing.
LEVELS = [None, 3, None, None, None]
NAMES = ["age", "job", "amount", "constant", "never"]
NAN = np.nan


def table(rows=200, seed=0):
    rng = np.random.default_rng(seed)
    found = np.stack(
        [
            rng.integers(18, 70, rows),
            rng.integers(0, 3, rows),
            np.exp(3 * rng.normal(size=rows)),
            np.full(rows, 7.0),
            np.full(rows, NAN),
        ],
        axis=1,
    ).astype("float32")
    found[rng.uniform(size=found.shape) < 0.1] = NAN
    return found


def adapted(levels=LEVELS, rows=None, **kwargs):
    layer = TabularEncoding(levels, **{"bins": 5, **kwargs})
    layer.adapt(table() if rows is None else rows)
    return layer


def expected_of(layer, rows):
    """The definition, one feature after the other, by its place."""
    outputs = np.full((len(rows), layer.layout.num_features), NAN)
    for n, row in enumerate(rows):
        for column in layer.layout.encoded():
            x, values = row[column.place], outputs[n]
            values[column.start : column.stop] = 0
            if column.levels is not None:
                known = x in range(column.levels)
                if known:
                    values[column.start + int(x)] = 1
                values[column.missing] = not known
                continue
            values[column.missing] = np.isnan(x)
            if np.isnan(x):
                continue
            edges = layer.edges_of(column.place).astype("float64")
            if layer.numbers == "steps":
                for t, edge in enumerate(edges):
                    values[column.start + t] = x >= edge
                continue
            for t in range(len(edges) - 1):
                share = (x - edges[t]) / (edges[t + 1] - edges[t])
                values[column.start + t] = min(max(share, 0), 1)
    return outputs


HOSTILE = np.asarray(
    [
        [NAN] * 5,
        [np.inf] * 5,
        [-np.inf] * 5,
        [3e38, 2, -3e38, 7, 0],
        [30, 3, 1e-38, 7.0001, 1],
        [18, -1, 0, 6.9, NAN],
        [69, 0.5, 1, 7, NAN],
        [-0.0, -0.0, -0.0, -0.0, -0.0],
    ],
    "float32",
)


@pytest.mark.parametrize("numbers", ["pieces", "steps"])
@pytest.mark.parametrize("columns", [None, [2, 1], [1], [0]])
def test_features_are_those_of_the_loops(numbers, columns):
    layer = adapted(numbers=numbers, columns=columns)
    rows = np.concatenate([table(50, seed=1), HOSTILE])
    outputs = numpy_of(layer(rows))
    assert np.all((outputs >= 0) & (outputs <= 1))
    assert_close(outputs, expected_of(layer, rows))
    if columns is None:
        # Of each kind there is something to see.
        assert np.all(np.any(outputs[:50, :4] > 0, axis=0))


@pytest.mark.parametrize("numbers", ["pieces", "steps"])
def test_other_columns_are_not_read(numbers):
    layer = adapted(numbers=numbers, columns=[2, 1])
    rows = table(20, seed=1)
    before = numpy_of(layer(rows))
    rows[:, [0, 3, 4]] = 55
    np.testing.assert_array_equal(numpy_of(layer(rows)), before)


def test_edges_are_quantiles_without_ties():
    values = np.concatenate([np.zeros(50), np.arange(1, 51)])
    rows = np.stack([values, np.tile([1.0, 2.0], 50)], 1).astype("float32")
    pieces = adapted([None, None], rows, bins=4)
    # The quantiles are 0, 0, 0, 25 and 50.
    np.testing.assert_array_equal(pieces.edges_of(0), [0, 25, 50])
    np.testing.assert_array_equal(pieces.edges_of(1), [1, 2])
    steps = adapted([None, None], rows, bins=4, numbers="steps")
    np.testing.assert_array_equal(steps.edges_of(0), [25])
    np.testing.assert_array_equal(steps.edges_of(1), [2])
    few = adapted([None], np.asarray([[1], [5], [2], [5]], "float32"), bins=4)
    np.testing.assert_array_equal(few.edges_of(0), [1, 2, 5])
    few = adapted([None], np.asarray([[1], [5], [2]]), bins=3, numbers="steps")
    np.testing.assert_array_equal(few.edges_of(0), [2, 5])


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize(
    # Two bins tell a value in the middle from one side alone.
    ("bins", "below"),
    [(2, 0), (3, 0), (3, 2), (16, 0), (16, 2)],
)
def test_steps_tell_a_value_that_most_rows_have_from_others(bins, sign, below):
    few = np.arange(1.0, 21)
    column = sign * np.concatenate([np.zeros(970), few, -few[:below]])
    layer = adapted([None], column[:, None], bins=bins, numbers="steps")
    edges = layer.edges_of(0)
    assert 0 < len(edges) < bins
    ours = numpy_of(layer(np.asarray([[0.0], [sign * 20.0]])))
    assert np.any(ours[0] != ours[1])


@pytest.mark.parametrize("numbers", ["pieces", "steps"])
@given(data=st.data())
def test_any_values_give_features_that_never_fall(numbers, data):
    floats = st.floats(width=32, allow_nan=True, allow_infinity=True)
    column = data.draw(arrays("float32", st.integers(1, 30), elements=floats))
    layer = adapted([None], column[:, None], bins=3, numbers=numbers)
    values = data.draw(arrays("float32", 9, elements=floats))
    values = np.sort(np.concatenate([values, column]))
    outputs = numpy_of(layer(values[:, None]))
    assert np.all((outputs >= 0) & (outputs <= 1))
    known = ~np.isnan(values)
    np.testing.assert_array_equal(outputs[:, -1], ~known)
    assert np.all(outputs[~known, :-1] == 0)
    assert np.all(np.diff(outputs[known, :-1], axis=0) >= 0)


def test_batches_are_the_table_and_large_tables_are_thinned(monkeypatch):
    rows = table(1000)
    whole, parts = adapted(rows=rows), adapted(rows=np.array_split(rows, 7))
    for place in (0, 2, 3, 4):
        np.testing.assert_array_equal(
            whole.edges_of(place), parts.edges_of(place)
        )
    thin = tabular.sample_rows(np.array_split(rows, 7), 5, "float32", "t", 300)
    np.testing.assert_array_equal(thin, rows[::4])
    again = tabular.sample_rows(rows, 5, "float32", "t", 300)
    np.testing.assert_array_equal(again, rows[::4])


def test_before_adapt_numbers_only_say_whether_they_are_missing():
    layer = TabularEncoding(LEVELS, 5)
    outputs = numpy_of(layer(HOSTILE))
    assert not outputs[:, :20].any()
    assert_close(outputs[:, 20:], expected_of(adapted(), HOSTILE)[:, 20:])
    with pytest.raises(ValueError, match="the edges must be known: call `ada"):
        layer.feature_names(NAMES)


@pytest.mark.parametrize("shape", [(0, 5), (2, 3, 5), (1, 5)])
def test_no_row_and_many_axes(shape):
    layer = adapted()
    rows = np.resize(table(6), shape).astype("float32")
    outputs = numpy_of(layer(rows))
    assert outputs.shape == layer.compute_output_shape(shape)
    flat = expected_of(layer, rows.reshape(-1, 5))
    assert_close(outputs, flat.reshape(outputs.shape))


def test_places_and_amounts_are_not_rounded_under_half_policies():
    keras.config.set_dtype_policy("mixed_bfloat16")
    layer = TabularEncoding([500, None], 3, "steps")
    rows = np.asarray([[257, 100_000], [258, 100_001], [2, 5]], "float32")
    layer.adapt(rows)
    outputs = layer(rows)
    assert keras.backend.standardize_dtype(outputs.dtype) == "bfloat16"
    outputs = numpy_of(keras.ops.cast(outputs, "float32"))
    np.testing.assert_array_equal(np.argmax(outputs[:, 2:502], 1), rows[:, 0])
    np.testing.assert_array_equal(outputs[:, :2], [[1, 0], [1, 1], [0, 0]])


def test_a_saved_model_has_the_edges(tmp_path):
    symbols = keras.Input((5,))
    layer = TabularEncoding(LEVELS, 5)
    model = keras.Model(symbols, layer(symbols))
    # A model that exists already reads with the new edges too.
    layer.adapt(table())
    expected = expected_of(layer, HOSTILE)
    assert_close(model.predict(HOSTILE, verbose=0), expected)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert_close(loaded(HOSTILE), expected)
    assert model.trainable_weights == []
    if BACKEND == "tensorflow":
        import tensorflow as tf

        model.export(tmp_path / "served", verbose=False)
        served = tf.saved_model.load(str(tmp_path / "served"))
        assert_close(served.serve(HOSTILE), expected)
        assert served.serve(HOSTILE[:0]).shape == (0, expected.shape[1])


def test_a_preset_keeps_the_edges_as_they_are():
    rows = np.asarray([[50_001], [60_003], [70_001], [1e6]], "float32")
    model = keras.Sequential(
        [keras.Input((1,)), TabularEncoding([None], 4, name="tabular_encoding")]
    )
    model.layers[0].adapt(rows)
    weights = name_weights(model)
    arrays = unpack_weights(pack_weights(model, "t"), weights, "file", "t")
    for name, weight in weights.items():
        np.testing.assert_array_equal(arrays[name], numpy_of(weight))
    assert set(rows[:, 0]) <= set(arrays["tabular_encoding/edges"])


def test_names_are_those_of_the_features():
    rows = np.asarray([[20, 0], [30, 1], [40, 1], [NAN, 0]], "float32")
    layer = adapted([None, 2], rows, bins=4)
    assert layer.feature_names(["age", "job"], {"job": ["nurse", "cook"]}) == [
        "age 20 to 30",
        "age 30 to 40",
        "age (unused 3)",
        "age (unused 4)",
        "job = nurse",
        "job = cook",
        "age missing",
        "job missing",
    ]
    steps = adapted([None, 2], rows, bins=3, numbers="steps", columns=[1, 0])
    assert steps.feature_names(["age", "job"]) == [
        "age >= 30",
        "age >= 40",
        "job = 0",
        "job = 1",
        "age missing",
        "job missing",
    ]
    assert [column.place for column in steps.layout.encoded()] == [1, 0]


def test_signs_are_those_of_the_columns():
    layer = TabularEncoding([None, 2, None], 3, "steps", [2, 1, 0])
    signs = layer.signs([1, 0, -1])
    np.testing.assert_array_equal(signs, [-1, -1, 1, 1, 0, 0, 0, 0, 0])
    assert not layer.signs([0, 0, 0]).any()


@pytest.mark.parametrize("value", [0.1, 30, 123456, 1e-7, 1e20, -2.5])
def test_numbers_in_names_are_exact(value):
    from moe_keras.layers.preprocessing.row_layout import format_number

    text = format_number(np.float32(value))
    assert np.float32(text) == np.float32(value)
    assert len(text) <= len(repr(value)) + 2


def test_a_linear_model_of_pieces_learns_a_bend():
    x = np.linspace(-3, 3, 400, dtype="float32")[:, None]
    y = np.abs(x)
    layer = TabularEncoding([None], 8)
    layer.adapt(x)
    features = np.concatenate([numpy_of(layer(x)), np.ones((400, 1))], axis=1)
    fitted = features @ np.linalg.lstsq(features, y, rcond=None)[0]
    assert np.sqrt(np.mean((fitted - y) ** 2)) < 0.05
    straight = np.polyval(np.polyfit(x[:, 0], y[:, 0], 1), x)
    assert np.sqrt(np.mean((straight - y) ** 2)) > 0.5
