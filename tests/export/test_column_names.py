"""Columns of any names: a model has them, and a SavedModel tells them apart."""

import keyword
import re

import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from hypothesis import example, given, settings
from hypothesis import strategies as st

from moe_keras.export import export_saved_model, served_names
from moe_keras.layers import TableColumns
from moe_keras.schema import infer_schema
from moe_keras.training.expert_view import with_expert_outputs
from moe_keras.zoo import build_risk_moe, dense_twin, load_preset, save_preset
from tests.tools import only_tensorflow
from tests.zoo.presets.tiny import METADATA

pytestmark = only_tensorflow

# Each of these, or two of these together, once ended in an error.
NAMES = [
    *("Age", "age", "AGE", "größe", "gr__e", "Größe", "self", "Self", "class"),
    *("from", "in", "None", "lambda", "net pay", "net_pay", "net-pay"),
    *("net.pay", "Net.Pay", "debt/income", "debt_income", "/", "//", "_"),
    *("temperature", "columns", "moe", "probabilities", "prior", "inputs"),
    *("outputs", "gates", "gating", "0", "arg_0", "a:0", "中文", "kwargs"),
    *("temperature_", "columns/", "x" * 300),
]


class FakeModel:
    """What `served_names` reads of a model."""

    def __init__(self, names):
        self.inputs = [keras.KerasTensor((None,), name=name) for name in names]


PARTS = st.sampled_from([*"aA_.-/ ä0", "in", "self", "None", "arg_", "IN"])


@given(
    st.lists(st.lists(PARTS, min_size=1).map("".join), unique=True, max_size=6)
)
@settings(max_examples=50)
@example(NAMES)
def test_served_names_are_different_to_tensorflow(names):
    served = served_names(FakeModel(names))
    assert list(served) == names
    found = list(served.values())
    # A parameter of Python, and a node whose case does not count.
    parameters = [re.sub("^(?=[^a-zA-Z])|[^a-zA-Z0-9]", "_", n) for n in found]
    assert len({*parameters}) == len({n.lower() for n in found}) == len(names)
    assert all(re.fullmatch("[A-Za-z0-9][A-Za-z0-9_.-]*", n) for n in found)
    assert not {*found} & {"self", *keyword.kwlist}


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["net pay", "net_pay", "_x"], ["net_pay", "net_pay_", "x_x"]),
        (["a.b", "a-c", "Größe", "1a"], ["a.b", "a-c", "Gr__e", "1a"]),
        (["Self", "From", "A.b", "a_b"], ["Self", "From", "A.b", "a_b"]),
        (["Age", "age", "class"], ["Age", "age_", "class_"]),
    ],
)
def test_served_names_that_are_known_stay(names, expected):
    assert list(served_names(FakeModel(names)).values()) == expected


@pytest.fixture(scope="module")
def built():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({n: rng.normal(size=40) for n in NAMES})
    schema = infer_schema(frame, None)
    model = build_risk_moe(
        schema, frame, experts={"linear": 1, "low_rank": 1}, scorecard_bins=2
    )
    for weight in model.trainable_weights:
        weight.assign(weight + 0.2 * rng.normal(size=weight.shape))
    return model, schema.check(frame)


def test_a_model_has_columns_of_all_names(built, tmp_path):
    model, table = built
    said = model(table)
    assert np.ptp(said) > 0.1
    # By the value of each column, whatever order others have them in.
    turned = dict(reversed(table.items()))
    np.testing.assert_array_equal(model(turned), said)
    assert {one.name for one in model.inputs} == {*NAMES}
    model.save(tmp_path / "m.keras")
    again = keras.saving.load_model(tmp_path / "m.keras")
    np.testing.assert_allclose(again(table), said, atol=1e-6)
    rows = keras.Model(model.input, model.get_layer("columns").output)
    found = np.array(rows(table))
    for place, name in enumerate(model.get_layer("columns").row_names):
        np.testing.assert_array_equal(found[:, place], np.float32(table[name]))


def test_so_do_its_preset_and_its_twin(built, tmp_path):
    model, table = built
    info = {**METADATA, "task": "risk", "classes": ["good", "bad"]}
    save_preset(model, tmp_path / "p", info)
    again = load_preset(tmp_path / "p").model
    said = np.array(model(table))
    np.testing.assert_allclose(again(table), said, atol=2e-3)
    assert dense_twin(model, bank="low_rank")(table).shape == said.shape
    views = with_expert_outputs(model)(table)
    np.testing.assert_allclose(views["probabilities"], said, atol=1e-6)


def test_a_saved_model_tells_them_apart(tmp_path):
    layer = TableColumns([{"name": name} for name in NAMES], name="columns")
    inputs = layer.make_inputs()
    rows = layer(inputs)
    model = keras.Model(
        inputs, keras.ops.where(keras.ops.isnan(rows), -5.0, rows)
    )
    loaded = tf.saved_model.load(export_saved_model(model, tmp_path / "saved"))
    serve = loaded.signatures["serving_default"]
    names = served_names(model)
    assert len(serve.structured_input_signature[1]) == len(NAMES)
    values = {name: place + 0.5 for place, name in enumerate(NAMES)}
    fed = {names[name]: tf.constant([v]) for name, v in values.items()}
    found = serve(**fed)["outputs"].numpy()[0]
    np.testing.assert_array_equal(found, [values[n] for n in layer.row_names])


def test_targets_of_any_names(tmp_path):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({n: rng.normal(size=20) for n in ("x", "logits_a")})
    targets = ["Default", "default", "a", "a.b", "a_b", "class", "gates"]
    model = build_risk_moe(
        infer_schema(frame, None),
        frame,
        experts={"low_rank": 1},
        targets=targets,
        sharing={"tower_units": None},
    )
    table = {name: frame[name].to_numpy("float32") for name in frame}
    said = model(table)
    loaded = tf.saved_model.load(export_saved_model(model, tmp_path / "saved"))
    found = loaded.signatures["explain"](
        **{name: tf.constant(values) for name, values in table.items()}
    )
    for target in targets:
        np.testing.assert_allclose(found[target], said[target], atol=1e-5)
