"""Tables and labels as scikit-learn's callers give them: checked, by name."""

from typing import Any

import numpy as np
import pandas as pd
from sklearn.utils import assert_all_finite, column_or_1d
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import validate_data

from moe_keras.errors import require


def read_inputs(estimator: Any, X: Any, reset: bool) -> Any:
    """A table by name, of what an estimator is fitted to or asked about.

    Args:
        estimator: of scikit-learn; where `reset`, it gets `n_features_in_` and,
            for a data frame whose columns have names, `feature_names_in_`.
        X: data frame, array `(N, D)` or nested lists; D columns of numbers or
            of texts.
        reset: whether the columns are learned, or compared with those known.

    Returns:
        A data frame, or a dict of arrays `(N,)`. Columns without a name of
        their own are x0, x1, ...

    Raises:
        ValueError: for another number of dimensions, columns or names, and
            without any row or column.
        TypeError: for a sparse matrix, and names of which some are no texts.
    """
    if isinstance(X, pd.DataFrame):
        # Columns of texts and of numbers stay what they are.
        validate_data(estimator, X, reset=reset, skip_check_array=True)
        require(
            X.size,
            type(estimator).__name__,
            "`X` must have a row and a column.",
            X_shape=X.shape,
        )
        return X.set_axis(_names(estimator), axis=1)
    if isinstance(X, list | tuple):
        # As one array, a number beside a text would be a text.
        X = np.array(X, dtype=object)
    # Whether a value is finite, its column says, with its row.
    X = validate_data(
        estimator, X, reset=reset, dtype=None, ensure_all_finite=False
    )
    return dict(zip(_names(estimator), X.T, strict=True))


def read_labels(owner: str, y: Any, rows: int) -> tuple[np.ndarray, np.ndarray]:
    """The classes of labels, and the place of each label among them.

    Args:
        owner: whom to name in errors.
        y: `(N,)`, texts, or numbers of which all are whole.
        rows: N.

    Returns:
        The classes, sorted, and int64 `(N,)` in 0..C-1.

    Raises:
        ValueError: for missing and infinite labels, with the row where there is
            one; numbers that are not whole; texts among numbers; one class
            only; and another number of labels than of rows.
    """
    # The words that scikit-learn has for it.
    require(
        y is not None,
        owner,
        "requires y to be passed, but the target y is None.",
        y=y,
    )
    y = column_or_1d(y, warn=True)
    require(
        len(y) == rows,
        owner,
        "`y` must have a label for each row.",
        rows=rows,
        labels=len(y),
    )
    missing = pd.isna(y)
    require(
        not missing.any(),
        owner,
        "`y` must not be missing (NaN or None) in any row.",
        row=int(np.argmax(missing)) + 1,
        missing=int(missing.sum()),
    )
    if y.dtype == object:
        texts = {isinstance(one, str) for one in y}
        require(
            len(texts) == 1,
            owner,
            "`y` must hold texts, or numbers, not both.",
            first=y[0],
        )
        # Booleans and integers among objects get a type of their own.
        y = y if True in texts else np.array(y.tolist())
    if y.dtype.kind == "f":
        assert_all_finite(y, input_name="y")
    check_classification_targets(y)
    classes, places = np.unique(y, return_inverse=True)
    require(
        len(classes) > 1,
        owner,
        "`y` must hold two classes or more; there is one class only.",
        classes=classes.tolist(),
    )
    return classes, places.astype("int64")


def _names(estimator: Any) -> list[str]:
    count = estimator.n_features_in_
    own = [f"x{place}" for place in range(count)]
    return [*getattr(estimator, "feature_names_in_", own)]
