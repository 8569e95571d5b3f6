"""Schemas of tables in files."""

import pandas as pd
import pytest

from moe_keras.data import infer_table_schema, load_table
from moe_keras.schema import infer_schema

ROWS = 60
FRAME = pd.DataFrame(
    {
        "id": range(ROWS),
        "amount": [i * i / 8 if i % 9 else None for i in range(ROWS)],
        "kind": [i % 3 + 1 for i in range(ROWS)],
        "home": [["own", "rent", None][i % 3] for i in range(ROWS)],
        "risk": [["good", "bad"][i % 4 == 0] for i in range(ROWS)],
    }
)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"sep": ";", "encoding": "utf-8-sig"},
        {"sep": ";", "decimal": ","},
        {"sep": "\t", "encoding": "cp1252"},
    ],
)
def test_as_of_a_frame(options, tmp_path):
    path = tmp_path / "loans.csv"
    FRAME.to_csv(path, index=False, **options)
    reading = {k: v for k, v in options.items() if k in ("decimal", "encoding")}
    found = infer_table_schema(path, "risk", "bad", drop=["id"], **reading)
    assert found == infer_schema(FRAME, "risk", "bad", drop=["id"])
    data = load_table(path, "risk", "bad", id_column="id", **reading)
    whole = data.whole_train()
    checked = found.check(whole.inputs)
    assert list(checked) == ["amount", "kind", "home"]
    assert checked["home"][:3].tolist() == ["own", "rent", ""]


def test_parquet(tmp_path):
    path = tmp_path / "loans.parquet"
    FRAME.to_parquet(path)
    found = infer_table_schema(path, "risk", "bad", drop=["id"])
    assert found == infer_schema(FRAME, "risk", "bad", drop=["id"])


@pytest.mark.parametrize("ending", ["csv", "parquet"])
@pytest.mark.parametrize("bad", [True, "True", "true", 1, False, "False"])
def test_booleans_as_target(ending, bad, tmp_path):
    """Of Parquet they are 0 and 1, in a CSV file they are words."""
    path = tmp_path / f"loans.{ending}"
    frame = FRAME.assign(risk=[i % 4 == 0 for i in range(ROWS)])
    write = frame.to_parquet if ending == "parquet" else frame.to_csv
    write(path, index=False)
    values = ["False", "True"] if ending == "csv" else [0, 1]
    meant = bad in (True, "True", "true")
    target = infer_table_schema(path, "risk", bad, drop=["id"]).target
    assert (target.values, target.bad) == (values, values[meant])
    data = load_table(path, "risk", bad)
    expected = frame["risk"] == meant
    assert data.whole_train().labels.tolist() == expected.tolist()
    assert data.classes[1] == str(values[meant])


def test_options_and_numbers_as_target(tmp_path):
    path = tmp_path / "loans.csv"
    FRAME.assign(risk=[i % 4 == 0 for i in range(ROWS)]).astype(
        {"risk": int}
    ).to_csv(path, index=False)
    drop = {"drop": ["id"]}
    for bad, expected in ((None, 1), ("1", 1), (0, 0), ("0", 0)):
        target = infer_table_schema(path, "risk", bad, **drop).target
        assert (target.values, target.bad) == ([0, 1], expected)
    found = infer_table_schema(path, "risk", few=2, **drop)
    assert [one.name for one in found.numeric] == ["amount", "kind"]
    found = infer_table_schema(path, "risk", text=["kind"], **drop)
    assert found.categorical[0].levels == ["1", "2", "3"]
    # The first two rows have two levels.
    found = infer_table_schema(path, "risk", max_rows=2, **drop)
    assert found.categorical[1].levels == [1, 2]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"target": "y"}, r"no such column.*column='y'"),
        ({"drop": ["y"]}, r"no such column.*column='y'"),
        ({"text": ["y"]}, r"no such column.*column='y'"),
        ({"bad": "ugly"}, "is no value.*positive='ugly'"),
        ({"bad": None}, "`positive` .*must say"),
        ({"drop": []}, "as ids have.*column='id'"),
        ({"max_rows": 0}, "`max_rows` must be an integer above 0"),
    ],
)
def test_refused(options, message, tmp_path):
    path = tmp_path / "loans.csv"
    FRAME.to_csv(path, index=False)
    usual = {"target": "risk", "bad": "bad", "drop": ["id"]}
    with pytest.raises(ValueError, match=message):
        infer_table_schema(path, **{**usual, **options})


def test_the_bad_value_is_the_positive_one(tmp_path):
    path = tmp_path / "a.csv"
    FRAME.to_csv(path, index=False)
    options = {"target": "risk", "drop": ["id"]}
    schema = infer_table_schema(path, positive="bad", **options)
    assert schema == infer_table_schema(path, bad="bad", **options)
