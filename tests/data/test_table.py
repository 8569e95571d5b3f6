"""Tables in files: what is read from them."""

import sys

import numpy as np
import pandas as pd
import pytest

from moe_keras.data import load_table
from moe_keras.data.validation import validation_mask
from moe_keras.tables import csv_source as table_csv
from moe_keras.tables import parquet_source as table_parquet

HEADER = "amount,housing,risk\n"
ROWS = "".join(
    f"{i / 4 if i % 9 else ''},{['own', 'rent', 'NA'][i % 3]},"
    f"{'bad' if i % 4 == 0 else 'good'}\n"
    for i in range(60)
)
# What is in these rows, without any reader.
AMOUNTS = [i / 4 if i % 9 else np.nan for i in range(60)]
HOUSING = [["own", "rent", ""][i % 3] for i in range(60)]
BAD = [int(i % 4 == 0) for i in range(60)]


@pytest.fixture
def put(tmp_path):
    def write(text, name="loans.csv", encoding="utf-8"):
        path = tmp_path / name
        path.write_bytes(text.encode(encoding))
        return path

    return write


def check_loans(data, bad=1):
    whole = data.whole_train()
    assert list(whole.inputs) == ["amount", "housing"]
    np.testing.assert_array_equal(whole.inputs["amount"], AMOUNTS)
    assert whole.inputs["housing"].tolist() == HOUSING
    assert (whole.labels == (BAD if bad else 1 - np.array(BAD))).all()
    assert [one.dtype for one in data.schema] == ["float64", "string"]
    assert data.task == "tabular"


def test_a_plain_file(put):
    data = load_table(put(HEADER + ROWS), "risk", "bad")
    check_loans(data)
    assert data.classes == ("good", "bad")
    assert data.test is None
    assert (
        data.validation_rows == np.flatnonzero(validation_mask(range(60)))
    ).all()
    check_loans(load_table(put(HEADER + ROWS), "risk"), bad=0)


@pytest.mark.parametrize("separator", [";", "\t", "|"])
def test_separators_are_found(put, separator):
    text = (HEADER + ROWS).replace(",", separator)
    check_loans(load_table(put(text), "risk", "bad"))
    check_loans(load_table(put(text), "risk", "bad", separator=separator))


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_separators_between_quotes_are_found(put, separator):
    lines = (HEADER + ROWS).splitlines()
    text = "\n".join(
        separator.join(f'"{cell}"' for cell in line.split(","))
        for line in lines
    )
    check_loans(load_table(put(text), "risk", "bad"))


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_a_byte_order_mark_or_none(put, encoding):
    check_loans(
        load_table(put(HEADER + ROWS, encoding=encoding), "risk", "bad")
    )


def test_other_encodings_are_named(put):
    text = "größe,y\n" + "1,ja\n2,nein\n" * 20
    path = put(text, encoding="cp1252")
    with pytest.raises(
        ValueError, match="Another `encoding` may help"
    ) as error:
        load_table(path, "y")
    assert f"path={str(path)!r}, line=1" in str(error.value)
    assert list(load_table(path, "y", encoding="cp1252").train.inputs) == [
        "größe"
    ]
    with pytest.raises(ValueError, match="not readable as CSV in utf-8-sig"):
        load_table(put(text, encoding="utf-16"), "y")


def test_quotes_blanks_and_empty_lines(put):
    text = 'a,"b, c",y\r\n 1 ,"two\nlines",p\r\n\r\n2," ""said"" ",q\r\n'
    data = load_table(put(text * 1), "y", validation_share=0.5)
    assert data.whole_train().inputs["a"].tolist() == [1, 2]
    assert data.whole_train().inputs["b, c"].tolist() == [
        "two\nlines",
        '"said"',
    ]


def test_chunks_make_no_difference(put, monkeypatch):
    path = put(HEADER + ROWS)
    monkeypatch.setattr(table_csv, "CHUNK_ROWS", 7)
    check_loans(load_table(path, "risk", "bad"))


def test_parquet_is_the_same(put, tmp_path, monkeypatch):
    monkeypatch.setattr(table_parquet, "CHUNK_ROWS", 7)
    frame = pd.read_csv(put(HEADER + ROWS))
    frame["housing"] = frame["housing"].astype("category")
    frame.to_parquet(tmp_path / "loans.parquet")
    data = load_table(tmp_path / "loans.parquet", "risk", "bad")
    check_loans(data)
    assert data.name.startswith("parquet:")


def test_types_of_parquet(tmp_path):
    path = tmp_path / "t.pq"
    pd.DataFrame(
        {
            "whole": np.arange(20),
            "flag": [True, False] * 10,
            "code": ["1", "2"] * 10,
            "zone": [7, 8] * 10,
            "y": [3, 10] * 10,
        }
    ).to_parquet(path)
    data = load_table(path, "y", text=["zone"])
    inputs = data.whole_train().inputs
    assert inputs["whole"].tolist() == list(range(20))
    assert inputs["flag"].tolist() == [1.0, 0.0] * 10
    assert inputs["code"].tolist() == ["1", "2"] * 10  # A text stays a text.
    assert inputs["zone"].tolist() == ["7", "8"] * 10
    assert data.classes == ("3", "10")
    pd.DataFrame(
        {"day": pd.to_datetime(["2020-01-01"] * 4), "y": list("abab")}
    ).to_parquet(path)
    with pytest.raises(ValueError, match="numbers or texts") as error:
        load_table(path, "y")
    assert f"path={str(path)!r}, column='day', dtype='timestamp" in str(
        error.value
    )
    frame = pd.DataFrame({"day": pd.to_datetime(["2020-01-01"] * 4)})
    frame.assign(y=list("abab"), x=range(4), none=None).to_parquet(path)
    data = load_table(path, "y", drop=["day"])
    assert data.whole_train().inputs["x"].tolist() == [0, 1, 2, 3]
    assert np.isnan(data.whole_train().inputs["none"]).all()


def test_parquet_that_is_none(put):
    with pytest.raises(ValueError, match="not readable as Parquet"):
        load_table(put(HEADER + ROWS, "loans.parquet"), "risk")


def test_parquet_without_pyarrow(put, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    find = table_parquet.importlib.util.find_spec
    monkeypatch.setattr(
        table_parquet.importlib.util,
        "find_spec",
        lambda name: None if name == "pyarrow" else find(name),
    )
    with pytest.raises(ImportError, match=r"pip install moe_keras\[parquet\]"):
        load_table(put("x", "loans.parquet"), "risk")


def test_decimal_commas(put):
    text = "amount;risk\n1,5;x\n2;y\n-1,25e2;x\n"
    data = load_table(put(text), "risk", decimal=",")
    assert data.whole_train().inputs["amount"].tolist() == [1.5, 2, -125]
    as_text = load_table(put(text), "risk", text=["amount"])
    assert as_text.whole_train().inputs["amount"].tolist() == [
        "1,5",
        "2",
        "-1,25e2",
    ]


def test_ids_keep_their_rows_together(put):
    text = "who,x,y\n" + "".join(
        f"client {i % 30},{i},{i % 2}\n" for i in range(300)
    )
    data = load_table(put(text), "y", id_column="who", validation_share=0.3)
    assert list(data.train.inputs) == ["x"]
    clients = [set(s.inputs["x"] % 30) for s in (data.train, data.validation)]
    assert not clients[0] & clients[1]
    mask = validation_mask([f"client {i % 30}" for i in range(300)], 0.3)
    assert data.validation_rows.tolist() == np.flatnonzero(mask).tolist()
    with pytest.raises(ValueError, match="a value is missing") as error:
        load_table(put("who,x,y\na,1,p\n,2,q\n"), "y", id_column="who")
    assert "column='who', row='2 (line 3)'" in str(error.value)


def test_classes_are_sorted_as_what_they_are(put):
    rows = "".join(f"{i},{[10, 9, -1][i % 3]}\n" for i in range(30))
    data = load_table(put("x,y\n" + rows), "y")
    assert data.classes == ("-1", "9", "10")
    assert data.whole_train().labels[:3].tolist() == [2, 1, 0]
    numbers = load_table(put("x,y\n" + rows.replace("-1", "9")), "y", 9)
    assert numbers.classes == ("10", "9")


def test_a_test_file(put):
    path = put(HEADER + ROWS)
    more = "housing,extra,amount,risk\nrent,7,1,bad\nother,7,,good\n"
    data = load_table(path, "risk", "bad", test_path=put(more, "test.csv"))
    check_loans(data)
    assert data.test.inputs["housing"].tolist() == ["rent", "other"]
    np.testing.assert_array_equal(data.test.inputs["amount"], [1, np.nan])
    assert data.test.labels.tolist() == [1, 0]
    for text, rule, place in (
        ("amount,risk\n", "no such column", "column='housing'"),
        (HEADER + "x,own,bad\n", "a number belongs", "row='1 (line 2)'"),
        (HEADER + "1,own,worse\n", "'worse' is not one", "row='1 (line 2)'"),
    ):
        with pytest.raises(ValueError, match=rule) as error:
            load_table(path, "risk", test_path=put(text, "test.csv"))
        assert place in str(error.value)
        assert "test.csv" in str(error.value)


def test_missing_values_of_ones_own(put):
    rows = "".join(f"{'-' if i % 3 else i},{i % 2}\n" for i in range(30))
    path = put("x,y\n" + rows)
    assert load_table(path, "y").schema[0].dtype == "string"
    data = load_table(path, "y", missing=["-"])
    assert np.isnan(data.whole_train().inputs["x"]).sum() == 20
