"""Tables in files to files of scores: the same as `model.predict`."""

import os

import keras
import numpy as np
import pandas as pd
import pytest

from moe_keras.insight import collect_gates
from moe_keras.prediction import load_trained, score_rows, score_table
from moe_keras.tables import csv_source as table_csv
from moe_keras.tables import parquet_source as table_parquet
from tests.prediction.tiny_tables import (
    SCHEMA,
    columns_of,
    expect,
    make_model,
    make_rows,
)
from tests.tools import only_tensorflow

pytestmark = only_tensorflow
NAMES = ["good", "bad"]


@pytest.fixture(scope="module")
def model():
    return make_model()


@pytest.fixture
def put(tmp_path):
    def write(frame, **options):
        frame.to_csv(tmp_path / "t.csv", index=False, **options)
        return tmp_path / "t.csv"

    return write


def read(path):
    return pd.read_csv(path, dtype={"p_good": "float32", "p_bad": "float32"})


def check(model, frame, found):
    """Probabilities and classes are those of the model itself."""
    said = expect(model, frame)
    assert list(found.columns[1:4]) == ["p_good", "p_bad", "class"]
    np.testing.assert_allclose(found[["p_good", "p_bad"]], said, atol=1e-6)
    assert found["class"].tolist() == [NAMES[c] for c in said.argmax(axis=1)]
    # A test of one value would show nothing.
    assert np.ptp(said[:, 1]) > 0.05 or len(said) < 5


def score(model, path, tmp_path, **options):
    done = score_table(
        model, path, tmp_path / "out.csv", classes=NAMES, **options
    )
    return done, read(tmp_path / "out.csv")


def test_the_scores_are_the_models(model, put, tmp_path):
    frame = make_rows()
    done, found = score(model, put(frame), tmp_path, batch_size=7)
    check(model, frame, found)
    assert found["line"].tolist() == list(range(2, 62))
    (gates,) = collect_gates(model, columns_of(frame)).values()
    names = ["linear", "low_rank 0", "low_rank 1"]
    order = gates.argmax(axis=1)
    assert found["expert_gating"].tolist() == [names[e] for e in order]
    np.testing.assert_allclose(
        found["share_gating"], gates.max(axis=1), atol=1e-5
    )
    said = expect(model, frame)
    assert (done.rows, done.ignored, done.unseen) == (60, ("name",), {})
    assert done.means["bad"] == pytest.approx(said[:, 1].mean(), abs=1e-6)
    assert done.predicted["bad"] == (said.argmax(axis=1) == 1).sum()


def test_pieces_make_no_difference(model, put, tmp_path, monkeypatch):
    frame = make_rows()
    frame.loc[30, "name"] = "two\nlines"
    monkeypatch.setattr(table_csv, "CHUNK_ROWS", 8)
    _, found = score(model, put(frame), tmp_path)
    check(model, frame, found)
    lines = [*range(2, 32), *range(33, 63)]
    assert found["line"].tolist() == lines


def test_parquet_and_its_ids(model, tmp_path, monkeypatch):
    frame = make_rows()
    frame["id"] = 2**53 + 1 + np.arange(60)
    frame["day"] = pd.Timestamp("2024-02-29")
    frame.to_parquet(tmp_path / "t.parquet")
    monkeypatch.setattr(table_parquet, "CHUNK_ROWS", 8)
    done, found = score(model, tmp_path / "t.parquet", tmp_path)
    check(model, frame, found)
    assert found["row"].tolist() == list(range(1, 61))
    assert done.ignored == ("name", "id", "day")
    path = tmp_path / "t.parquet"
    _, found = score(model, path, tmp_path, id_column="id")
    assert found["id"].tolist() == frame["id"].tolist()


def test_a_column_of_parquet_without_type(model, tmp_path):
    frame = make_rows().assign(home=None, limit=None)
    frame.to_parquet(tmp_path / "t.parquet")
    _, found = score(model, tmp_path / "t.parquet", tmp_path)
    check(model, frame.assign(limit=np.nan), found)


def test_ids_name_the_rows(model, put, tmp_path):
    frame = make_rows()
    done, found = score(model, put(frame), tmp_path, id_column="name")
    assert found["name"].tolist() == frame["name"].tolist()
    assert done.ignored == ()


@pytest.mark.parametrize(
    ("written", "options"),
    [
        ({"sep": ";", "decimal": ",", "encoding": "utf-8-sig"}, ","),
        ({"sep": "\t", "lineterminator": "\r\n"}, "."),
        ({"na_rep": "NA", "quoting": 1}, "."),
    ],
)
def test_writings_of_one_table(model, put, tmp_path, written, options):
    frame = make_rows()
    path = put(frame, **written)
    _, found = score(model, path, tmp_path, decimal=options)
    check(model, frame, found)


@pytest.mark.parametrize("count", [1, 2])
def test_few_rows(model, put, tmp_path, count):
    frame = make_rows().head(count)
    done, found = score(model, put(frame), tmp_path)
    check(model, frame, found)
    assert done.rows == count


def test_columns_without_any_value(model, put, tmp_path):
    frame = make_rows().assign(limit=np.nan, home=None)
    _, found = score(model, put(frame), tmp_path)
    check(model, frame, found)


def test_unknown_levels_are_missing_and_are_counted(model, put, tmp_path):
    frame = make_rows()
    strange = frame.assign(home="caravan", grade=7.0)
    done, found = score(model, put(strange), tmp_path)
    check(model, frame.assign(home=None, grade=np.nan), found)
    assert done.unseen == {"home": 60, "grade": 60}


def test_what_the_schema_refuses(put, tmp_path, model):
    strict = SCHEMA.model_copy(
        update={
            "categorical": [
                SCHEMA.categorical[0].model_copy(update={"unseen": "error"})
            ]
        }
    )
    strict.to_yaml(tmp_path / "schema.yaml")
    for schema in (strict, tmp_path / "schema.yaml"):
        frame = make_rows()
        score(model, put(frame), tmp_path, schema=schema)
        frame.loc[8, "home"] = "caravan"
        path = put(frame)
        with pytest.raises(ValueError, match="none of the levels") as error:
            score(model, path, tmp_path, schema=schema)
        assert str(error.value).endswith(
            f"Received: path={str(path)!r}, column='home', row='9 (line 10)', "
            "value='caravan'"
        )
    frame = make_rows()
    frame.loc[1, "limit"] = -1
    score(model, put(frame), tmp_path)
    with pytest.raises(ValueError, match=r"beyond the minimum 0.*line 3"):
        score(model, put(frame), tmp_path, schema=SCHEMA)
    other = SCHEMA.model_copy(update={"categorical": []})
    with pytest.raises(ValueError, match="schema must be of the columns"):
        score(model, put(frame), tmp_path, schema=other)


HEADER = "limit,bill,grade,home\n"
REFUSED = {
    "the file lacks columns that the model reads; is 'limit' here 'Limit'?": (
        "Limit,bill,grade,home\n1,2,3,own\n",
        "missing=['limit']",
    ),
    "a number belongs where 'much' stands.": (
        HEADER + "1,2,3,own\nmuch,2,3,own\n",
        "column='limit', row='2 (line 3)'",
    ),
    'decimal mark, give `decimal=","`.': (
        HEADER.replace(",", ";") + "1,5;2;3;own\n",
        "column='limit', row='1 (line 2)'",
    ),
    "must be finite in float32. ": (
        HEADER + "1,inf,3,own\n",
        "column='bill', row='1 (line 2)', value=inf",
    ),
    "numbers must be finite in float32.": (
        HEADER + "1,2,3,own\n1,1e39,3,own\n",
        "column='bill', row='2 (line 3)', value=1e+39",
    ),
    "columns 1 and 5 have one name.": (
        "limit,bill,grade,home,limit\n1,2,3,own,1\n",
        "column='limit'",
    ),
    "no row but the header.": (HEADER, "path="),
    "the file is empty.": ("", "path="),
    "a row has 3 cells, the header 4.": (HEADER + "1,2,own\n", "line=2"),
}


@pytest.mark.parametrize("rule", REFUSED)
def test_bad_tables_are_refused_with_their_place(model, tmp_path, rule):
    text, place = REFUSED[rule]
    path = tmp_path / "t.csv"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"^score_table: ") as error:
        score_table(model, path, tmp_path / "out.csv")
    assert rule in str(error.value)
    assert f"path={str(path)!r}" in str(error.value)
    assert place in str(error.value)
    assert os.listdir(tmp_path) == ["t.csv"]


def test_arguments_that_cannot_be(model, put, tmp_path):
    path = put(make_rows())
    out = tmp_path / "out.csv"
    for options, rule in (
        ({"out": tmp_path / "out.xlsx"}, "must end in .csv or .json"),
        ({"out": path}, "another file than the table"),
        ({"batch_size": 0}, "`batch_size` must be"),
        ({"top": 0}, "`top` must be"),
        ({"decimal": ";"}, "`decimal` must be"),
        ({"id_column": "nope"}, "no such column"),
        ({"id_column": "home"}, "a value is missing"),
        ({"classes": ["a"]}, "one name for each of the 2 classes"),
    ):
        with pytest.raises(ValueError, match=rule):
            score_table(model, path, **{"out": out, **options})
    named = path.with_name("u.csv")
    make_rows().rename(columns={"name": "class"}).to_csv(named, index=False)
    with pytest.raises(ValueError, match="would have one name"):
        score_table(model, named, out, id_column="class")
    with pytest.raises(FileNotFoundError, match="score_table: no such file"):
        score_table(model, tmp_path / "absent.csv", out)
    assert not out.exists()


# --- models ---


def test_a_model_by_its_file_and_by_its_run(model, put, tmp_path):
    frame = make_rows()
    path = put(frame)
    (tmp_path / "run").mkdir()
    model.save(tmp_path / "run" / "model.keras")
    for name in (tmp_path / "run", tmp_path / "run" / "model.keras"):
        trained = load_trained(name)
        assert (trained.task, trained.classes) == ("risk", ("0", "1"))
        (rows,) = score_rows(name, path)
        np.testing.assert_allclose(
            rows.probabilities, expect(model, frame), atol=1e-6
        )


def test_a_model_of_several_targets_is_refused_in_words(put):
    several = make_model(targets=["default", "early"])
    path = put(make_rows())
    with pytest.raises(ValueError, match="several targets cannot be asked"):
        score_rows(several, path)
    one = keras.Model(several.input, several.output["early"])
    (rows,) = score_rows(one, path)
    said = several.predict(columns_of(make_rows()), verbose=0)["early"]
    np.testing.assert_allclose(rows.probabilities, said, atol=1e-6)
