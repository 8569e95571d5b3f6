"""Texts of any container as the array that `fit` and `predict` take."""

from typing import Any

import numpy as np

from moe_keras.errors import require

OWNER = "text_array"


def text_array(texts: Any) -> np.ndarray:
    """Texts as an array of `object`, which Keras' `fit` and `predict` take.

    Of Keras' own, a list is several inputs, and a column of pandas or an array
    of NumPy's text types, as `numpy.array` makes of a list, an "Invalid dtype".

    Args:
        texts: a list, a tuple, a column of pandas, an array `(N,)` or `(N, 1)`,
            or any iterable of `str` or of `bytes` in UTF-8.

    Returns:
        object `(N,)` of `str`.

    Raises:
        ValueError: for a single text, a table of several columns, and, with the
            row counted from 1, for what is missing or no text.

    Example:
    >>> model.fit(text_array(reviews["text"]), reviews["stars"].to_numpy())
    """
    shape = getattr(texts, "shape", None)
    require(
        not isinstance(texts, str | bytes | dict)
        and hasattr(texts, "__iter__")
        and (shape is None or tuple(shape[1:]) in ((), (1,))),
        OWNER,
        "`texts` must be a list or a column of texts.",
        texts=type(texts).__name__ if shape is None else tuple(shape),
    )
    if shape is not None:
        texts = np.asarray(texts, dtype=object).reshape(-1)
    found = [_read(row, text) for row, text in enumerate(texts, 1)]
    array = np.empty(len(found), dtype=object)
    array[:] = found
    return array


def _read(row: int, text: Any) -> str:
    if isinstance(text, bytes):
        try:
            return text.decode()
        except UnicodeDecodeError as error:
            require(
                False, OWNER, "bytes must be UTF-8.", row=row, reason=str(error)
            )
    require(
        isinstance(text, str),
        OWNER,
        "a text is missing, or is none: give '' for a missing one.",
        row=row,
        found=text,
    )
    # Not a subclass, such as NumPy's, which Keras does not know.
    return str(text)
