"""Which class of a table a caller means."""

import numpy as np
import pytest

from moe_keras.data.table_classes import find_class


@pytest.mark.parametrize(
    ("classes", "wanted", "expected"),
    [
        (("bad", "good"), "good", "good"),
        (("bad", "good"), "Good", None),
        (("bad", "good"), True, None),
        (("bad", "nan"), np.nan, "nan"),
        (("0", "1"), True, "1"),
        (("0", "1"), np.False_, "0"),
        (("0", "1"), "true", "1"),
        (("0", "1"), 1.0, "1"),
        (("0", "1"), "2", None),
        (("False", "True"), True, "True"),
        (("FALSE", "TRUE"), True, "TRUE"),
        (("False", "True"), 0, "False"),
        (("1", "2.0"), 2, "2.0"),
        (("01", "1"), 1, "1"),
    ],
)
def test_it_is_what_is_meant(classes, wanted, expected):
    assert find_class(classes, wanted) == expected
