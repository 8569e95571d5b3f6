"""A table with columns of all kinds, and its rows in plain Python."""

import math

import numpy as np

ARGUMENTS = {
    "numbers": [
        {"name": "x", "special": [-9, -8.0], "minimum": -10, "maximum": 100},
        {"name": "n", "maximum": 5, "outside": "clip"},
    ],
    "ordinals": [{"name": "grade", "levels": ["low", "mid", "high"]}],
    "derived": [
        {"name": "ratio", "expression": "x / n"},
        {"name": "more", "expression": "log1p(ratio) + grade"},
        {"name": "cut", "expression": "clip(n - 1, 0, 2)"},
    ],
    "categories": [
        {"name": "home", "levels": ["own", "rent", "größer"]},
        {"name": "sex", "levels": [2, 1]},
    ],
}
NAMES = [
    *("x", "n", "grade", "ratio", "more", "cut"),
    *("home", "sex", "x=-9", "x=-8"),
]
NUMBERS_ONLY = {
    "numbers": ARGUMENTS["numbers"],
    "derived": [ARGUMENTS["derived"][0]],
    "categories": [ARGUMENTS["categories"][1]],
}


def table(rows, seed=0):
    """Raw columns `(rows,)`, with missing, special and unseen values."""
    rng = np.random.default_rng(seed)
    x = rng.choice([-9, -8, -20, 0, 3, 100, 101, np.nan, np.inf, 7.5], rows)
    return {
        "x": x,
        "n": rng.integers(0, 8, rows),
        "grade": rng.choice(["low", "mid", "high", "none", ""], rows).astype(
            object
        ),
        "home": rng.choice(["own", "rent", "größer", "OWN", ""], rows),
        "sex": rng.choice([1.0, 2.0, 3.0, np.nan], rows),
    }


def expected_rows(columns):
    """The rows of a table, one by one."""
    rows = [_row(*one) for one in zip(*columns.values(), strict=True)]
    return np.array(rows, "float32").reshape(-1, len(NAMES))


def _row(x, n, grade, home, sex):
    known = math.isfinite(x) and x not in (-9, -8) and -10 <= x <= 100
    number = float(x) if known else math.nan
    n = min(float(n), 5.0)
    grades = {"low": 0.0, "mid": 1.0, "high": 2.0}
    grade = grades.get(str(grade), math.nan)
    ratio = number / n if n else math.nan
    more = math.log1p(max(ratio, 0)) + grade if ratio == ratio else math.nan
    homes = {"own": 0.0, "rent": 1.0, "größer": 2.0}
    sexes = {2.0: 0.0, 1.0: 1.0}
    return [
        *(number, n, grade, ratio, more, min(max(n - 1, 0), 2)),
        *(homes.get(str(home), math.nan), sexes.get(sex, math.nan)),
        *(float(x == -9), float(x == -8)),
    ]
