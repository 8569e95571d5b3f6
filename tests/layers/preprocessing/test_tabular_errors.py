"""What TabularEncoding refuses."""

import numpy as np
import pytest

from moe_keras.layers import TabularEncoding


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"levels": []}, "`levels` must have an entry for each column: None "
         "for a number, an integer above 0 for a category. Received: lev"),
        ({"levels": [0]}, "Received: levels=[0]"),
        ({"levels": 3}, "Received: levels=3"),
        ({"bins": 1}, "`bins` must be an integer above 1. Received: bins=1"),
        ({"numbers": "log"}, "`numbers` must be one of ('pieces', 'steps'). "
         "Received: numbers='log'"),
        ({"columns": [2]}, "`columns` must be different integers in 0..1, at "
         "least one, or None. Received: columns=[2]"),
        ({"columns": [1, 1]}, "Received: columns=[1, 1]"),
        ({"columns": []}, "Received: columns=[]"),
    ],
)  # fmt: skip
def test_errors_name_the_argument(kwargs, message):
    with pytest.raises(ValueError, match=r"^TabularEncoding: ") as error:
        TabularEncoding(**{"levels": [None, 2], **kwargs})
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("run", "message"),
    [
        (lambda e: e(np.ones((2, 3), "float32")), "`inputs` must be rows (..., "
         "2), one value for each entry of `levels`. Received: shape=(2, 3)"),
        (lambda e: e(np.ones((2, 2), "int32")), "dtype='int32'"),
        (lambda e: e.adapt(np.ones((2, 3))), "`rows` must be (N, 2), or "
         "batches of such rows. Received: shape=(2, 3)"),
        (lambda e: e.adapt([[1.0, 2.0]]), "Received: shape=(2,)"),
        (lambda e: e.adapt([]), "`rows` must not be empty. Received: rows=0"),
        (lambda e: e.edges_of(1), "`place` must be that of a number that is "
         "read. Received: place=1, numbers=[0]"),
        (lambda e: e.signs([1, 1]), "`monotone` must be 0 for a category, "
         "whose levels have no order. Received: place=1, sign=1"),
        (lambda e: e.signs([1]), "`monotone` must have 2 entries of -1, 0 or"),
        (lambda e: e.feature_names(["a", "a"]), "`row_names` must be different "
         "names, one for each of the 2 columns. Received: row_names=['a', 'a"),
        (lambda e: e.feature_names(["a", "b"], {"b": ["x"]}), "by the name of "
         "a category, one name for each of its levels. Received: name='b', "
         "level_names=['x'], levels=2"),
    ],
)  # fmt: skip
def test_bad_rows_and_names(run, message):
    with pytest.raises(ValueError, match=r"TabularEncoding: ") as error:
        run(TabularEncoding([None, 2]))
    assert message in str(error.value)
