"""A small table is fitted on one thread, a large one on all."""

import numpy as np
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.pipeline import Pipeline
from threadpoolctl import threadpool_info, threadpool_limits

from moe_keras.data import Split
from moe_keras.runner import outside_tables
from moe_keras.training.few_threads import MANY_ROWS, threads_for


def _most_threads():
    return max(
        one["num_threads"]
        for one in threadpool_info()
        if one["user_api"] in ("openmp", "blas")
    )


class _Spy(ClassifierMixin, BaseEstimator):
    """Notes how many threads there are when it is fitted and asked."""

    seen: list = []

    def __init__(self, n_jobs=None):
        self.n_jobs = n_jobs

    def fit(self, X, y):
        self.classes_ = np.array([0, 1])
        self.seen.append((self.n_jobs, _most_threads()))
        return self

    def predict_proba(self, X):
        self.seen.append((self.n_jobs, _most_threads()))
        return np.full((len(X), 2), 0.5)


@pytest.mark.parametrize("rows", [MANY_ROWS - 1, MANY_ROWS])
def test_rivals_have_one_thread_for_few_rows(rows, monkeypatch):
    monkeypatch.setattr(_Spy, "seen", [])
    monkeypatch.setattr(
        outside_tables,
        "MODELS",
        {"lightgbm": lambda: (Pipeline([("model", _Spy())]), {})},
    )
    split = Split({"x": np.zeros(rows)}, np.arange(rows) % 2)
    with threadpool_limits(2):
        several = _most_threads()
        model = outside_tables.fit_table("lightgbm", split)
        outside_tables.predict_table(model, split.inputs)
        assert _most_threads() == several
    alone = rows < MANY_ROWS
    expected = (1, 1) if alone else (None, several)
    assert _Spy.seen == [expected, expected]


def test_the_limit_ends_with_the_context():
    with threadpool_limits(2):
        before = _most_threads()
        with threads_for(10):
            assert _most_threads() == 1
        with threads_for(MANY_ROWS):
            assert _most_threads() == before
        assert _most_threads() == before
