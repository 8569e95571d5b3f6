"""No rival is blind to a column, whatever values the column has."""

from importlib.util import find_spec

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from moe_keras.data import Split
from moe_keras.runner.outside import fit_outside
from moe_keras.runner.outside_tables import BOOSTED, MEAN, TABLES
from tests.runner.test_outside_tables import PACKAGES

ROWS = 1_000


def _where(chosen, yes, no):
    return np.where(chosen, yes, no).astype(object)


def _columns(rng):
    """By kind: a column, and the labels that it alone decides."""
    spread, share = rng.lognormal(0, 2, ROWS), rng.random(ROWS)
    three, codes = rng.integers(3, size=ROWS), rng.integers(12, size=ROWS)
    return {
        "binary": (1.0 * (share < 0.3), share < 0.3),
        "rarely 1": (1.0 * (share < 0.08), share < 0.08),
        "rarely 0": (1.0 * (share > 0.08), share < 0.08),
        "ternary": (1.0 * three, three == 1),
        "codes": (7.0 * codes, np.isin(codes, [0, 3, 4, 7, 10])),
        "mostly least": (np.where(share < 0.95, 0, spread), share >= 0.95),
        "mostly most": (np.where(share < 0.95, 0, -spread), share >= 0.95),
        "mostly between": (
            np.where(share < 0.9, 0, np.where(share < 0.95, -spread, spread)),
            share >= 0.95,
        ),
        "numeric": (spread, spread > 1),
        "missing": (np.where(share < 0.1, np.nan, spread), share < 0.1),
        "missing flag": (np.where(share < 0.1, np.nan, 1), share < 0.1),
        "text": (_where(three == 1, "b", _where(three, "c", "a")), three == 1),
        "missing text": (_where(share < 0.1, "", "a"), share < 0.1),
    }


KINDS = tuple(_columns(np.random.default_rng(0)))


def _auc_with_and_without(name, kind):
    """On rows that are new: AUC, and AUC where the column is permuted."""
    rng = np.random.default_rng(3)

    def rows():
        column, labels = _columns(rng)[kind]
        noise = {
            "x": rng.normal(size=ROWS),
            "flag": 1.0 * rng.integers(2, size=ROWS),
            "t": _where(rng.random(ROWS) < 0.5, "u", "v"),
        }
        return {"decides": column, **noise}, labels.astype(int)

    predict, _ = fit_outside(name, Split(*rows()))
    table, labels = rows()

    def auc(**changed):
        return roc_auc_score(labels, predict({**table, **changed})[:, 1])

    # The mean of some permutations, for chance.
    blind = [auc(decides=rng.permutation(table["decides"])) for _ in range(5)]
    return auc(), np.mean(blind)


@pytest.mark.parametrize("kind", KINDS)
def test_the_logistic_regression_of_bins_sees_every_column(kind):
    seen, blind = _auc_with_and_without("logistic_bins", kind)
    assert seen > 0.98
    assert blind == pytest.approx(0.5, abs=0.05)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", [n for n in TABLES if n != "logistic_bins"])
def test_every_rival_sees_every_column(name, kind):
    needed = BOOSTED if name == MEAN else [PACKAGES.get(name, "sklearn")]
    if any(find_spec(package) is None for package in needed):
        pytest.skip(f"{name} needs {list(needed)}")
    seen, blind = _auc_with_and_without(name, kind)
    assert seen > 0.98
    assert blind == pytest.approx(0.5, abs=0.05)
