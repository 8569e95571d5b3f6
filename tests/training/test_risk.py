"""Risk mixtures: each step of the training beside scikit-learn and NumPy."""

import keras
import numpy as np
import pytest
from scipy.special import log_softmax, softmax
from sklearn.ensemble import (
    ExtraTreesClassifier,
    HistGradientBoostingClassifier,
)
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold

from moe_keras.insight import risk_scores
from moe_keras.schema import RiskSchema, infer_schema
from moe_keras.training.gate_fit import predict_experts
from moe_keras.training.risk import RiskPlan, fit_forests, fit_risk_moe
from tests.loans import TARGET, make_loans, read
from tests.tools import numpy_of, only_tensorflow

pytestmark = only_tensorflow

COUNT = 300
FRAME = make_loans(COUNT)
SCHEMA = infer_schema(FRAME, "risk", "bad")
TABLE, LABELS, ROWS = read(SCHEMA, FRAME)
TREES = HistGradientBoostingClassifier(max_iter=5, max_leaf_nodes=4)


def trees_alone(**options):
    return RiskPlan(
        experts={},
        forests=[TREES, ExtraTreesClassifier(5, max_depth=3)],
        **{"folds": 3, "gate_epochs": 0, "calibrate": False, **options},
    )


def margins(model, rows):
    """`(N, 2)`: what `ForestExpert` says of a classifier's probabilities."""
    chances = np.log(np.maximum(model.predict_proba(rows), 1e-7))
    return chances - chances[:, :1]


@pytest.fixture(scope="module")
def plain():
    return fit_risk_moe(SCHEMA, TABLE, LABELS, trees_alone(), seed=3)


def test_out_of_fold_each_row_is_judged_by_trees_of_the_others(plain):
    expected = np.zeros((COUNT, 2, 2))
    parts = StratifiedKFold(3, shuffle=True, random_state=3)
    for learn, rest in parts.split(LABELS, LABELS):
        for place, forest in enumerate(trees_alone().forests):
            forest.set_params(random_state=3).fit(ROWS[learn], LABELS[learn])
            expected[rest, place] = margins(forest, ROWS[rest])
    found = plain.expert_logits - plain.expert_logits[..., :1]
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_the_model_has_trees_of_all_rows(plain):
    each = []
    for forest in trees_alone().forests:
        forest.set_params(random_state=3).fit(ROWS, LABELS)
        each.append(log_softmax(margins(forest, ROWS), axis=-1))
    gates = numpy_of(plain.model.get_layer("moe").gate(ROWS))
    fused = np.einsum("ne,nec->nc", gates, np.stack(each, axis=1))
    np.testing.assert_allclose(
        plain.model.predict(TABLE, verbose=0),
        softmax(fused, axis=-1),
        atol=1e-4,
    )


def test_the_gate_and_the_temperature_learn_out_of_fold(plain):
    plan = trees_alone(gate_epochs=4, calibrate=True, gate_learning_rate=0.05)
    fit = fit_risk_moe(SCHEMA, TABLE, LABELS, plan, seed=3)
    # The same experts, another gate.
    np.testing.assert_allclose(
        fit.expert_logits, plain.expert_logits, atol=1e-6
    )
    moe = fit.model.get_layer("moe")
    gates = numpy_of(moe.gate(ROWS))
    assert np.ptp(gates[:, 0]) > 0
    fused = np.einsum(
        "ne,nec->nc", gates, log_softmax(fit.expert_logits, axis=-1)
    )
    scale = float(fit.model.get_layer("temperature").scale)
    np.testing.assert_allclose(
        fit.probabilities, softmax(fused / scale, axis=-1), atol=1e-5
    )

    def loss(temperature):
        chances = log_softmax(fused / temperature, axis=-1)
        return -chances[np.arange(COUNT), LABELS].mean()

    assert scale != 1
    assert loss(scale) <= min(loss(scale * 1.02), loss(scale / 1.02))
    before = -np.log(plain.probabilities[np.arange(COUNT), LABELS]).mean()
    assert loss(scale) < before


@pytest.mark.slow
def test_networks_learn_and_every_step_is_told():
    told = []
    plan = RiskPlan(
        experts={"linear": 1, "low_rank": [{"num_experts": 2}]},
        forests=[TREES],
        folds=2,
        epochs=12,
        learning_rate=1e-2,
        batch_size=32,
        gate_epochs=1,
    )
    fit = fit_risk_moe(SCHEMA, TABLE, LABELS, plan, note=told.append)
    assert told == [
        "the experts, fold 1 of 2",
        "the experts, fold 2 of 2",
        "the experts, all rows",
        "the gate",
    ]
    regression = LogisticRegression().fit(ROWS, LABELS)
    rival = risk_scores(LABELS, regression.predict_proba(ROWS))["auc"]
    for place in range(4):
        own = softmax(fit.expert_logits[:, place], axis=-1)
        assert risk_scores(LABELS, own)["auc"] > rival - 0.08
    assert fit.model.output_shape == (None, 2)


@pytest.mark.slow
def test_a_seed_repeats_it():
    """And a single expert needs no gate."""
    plan = RiskPlan(
        experts={"dense": 1}, folds=2, epochs=1, gate_epochs=1, batch_size=64
    )
    one, two = (
        fit_risk_moe(SCHEMA, TABLE, LABELS, plan, seed=1) for _ in range(2)
    )
    np.testing.assert_array_equal(one.probabilities, two.probabilities)


def test_trees_are_monotone_where_the_schema_says_so():
    schema = RiskSchema.model_validate(
        {
            "target": TARGET,
            "numeric": [{"name": "late", "monotone": 1}, {"name": "income"}],
            "derived": [{"name": "ratio", "expression": "late / income"}],
        }
    )
    table = schema.check(FRAME)
    (bank,) = fit_forests(schema, table, LABELS, [TREES])
    bank.build((None, 3))
    assert bank.is_monotone(0, 1)
    # What is derived from a monotone column is hidden.
    assert set(bank.columns_read()) <= {0, 1}
    with pytest.raises(ValueError, match=r"monotone constraints.*forest=1"):
        fit_forests(schema, table, LABELS, [TREES, LogisticRegression()])


def test_what_is_refused():
    with pytest.raises(ValueError, match=r"must be \(300,\).*\(299,\)"):
        fit_risk_moe(SCHEMA, TABLE, LABELS[1:])
    with pytest.raises(ValueError, match=r"`folds`.*folds=1"):
        fit_risk_moe(SCHEMA, TABLE, LABELS, trees_alone(folds=1))
    with pytest.raises(ValueError, match="epochs=0"):
        RiskPlan(epochs=0)
    with pytest.raises(ValueError, match="home"):
        fit_risk_moe(SCHEMA, FRAME.drop(columns="home"), LABELS)
    assert keras.config.dtype_policy().name == "float32"


def test_networks_beside_trees_are_fitted():
    plan = RiskPlan(
        experts={"linear": 1},
        forests=[TREES],
        folds=2,
        epochs=8,
        gate_epochs=0,
    )
    fit = fit_risk_moe(SCHEMA, TABLE, LABELS, plan, seed=1)
    assert fit.model.get_layer("moe").num_experts == 2
    assert set(fit.history) >= {"stage", "loss"}
    logits = predict_experts(fit.model, TABLE)[:, 0].astype("float64")
    chances = softmax(logits, axis=-1)[:, 1]
    assert risk_scores(LABELS, chances)["auc"] > 0.7
    # Fitted to half of the rows, they say about the same.
    halves = softmax(fit.expert_logits[:, 0], axis=-1)[:, 1]
    assert np.corrcoef(chances, halves)[0, 1] > 0.5
