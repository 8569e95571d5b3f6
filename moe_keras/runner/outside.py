"""What users would pick instead: models of others, fitted anew."""

from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.calibration import CalibratedClassifierCV
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.svm import LinearSVC

from moe_keras.data import Split
from moe_keras.errors import require
from moe_keras.runner.outside_tables import TABLES, fit_table, predict_table

# From inputs to probabilities (N, C).
Predict = Callable[[Any], np.ndarray]
# Words, and the marks that tell something.
TOKENS = r"[\w']+|[!?]"


class NaiveBayesSVM(ClassifierMixin, BaseEstimator):
    """A linear support vector machine of n-grams times log-count ratios.

    Reads sparse presence `(N, F)`, and labels of 0 and 1. Its weights are drawn
    towards their mean size.

    Attributes:
        SMOOTHING: texts of each class that an n-gram is in before the first.
        INTERPOLATION: the share of the weights in their mixture with the mean.

    Source: Wang & Manning (2012), ACL, P12-2018, with its constants.
    """

    SMOOTHING = 1.0
    INTERPOLATION = 0.25

    def fit(self, X: Any, y: np.ndarray) -> "NaiveBayesSVM":
        """Fit to presence and labels, by scikit-learn's names for them."""
        one, other = (
            self.SMOOTHING + np.asarray(X[y == label].sum(0)).ravel()
            for label in (1, 0)
        )
        ratios = np.log(one / one.sum()) - np.log(other / other.sum())
        machine = LinearSVC(C=1.0, random_state=0)
        machine.fit(X @ sparse.diags(ratios), y)
        found = machine.coef_[0]
        share = self.INTERPOLATION
        mixed = share * found + (1 - share) * np.abs(found).mean()
        self.weights_ = ratios * mixed
        self.bias_ = float(machine.intercept_[0])
        self.classes_ = np.array([0, 1])
        return self

    def decision_function(self, X: Any) -> np.ndarray:
        """The scores of class 1, `(N,)`."""
        scores: np.ndarray = X @ self.weights_ + self.bias_
        return scores

    def predict(self, X: Any) -> np.ndarray:
        """The class, `(N,)`."""
        return self.classes_[(self.decision_function(X) > 0).astype(int)]


def _nb_svm(split: Split) -> tuple[Any, int]:
    words = CountVectorizer(
        ngram_range=(1, 3), binary=True, token_pattern=TOKENS
    )
    # A sigmoid of the scores of folds that the model was not fitted to: Platt.
    model = make_pipeline(
        words,
        CalibratedClassifierCV(
            NaiveBayesSVM(), method="sigmoid", cv=3, ensemble=False
        ),
    )
    model.fit(split.inputs, split.labels)
    return model, len(words.vocabulary_)


def _tfidf_logistic(split: Split) -> tuple[Any, int]:
    words = TfidfVectorizer(
        ngram_range=(1, 2), token_pattern=TOKENS, sublinear_tf=True
    )
    model = make_pipeline(words, LogisticRegression(C=10, max_iter=1000))
    model.fit(split.inputs, split.labels)
    return model, len(words.vocabulary_)


TEXTS: Mapping[str, Callable[[Split], tuple[Any, int]]] = MappingProxyType(
    {"nb_svm": _nb_svm, "tfidf_logistic": _tfidf_logistic}
)


def fit_outside(name: str, split: Split) -> tuple[Predict, int | None]:
    """Fit a model of scikit-learn, or of a library like it.

    Args:
        name: of texts, `"nb_svm"`: words, pairs and triples; two classes; and
            `"tfidf_logistic"`: words and pairs, sublinear counts times inverse
            document frequencies, logistic regression with C = 10. Of tables,
            see `moe_keras.runner.outside_tables.fit_table`.
        split: inputs and labels.

    Returns:
        A function from inputs to probabilities `(N, C)`, and how many weights
        the model has; None for trees.

    Raises:
        ValueError: for inputs of another kind.
        ImportError: when the model's library is not installed.
    """
    inputs = split.inputs
    if name in TABLES:
        require(
            isinstance(inputs, dict),
            "fit_outside",
            f"{name} reads tables.",
            inputs=type(inputs).__name__,
        )
        table = fit_table(name, split)
        return partial(predict_table, table), None
    require(
        isinstance(inputs, np.ndarray) and inputs.dtype == object,
        "fit_outside",
        f"{name} reads texts.",
        inputs=type(inputs).__name__,
    )
    model, weights = TEXTS[name](split)
    return model.predict_proba, weights
