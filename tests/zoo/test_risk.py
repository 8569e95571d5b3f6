"""The risk builder: raw columns in, and the schema's word kept."""

import keras
import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    RandomForestClassifier,
)

from moe_keras.export import export_saved_model
from moe_keras.insight import expert_names, risk_scores
from moe_keras.layers import GatingLayer, TableColumns, record_gates
from moe_keras.ops.cost import count_multiply_adds
from moe_keras.schema import RiskSchema, infer_schema
from moe_keras.zoo import build_risk_moe
from tests.loans import TARGET, read
from tests.tools import numpy_of, only_tensorflow, randomize

pytestmark = only_tensorflow

RNG = np.random.default_rng(0)
COUNT = 400
LOANS = pd.DataFrame(
    {
        "limit": RNG.uniform(100, 2000, COUNT).round(),
        "bill": np.where(RNG.random(COUNT) < 0.1, -9, RNG.uniform(0, 2000)),
        "late": RNG.integers(0, 5, COUNT).astype(float),
        "home": RNG.choice(["own", "rent", "family"], COUNT),
    }
)
LOANS.loc[::17, "late"] = np.nan
SCORE = LOANS["late"].fillna(1) - 2 * (LOANS["home"] == "own")
LOANS["risk"] = np.where(SCORE + RNG.normal(size=COUNT) > 1, "bad", "good")
SCHEMA = RiskSchema.model_validate(
    {
        "target": TARGET,
        "numeric": [
            {"name": "limit", "minimum": 0},
            {"name": "bill", "special": [-9]},
            {"name": "late", "monotone": 1},
        ],
        "categorical": [{"name": "home", "levels": ["family", "own", "rent"]}],
        "derived": [
            {"name": "used", "expression": "bill / limit"},
            {"name": "late_per_limit", "expression": "late / limit"},
        ],
    }
)
PLAIN = SCHEMA.model_copy(
    update={
        "numeric": [
            one.model_copy(update={"monotone": 0}) for one in SCHEMA.numeric
        ]
    }
)
TABLE, LABELS, ROWS = read(SCHEMA, LOANS)
READER = TableColumns(**SCHEMA.table_columns())
PLACES = {name: place for place, name in enumerate(READER.row_names)}
ALL = {"linear": 1, "dense": 2, "cross": 1, "low_rank": 3}


def fitted(monotone=True, without=("late_per_limit",), **options):
    """Trees that ask nothing of the columns in `without`."""
    rows = ROWS.copy()
    rows[:, [PLACES[name] for name in without]] = 0
    signs = np.zeros(len(PLACES))
    signs[PLACES["late"]] = monotone
    model = HistGradientBoostingClassifier(
        max_iter=8, monotonic_cst=signs, random_state=0, **options
    )
    return model.fit(rows, LABELS)


def build(schema=SCHEMA, **options):
    keras.utils.set_random_seed(0)
    return build_risk_moe(schema, LOANS, **{"experts": ALL, **options})


def test_it_learns_and_survives_a_file_and_a_saved_model(tmp_path):
    model = build(forests=[fitted()])
    model.compile(
        keras.optimizers.Adam(5e-3), "sparse_categorical_crossentropy"
    )
    model.fit(TABLE, LABELS, batch_size=32, epochs=3, verbose=0)
    found = model.predict(TABLE, verbose=0)
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-5)
    # The rule that made them, with its noise, can be told to that degree.
    assert risk_scores(LABELS, found)["auc"] > 0.85
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(
        loaded.predict(TABLE, verbose=0), found, atol=1e-6
    )
    import tensorflow as tf

    artefact = tf.saved_model.load(
        str(export_saved_model(model, tmp_path / "served"))
    )
    serve = artefact.signatures["serving_default"]
    given = {
        "limit": tf.constant(TABLE["limit"], tf.float32),
        "bill": tf.constant(TABLE["bill"], tf.float32),
        "late": tf.constant(TABLE["late"], tf.float32),
        "home": tf.constant(TABLE["home"]),
    }
    np.testing.assert_allclose(serve(**given)["outputs"], found, atol=1e-5)


def test_experts_and_their_cost():
    model = build(forests=[fitted()])
    names = ["linear", "dense 0", "dense 1", "cross"]
    names += [f"low_rank {e}" for e in range(3)] + ["forest_0"]
    assert expert_names(model) == {"gating": names}
    cost = count_multiply_adds(model)
    assert cost.active == cost.total > 0
    sparse = build(forests=[fitted()], top_k=2)
    cost = count_multiply_adds(sparse)
    assert cost.active < cost.total
    with record_gates() as record:
        sparse({name: values[:50] for name, values in TABLE.items()})
    assert np.all((numpy_of(record["gating"]) != 0).sum(axis=-1) == 2)


def by_late(model, rows=40):
    """P(bad) of some rows `(rows, grid)`, their lateness varied."""
    grid = np.linspace(-1, 9, 41)
    table = {
        name: np.repeat(values[:rows], len(grid))
        for name, values in TABLE.items()
    }
    table["late"] = np.tile(grid, rows)
    found = model.predict(table, batch_size=4096, verbose=0)[:, 1]
    return found.reshape(rows, -1)


@pytest.mark.parametrize("fusion", ["logarithmic", "linear"])
def test_monotone_columns_are_monotone_in_the_result(fusion):
    model = build(forests=[fitted()], fusion=fusion)
    moe = model.get_layer("moe")
    for layer in (*moe.experts[:2], moe.gate):
        randomize(layer)
    moe.experts[0].experts[0].kernel.assign_add(
        np.ones(moe.experts[0].experts[0].kernel.shape)
    )
    model.get_layer("temperature").scale.assign(0.7)
    found = by_late(model)
    assert np.diff(found, axis=1).min() > -1e-6
    # Monotone, not constant.
    assert np.ptp(found, axis=1).max() > 0.05
    loose = build(PLAIN, forests=[fitted(monotone=False)], fusion=fusion)
    for layer in loose.get_layer("moe").experts[:2]:
        randomize(layer)
    assert np.diff(by_late(loose), axis=1).min() < -1e-3


def test_gate_and_networks_see_no_monotone_column_nor_what_is_made_of_it():
    model = build(forests=[fitted()])
    moe = model.get_layer("moe")
    hidden = {PLACES["late"], PLACES["late_per_limit"]}
    scorecards, networks = moe.experts[:2]
    assert not hidden & set(networks.encoding.columns)
    assert not hidden & set(moe.gate.features.columns)
    read = set(scorecards.encoding.columns)
    assert PLACES["late"] in read
    assert PLACES["late_per_limit"] not in read
    # Special values are no numbers: -9 has a column of its own.
    assert np.isnan(ROWS[TABLE["bill"] == -9, PLACES["bill"]]).all()
    assert (ROWS[:, PLACES["bill=-9"]] == (TABLE["bill"] == -9)).all()


@pytest.mark.parametrize(
    ("forest", "column"),
    [
        (lambda: fitted(monotone=False), "late"),
        (lambda: fitted(without=(), max_depth=None), "late_per_limit"),
    ],
)
def test_trees_that_break_the_schemas_word_are_refused(forest, column):
    with pytest.raises(ValueError, match=rf"monotone in.*column='{column}'"):
        build(forests=[forest()])


def test_missing_and_unseen_values_have_a_result():
    model = build(forests=[fitted()])
    odd = {
        "limit": np.array([np.nan, 0.0, np.inf]),
        "bill": np.array([np.nan, -9, -np.inf]),
        "late": np.array([np.nan, 1e30, -1e30]),
        "home": np.array(["", "castle", "own"], dtype=object),
    }
    found = model.predict(odd, verbose=0)
    assert np.all(np.isfinite(found))
    none = {name: values[:0] for name, values in odd.items()}
    assert numpy_of(model(none)).shape == (0, 2)


def test_equal_weights_and_trees_alone():
    model = build(experts={}, forests=[fitted(), fitted()], gate="uniform")
    fit = fitted()
    np.testing.assert_allclose(
        model.predict(TABLE, verbose=0), fit.predict_proba(ROWS), atol=1e-5
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"experts": {"forest": 1}}, r"kinds among.*kind='forest'"),
        ({"experts": {}}, r"must map kinds.*experts=\{\}"),
        ({"experts": {"dense": 0}}, "how many of a kind.*dense=0"),
        ({"experts": {"linear": [{"signs": [1]}]}}, "cannot say"),
        ({"num_classes": 1}, "integer above 1.*num_classes=1"),
        ({"num_classes": 3}, "monotone columns are for two classes"),
        ({"gate": "best"}, "a layer over rows.*gate='best'"),
        ({"gate": GatingLayer(7), "top_k": 2}, "`top_k` must be None"),
    ],
)
def test_what_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        build(**options)


def test_forests_of_other_classes_are_refused():
    forest = RandomForestClassifier(3).fit(
        np.nan_to_num(ROWS), np.arange(COUNT) % 3
    )
    with pytest.raises(ValueError, match=r"fitted to 2 classes.*classes=3"):
        build(PLAIN, forests=[forest])


def test_a_schema_is_needed_and_the_table_must_fit_it():
    with pytest.raises(ValueError, match=r"must be a RiskSchema.*'dict'"):
        build_risk_moe({}, LOANS)
    with pytest.raises(ValueError, match="late"):
        build_risk_moe(SCHEMA, LOANS.drop(columns="late"))


def test_more_classes_than_two():
    model = build(
        PLAIN,
        num_classes=3,
        forests=[
            RandomForestClassifier(3, max_depth=2, random_state=0).fit(
                ROWS, np.arange(COUNT) % 3
            )
        ],
    )
    found = model.predict(TABLE, verbose=0)
    assert found.shape == (COUNT, 3)
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-5)


def test_an_inferred_schema_will_do():
    schema = infer_schema(LOANS, "risk", "bad")
    model = build_risk_moe(schema, LOANS, experts={"linear": 2})
    assert model.output_shape == (None, 2)


@pytest.mark.parametrize("gate", ["uniform", None])
def test_rows_that_lack_something_can_be_learned_from(gate):
    table = {**TABLE, "bill": np.where(TABLE["bill"] < 900, np.nan, 1.0)}
    model = build(experts={"linear": 1, "dense": 1}, gate=gate)
    model.compile("adam", "sparse_categorical_crossentropy")
    history = model.fit(table, LABELS, epochs=1, verbose=0)
    assert np.isfinite(history.history["loss"]).all()


def test_every_bank_begins_with_the_same_weight():
    model = build(
        experts={"linear": 1, "low_rank": [{"num_experts": 4}], "dense": 2}
    )
    moe = model.get_layer("moe")
    moe.gate.gate.kernel.assign(np.zeros(moe.gate.gate.kernel.shape))
    gates = numpy_of(moe.gate(ROWS[:3]))
    # Of the linear one, of four together, and of two together.
    expected = np.repeat([1 / 3, 1 / 12, 1 / 6], [1, 4, 2])
    np.testing.assert_allclose(gates, np.tile(expected, (3, 1)), atol=1e-6)
