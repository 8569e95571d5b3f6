"""Risk models with several targets, and corrected class shares."""

import keras
import numpy as np
import pytest

from moe_keras.export import export_saved_model
from moe_keras.insight import risk_scores
from moe_keras.layers import MultiGateMixture, record_gates
from moe_keras.ops.cost import count_multiply_adds
from moe_keras.schema import Target
from moe_keras.training import (
    RiskPlan,
    fit_prior,
    fit_risk_moe,
    fit_temperature,
)
from moe_keras.zoo import build_risk_moe
from tests.layers.test_prior_correction import corrected
from tests.tools import numpy_of, only_tensorflow, randomize
from tests.zoo.test_risk import COUNT, LABELS, LOANS, PLAIN, SCHEMA, TABLE

pytestmark = only_tensorflow

RNG = np.random.default_rng(1)
# Who owns a home pays early, and the more so without a record of lateness.
EARLY_SCORE = 2 * (LOANS["home"] == "own") - LOANS["late"].fillna(1)
EARLY = (EARLY_SCORE + RNG.normal(size=COUNT) > 0).to_numpy().astype("int64")
Y = {"late": LABELS, "early": EARLY}
EXPERTS = {"linear": 1, "dense": 2}
PLE = {"kind": "ple", "units": 8, "tower_units": None, "levels": 2}


def build(sharing="mmoe", **options):
    keras.utils.set_random_seed(0)
    options = {"targets": ["late", "early"], **options}
    return build_risk_moe(
        PLAIN, LOANS, EXPERTS, sharing=sharing, bins=8, **options
    )


def train(model, labels, epochs=4, **options):
    model.compile(
        keras.optimizers.Adam(5e-3),
        {
            name: keras.losses.SparseCategoricalCrossentropy(ignore_class=-1)
            for name in labels
        },
    )
    return model.fit(
        TABLE, labels, batch_size=32, epochs=epochs, verbose=0, **options
    )


@pytest.mark.parametrize("sharing", ["mmoe", PLE], ids=["mmoe", "ple"])
def test_it_learns_and_survives_a_file_and_a_saved_model(sharing, tmp_path):
    priors = {
        "train_prior": {"late": [0.6, 0.4]},
        "prior": {"late": [0.9, 0.1]},
    }
    model = build(sharing, **priors)
    assert model.get_layer("prior_late").prior == [0.9, 0.1]
    assert "prior_early" not in [layer.name for layer in model.layers]
    train(model, Y)
    found = model.predict(TABLE, verbose=0)
    assert set(found) == {"late", "early"}
    for name, chances in found.items():
        assert chances.shape == (COUNT, 2)
        np.testing.assert_allclose(chances.sum(axis=1), 1, atol=1e-5)
        assert risk_scores(Y[name], chances)["auc"] > 0.85
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    again = loaded.predict(TABLE, verbose=0)
    import tensorflow as tf

    artefact = tf.saved_model.load(
        str(export_saved_model(model, tmp_path / "served"))
    )
    given = {
        name: tf.constant(values)
        if values.dtype == object
        else tf.constant(values, tf.float32)
        for name, values in TABLE.items()
    }
    served = artefact.signatures["serving_default"](**given)
    for name, chances in found.items():
        np.testing.assert_allclose(again[name], chances, atol=1e-6)
        np.testing.assert_allclose(served[name], chances, atol=1e-5)
    gates = artefact.signatures["explain"](**given)
    assert numpy_of(gates["gates_gating_late"]).shape[0] == COUNT


def test_ple_has_experts_of_each_target_and_a_shared_gate_but_last():
    model = build({**PLE, "own": {"dense": 2, "linear": 1}})
    levels = [
        layer for layer in model.layers if isinstance(layer, MultiGateMixture)
    ]
    assert [level.name for level in levels] == ["moe", "moe_2"]
    for level in levels:
        assert set(level.task_experts) == {"late", "early"}
        assert {gate.num_experts for gate in level.gates.values()} == {6}
    assert levels[0].shared_gate.num_experts == 9
    assert levels[1].shared_gate is None
    cost = count_multiply_adds(model)
    assert cost.active == cost.total > 0
    sparse = build({**PLE, "levels": 1}, top_k=1)
    cost = count_multiply_adds(sparse)
    assert cost.active < cost.total
    with record_gates() as record:
        sparse({name: values[:50] for name, values in TABLE.items()})
    assert set(record) == {"gating_late", "gating_early"}
    for gates in record.values():
        assert np.all((numpy_of(gates) != 0).sum(axis=-1) == 1)


def test_a_missing_label_counts_nowhere():
    missing = {**Y, "early": np.where(np.arange(COUNT) % 4, -1, EARLY)}
    model = build()
    train(model, missing, epochs=1)
    loss = keras.losses.SparseCategoricalCrossentropy(ignore_class=-1)
    chances = model.predict(TABLE, verbose=0)["early"]
    known = missing["early"] >= 0
    expected = -np.log(chances[known, EARLY[known]]).mean()
    found = float(numpy_of(loss(missing["early"], chances)))
    assert found == pytest.approx(expected, rel=1e-5)
    # A batch without any label adds nothing, and no NaN.
    none = np.full(COUNT, -1)
    assert float(numpy_of(loss(none, chances))) == 0
    before = [numpy_of(w) for w in model.get_layer("logits_early").weights]
    train(model, {**Y, "early": none}, epochs=1)
    after = [numpy_of(w) for w in model.get_layer("logits_early").weights]
    for one, two in zip(before, after, strict=True):
        np.testing.assert_array_equal(one, two)
    # What it shares learned from the other target.
    assert np.all(np.isfinite(model.predict(TABLE, verbose=0)["late"]))


def test_weights_of_0_leave_rows_out_too():
    known = (np.arange(COUNT) % 4 == 0).astype("float32")
    weights = {"late": np.ones(COUNT), "early": known}
    results = []
    for early in (EARLY, np.where(known > 0, EARLY, 1 - EARLY)):
        model = build()
        train(model, {**Y, "early": early}, epochs=1, sample_weight=weights)
        results.append(model.predict(TABLE, verbose=0))
    for name in Y:
        np.testing.assert_array_equal(results[0][name], results[1][name])


def test_each_target_is_calibrated_by_itself():
    model = build()
    missing = np.where(np.arange(COUNT) % 2, -1, LABELS)
    found = fit_temperature(
        model, (TABLE, {"late": missing, "early": EARLY}), output="late"
    )
    scales = [
        float(numpy_of(model.get_layer(f"temperature_{name}").scale))
        for name in Y
    ]
    assert scales == [pytest.approx(found), 1.0]


def test_shares_are_corrected_in_the_model_and_can_be_found():
    trained, served = [0.5, 0.5], [0.95, 0.05]
    plain = build_risk_moe(PLAIN, LOANS, EXPERTS, bins=8)
    options = {"bins": 8, "train_prior": trained}
    found = [
        build_risk_moe(PLAIN, LOANS, EXPERTS, **options, **one)
        for one in ({}, {"prior": served})
    ]
    randomize(plain)
    for model in found:
        for name in ("columns", "moe"):
            given = plain.get_layer(name).get_weights()
            model.get_layer(name).set_weights(given)
    chances = plain.predict(TABLE, verbose=0)
    same, moved = (model.predict(TABLE, verbose=0) for model in found)
    np.testing.assert_allclose(same, chances, atol=1e-6)
    expected = corrected(np.log(chances), trained, served)
    np.testing.assert_allclose(moved, expected, atol=1e-5)
    shares = fit_prior(found[0], TABLE)
    again = found[0].predict(TABLE, verbose=0)
    np.testing.assert_allclose(again.mean(axis=0), shares, atol=2e-3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"targets": []}, "`targets` must be a list of names"),
        ({"targets": ["a", "a"]}, "`targets` must be a list"),
        ({"targets": {"a": 1}}, "classes above 1"),
        ({"targets": ["shared"]}, "'shared' is no name"),
        ({"sharing": "both"}, "`sharing` must be one of"),
        ({"sharing": {"kind": "mmoe", "levels": 2}}, "for `sharing` of kind"),
        ({"sharing": {"units": 0}}, "integers above 0"),
        ({"sharing": {"width": 3}}, r"with some of .*'units'"),
        ({"sharing": {"kind": "ple", "own": {"tree": 1}}}, "kinds among"),
        ({"fusion": "linear"}, "`fusion` is for a model of one target"),
        ({"num_classes": 3}, "`num_classes` is for a model of one"),
        ({"forests": [0]}, "`forests` is for a model of one target"),
        ({"prior": {"late": [0.5, 0.5]}}, "`prior` needs `train_prior`"),
        ({"train_prior": {"no": [0.5, 0.5]}}, "map some of the targets"),
        ({"train_prior": {"late": [0.5, 0.6]}}, "that sum to 1"),
        ({"targets": None, "sharing": "ple"}, "for several `targets`"),
    ],
)
def test_what_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        build(**options)


def test_a_fit_of_experts_and_gate_knows_the_shares_too():
    trained, served = [0.5, 0.5], [0.95, 0.05]

    def fit(**builder):
        plan = RiskPlan(
            {"linear": 1}, builder=builder, folds=2, epochs=1, gate_epochs=0
        )
        return fit_risk_moe(PLAIN, LOANS, LABELS, plan)

    plain, moved = fit(), fit(train_prior=trained, prior=served)
    expected = corrected(np.log(plain.probabilities), trained, served)
    np.testing.assert_allclose(moved.probabilities, expected, atol=1e-5)
    found = plain.model.predict(TABLE, verbose=0)
    expected = corrected(np.log(found), trained, served)
    found = moved.model.predict(TABLE, verbose=0)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    with pytest.raises(ValueError, match=r"of one target.*targets=\['a'\]"):
        RiskPlan(builder={"targets": ["a"]})


def test_monotone_columns_are_for_one_target():
    with pytest.raises(ValueError, match=r"one target.*columns=\['late'\]"):
        build_risk_moe(SCHEMA, LOANS, EXPERTS, targets=["a", "b"])


def test_labels_of_a_schema_with_several_targets():
    early = Target(name="early", values=["no", "yes"], bad="yes")
    schema = PLAIN.model_copy(update={"other_targets": [early]})
    values = np.where(EARLY, "yes", "no").astype(object)
    values[3] = None
    found = schema.labels_by_target(LOANS.assign(early=values))
    expected = EARLY.copy()
    expected[3] = -1
    assert list(found) == ["risk", "early"]
    np.testing.assert_array_equal(found["risk"], LABELS)
    np.testing.assert_array_equal(found["early"], expected)
    model = build_risk_moe(schema, LOANS, EXPERTS, targets=list(found))
    assert set(model.output) == {"risk", "early"}
