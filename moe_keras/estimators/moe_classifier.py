"""The risk mixture as a classifier of scikit-learn: fit, predict_proba."""

import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import _num_samples, check_is_fitted

from moe_keras.errors import require, require_counts
from moe_keras.estimators.inputs import read_inputs, read_labels
from moe_keras.estimators.parts import (
    default_forests,
    is_bad_first,
    own_random_state,
)
from moe_keras.estimators.steps import show_steps
from moe_keras.export import export_saved_model
from moe_keras.quiet import without_log
from moe_keras.schema import RiskSchema, infer_schema
from moe_keras.training.generators import held_generators
from moe_keras.training.risk import RiskPlan, fit_risk_moe
from moe_keras.zoo.risk.builder import DEFAULT_EXPERTS

OWNER = "MoEClassifier"
# Rows that a prediction reads at once.
BATCH_SIZE = 4096
# TensorFlow takes the functions of several models for one that changes.
_RETRACED = ("tensorflow", "triggered tf.function retracing")


class MoEClassifier(ClassifierMixin, BaseEstimator):
    """A mixture of scorecards, networks and trees over the rows of a table.

    Experts and gate are those of `moe_keras.zoo.build_risk_moe`; how they are
    trained, the gate on what the experts say of rows that they were not fitted
    to, is `moe_keras.training.fit_risk_moe`.

    Args:
        schema: `RiskSchema`, or the path of its YAML file: what the columns
            are. None infers it from X (`infer_schema`). Its target, if any, is
            not read from X, but its bad value says which class of two monotone
            columns raise; without a target it is the last of the sorted
            classes. Defaults to `None`.
        experts: as of `build_risk_moe`; None for its own default. Defaults to
            `None`.
        forests: sequence of classifiers of trees, not fitted; empty for none.
            None for gradient-boosted trees and extremely randomized trees of
            scikit-learn, or the former alone where the schema has monotone
            columns, which the latter cannot have with missing values. Defaults
            to `None`.
        folds: int > 1, at most the rows of the rarest class: parts that the
            experts are kept from in turn. Defaults to `5`.
        epochs: int > 0, of the experts that are not trees. Defaults to `12`.
        learning_rate: float > 0, of these, at first. Defaults to `2e-3`.
        weight_decay: float >= 0, of these, decoupled. Defaults to `1e-2`.
        batch_size: int > 0, in training. Defaults to `256`.
        gate_epochs: int >= 0; 0 leaves the gate as it begins. Defaults to `10`.
        top_k: int in 1..E or None: experts that see a row; None for all.
            Defaults to `None`.
        fusion: `"logarithmic"` or `"linear"`: whether logits or probabilities
            of the experts are averaged. Defaults to `"logarithmic"`.
        bins: int > 1. Pieces of a number at most, for networks. Defaults to
            `32`.
        calibrate: bool. Whether a temperature is fitted. Defaults to `True`.
        random_state: int, `numpy.random.RandomState` or None, of folds, weights
            and order, and of trees without one of their own. Defaults to
            `None`.
        verbose: int >= 0. 0 is silent, 1 shows a bar of the training's steps.
            Defaults to `0`.

    Attributes:
        classes_: `(C,)`, sorted.
        n_features_in_: int, columns of X.
        feature_names_in_: `(D,)` of `str`, where X was a data frame.
        schema_: `RiskSchema` that was used.
        model_: `keras.Model`, a dict of raw columns to probabilities, whose
            columns are `model_classes_`.
        model_classes_: `(C,)`: `classes_`, save that the schema's bad value is
            last.
        out_of_fold_: float `(N, C)`, probabilities of the training rows by
            experts that were not fitted to them, in the order of `classes_`.
            Gate and temperature have seen the rows.

    Source: Jacobs et al. (1991), Neural Computation 3(1), for the mixture;
        Wolpert (1992), Neural Networks 5(2), for the gate's training.

    Example:
    >>> classifier = MoEClassifier(random_state=0).fit(loans, risk)
    >>> classifier.predict_proba(loans[:2]).shape
    (2, 2)
    """

    def __init__(
        self,
        schema: RiskSchema | str | os.PathLike[str] | None = None,
        experts: Mapping[str, Any] | None = None,
        forests: Sequence[Any] | None = None,
        folds: int = 5,
        epochs: int = 12,
        learning_rate: float = 2e-3,
        weight_decay: float = 1e-2,
        batch_size: int = 256,
        gate_epochs: int = 10,
        top_k: int | None = None,
        fusion: str = "logarithmic",
        bins: int = 32,
        calibrate: bool = True,
        random_state: Any = None,
        verbose: int = 0,
    ):
        # Stored as they are, and checked by `fit`, as scikit-learn asks.
        self.schema = schema
        self.experts = experts
        self.forests = forests
        self.folds = folds
        self.epochs = epochs
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.batch_size = batch_size
        self.gate_epochs = gate_epochs
        self.top_k = top_k
        self.fusion = fusion
        self.bins = bins
        self.calibrate = calibrate
        self.random_state = random_state
        self.verbose = verbose

    @held_generators()
    def fit(self, X: Any, y: Any) -> "MoEClassifier":
        """Train on the rows of a table.

        Args:
            X: data frame, whose columns are numbers or texts; or array
                `(N, D)`, whose columns are named x0, x1, ... NaN, None and, of
                texts, "" are missing.
            y: `(N,)`, labels of two classes or more.

        Threads fit one after the other, since Keras draws from generators that
        they share: each gets what it would get alone, and processes are what
        makes several fits quicker (`n_jobs`). Meanwhile no thread may draw from
        Python's or NumPy's generator, nor build a model with Keras.

        Returns:
            Itself.

        Raises:
            ValueError: for infinite values and what the schema refuses, with
                column and row; labels that are missing or all of one class;
                fewer rows of a class than folds; and arguments out of range.
        """
        table = read_inputs(self, X, reset=True)
        classes, places = read_labels(OWNER, y, _num_samples(X))
        schema = self._read_schema(table)
        plan = self._plan(schema)
        turned = is_bad_first(OWNER, schema, classes)
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        steps = plan.folds + 1 + bool(plan.gate_epochs)
        with (
            own_random_state(),
            without_log(*_RETRACED),
            show_steps("risk mixture", steps, bool(self.verbose)) as note,
        ):
            found = fit_risk_moe(
                schema,
                table,
                1 - places if turned else places,
                plan,
                len(classes),
                seed,
                note,
            )
        self.classes_ = classes
        self.model_classes_ = classes[::-1].copy() if turned else classes
        self.schema_, self.model_ = schema, found.model
        self.out_of_fold_ = self._in_order(found.probabilities)
        return self

    def predict_proba(self, X: Any) -> np.ndarray:
        """The probability of each class.

        Args:
            X: as of `fit`, with the same columns in the same order.

        Returns:
            float64 `(N, C)`, in the order of `classes_`; rows sum to 1.

        Raises:
            ValueError: for other columns, infinite values, texts where numbers
                were and the reverse, with column and row. A text that training
                has not seen is missing, unless the schema says otherwise.
        """
        check_is_fitted(self, "model_")
        table = self.schema_.check(read_inputs(self, X, reset=False))
        with without_log(*_RETRACED):
            found = self.model_.predict(table, batch_size=BATCH_SIZE, verbose=0)
        return self._in_order(found)

    def predict(self, X: Any) -> np.ndarray:
        """The most probable class.

        Args:
            X: as of `predict_proba`.

        Returns:
            `(N,)`, of `classes_`.
        """
        probabilities = self.predict_proba(X)
        return self.classes_[np.argmax(probabilities, axis=1)]

    def export(self, path: str | os.PathLike[str]) -> Path:
        """Write a SavedModel that takes the raw columns by name.

        Args:
            path: folder; see `moe_keras.export.export_saved_model`.

        Returns:
            The folder. The columns of its outputs are `model_classes_`.
        """
        check_is_fitted(self, "model_")
        return export_saved_model(self.model_, path)

    # --- what scikit-learn and pickle ask for ---

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.categorical = True
        tags.input_tags.string = True
        return tags

    def __getstate__(self) -> dict[str, Any]:
        state = dict(super().__getstate__())
        if "model_" in state:
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / "model.keras"
                state["model_"].save(path)
                state["model_"] = path.read_bytes()
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        state = dict(state)
        if "model_" in state:
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / "model.keras"
                path.write_bytes(state["model_"])
                # Without the optimizer of the last stage of the training.
                state["model_"] = keras.saving.load_model(
                    path, compile=False, safe_mode=True
                )
        super().__setstate__(state)

    # --- parts of `fit` ---

    def _read_schema(self, table: Any) -> RiskSchema:
        if self.schema is None:
            return infer_schema(table, target=None)
        if isinstance(self.schema, str | os.PathLike):
            return RiskSchema.from_yaml(self.schema)
        require(
            isinstance(self.schema, RiskSchema),
            OWNER,
            "`schema` must be a RiskSchema, the path of a YAML file or None.",
            schema=type(self.schema).__name__,
        )
        return self.schema

    def _plan(self, schema: RiskSchema) -> RiskPlan:
        forests = self.forests
        if forests is None:
            forests = default_forests(any(schema.row_monotone().signs))
        given = {
            # Of a grid, numbers are NumPy's.
            name: value.item() if isinstance(value, np.generic) else value
            for name, value in self.get_params(deep=False).items()
        }
        require_counts(OWNER, folds=given["folds"])
        names = ("folds", "epochs", "learning_rate", "weight_decay")
        names += ("batch_size", "gate_epochs", "calibrate")
        return RiskPlan(
            experts=DEFAULT_EXPERTS if self.experts is None else self.experts,
            forests=forests,
            builder={key: given[key] for key in ("top_k", "fusion", "bins")},
            **{name: given[name] for name in names},
        )

    def _in_order(self, probabilities: np.ndarray) -> np.ndarray:
        """From the model's order of the classes to that of `classes_`."""
        found = np.asarray(probabilities, "float64")
        found = found / found.sum(axis=1, keepdims=True)
        order = np.argsort(self.model_classes_)
        return found[:, order]
