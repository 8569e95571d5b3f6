"""Points of a scorecard, against the logits of the expert that it shows."""

import keras
import numpy as np
import pytest

from moe_keras.insight import scorecard
from moe_keras.insight.scorecard import BASE
from moe_keras.layers import DenseExpert, LinearExpert, TabularEncoding
from tests.layers.preprocessing import test_tabular_encoding
from tests.layers.preprocessing.test_tabular_encoding import LEVELS, NAMES
from tests.tools import numpy_of, randomize

ROWS = test_tabular_encoding.table()
HOSTILE = test_tabular_encoding.HOSTILE
JOBS = {"job": ["cook", "nurse", "none"]}


def parts(numbers, **kwargs):
    encoding = TabularEncoding(LEVELS, 5, numbers)
    encoding.adapt(ROWS)
    expert = LinearExpert(**{"num_experts": 2, **kwargs})
    expert(encoding(ROWS))
    return randomize(expert), encoding


def points_of(records, row):
    """What somebody with the card in hand would add up."""
    total = 0.0
    for name, value, levels in zip(NAMES, row, LEVELS, strict=True):
        own = [one for one in records if one["column"] == name]
        if levels is not None:
            known = value in range(levels)
            text = JOBS[name][int(value)] if known else "missing"
            (found,) = [one for one in own if one["bin"] == text]
        elif np.isnan(value):
            (found,) = [one for one in own if one["bin"] == "missing"]
        else:
            inside = [
                one
                for one in own
                if one["lower"] is not None
                and (one["lower"] <= value < one["upper"]
                     or value == one["upper"] == np.inf)
            ]  # fmt: skip
            (found,) = inside
        points, gap = found["points"], found["upper_points"] - found["points"]
        if gap:
            width = found["upper"] - found["lower"]
            points += gap * (value - found["lower"]) / width
        total += points
    (base,) = [one["points"] for one in records if one["column"] == BASE]
    return total + base


@pytest.mark.parametrize("units", [1, 2])
@pytest.mark.parametrize("numbers", ["pieces", "steps"])
@pytest.mark.parametrize("number", [0, 1])
def test_points_add_up_to_the_logits(numbers, units, number):
    expert, encoding = parts(numbers, output_units=units)
    records = scorecard(expert, encoding, NAMES, JOBS, number, 500, 20, 40)
    rows = np.concatenate([ROWS[:50], HOSTILE])
    logits = numpy_of(expert(encoding(rows)))[:, number].astype("float64")
    score = logits[:, 0] if units == 1 else logits[:, 1] - logits[:, 0]
    # Odds of 20 to 1 are 500 points, and 40 points more double them.
    expected = 500 + 40 * np.log2(np.exp(-score) / 20)
    found = [points_of(records, row.astype("float64")) for row in rows]
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-2)


def test_a_small_card_by_hand():
    rows = np.asarray([[20, 0], [30, 1], [40, 0], [20, 1]], "float32")
    encoding = TabularEncoding([None, 2], 3, "steps")
    encoding.adapt(rows)
    expert = LinearExpert()
    expert(encoding(rows))
    log2 = np.log(2)
    # age >= 30, age >= 40, job = 0, job = 1, age missing, job missing
    weights = np.asarray([-1, -0.5, 0, 2, 0.25, -3]) * log2
    expert.kernel.assign(weights.reshape(1, 6, 1))
    expert.bias.assign([[-log2]])
    records = scorecard(
        expert, encoding, ["age", "job"], {"job": ["cook", "nurse"]}
    )
    base = 600 - 20 * np.log2(50) + 20
    expected = [
        (BASE, "", base),
        ("age", "< 30", 0),
        ("age", "30 to 40", 20),
        ("age", ">= 40", 30),
        ("age", "missing", -5),
        ("job", "cook", 0),
        ("job", "nurse", -40),
        ("job", "missing", 60),
    ]
    for record, (column, text, points) in zip(records, expected, strict=True):
        assert (record["column"], record["bin"]) == (column, text)
        assert record["points"] == pytest.approx(points, abs=1e-3)
        assert record["upper_points"] == record["points"]


def test_columns_that_are_not_read_have_no_points():
    encoding = TabularEncoding([None, 2, None], 3, columns=[2])
    encoding.adapt(np.ones((3, 3), "float32"))
    expert = LinearExpert()
    expert(encoding(np.ones((3, 3), "float32")))
    records = scorecard(expert, encoding, ["a", "b", "c"])
    assert {record["column"] for record in records} == {BASE, "c"}


@pytest.mark.parametrize(
    ("run", "message"),
    [
        (lambda x, e: scorecard(DenseExpert(2), e, NAMES),
         "`expert` must be a LinearExpert and `encoding` a TabularEncoding"),
        (lambda x, e: scorecard(x, e, NAMES, number=2),
         "`number` must be an integer in 0..1. Received: number=2"),
        (lambda x, e: scorecard(x, e, NAMES, pdo=0),
         "`pdo` must be > 0. Received: pdo=0"),
        (lambda x, e: scorecard(x, e, NAMES, base_odds=-1),
         "`base_odds` must be > 0. Received: base_odds=-1"),
        (lambda x, e: scorecard(x, e, NAMES[:2]), "`row_names` must be"),
        (lambda x, e: scorecard(x, TabularEncoding([None]), ["a"]),
         "`expert` must read the features of `encoding`. Received: weights="),
        (lambda x, e: scorecard(x, TabularEncoding(LEVELS, 5), NAMES),
         "the edges must be known: call `adapt` first."),
        (lambda x, e: scorecard(parts("steps", output_units=3)[0], e, NAMES),
         "`expert` must have one score: `output_units` of 1 or 2. Received:"),
    ],
)  # fmt: skip
def test_errors_name_the_argument(run, message):
    keras.utils.set_random_seed(0)
    with pytest.raises(ValueError, match=r"^(scorecard|Tabular.*): ") as error:
        run(*parts("pieces"))
    assert message in str(error.value)
