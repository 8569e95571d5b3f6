"""Numbers that are none as they stand: which cells, and what to do."""

import numpy as np
import pandas as pd
import pytest

from moe_keras.data import infer_table_schema, load_table
from moe_keras.schema import infer_schema

COUNT = 60
NUMBERS = np.random.default_rng(0).integers(900, 9000, COUNT)


@pytest.fixture
def put(tmp_path):
    def write(cells, header="x;y"):
        path = tmp_path / "t.csv"
        rows = [f"{c};{i % 2}" for i, c in enumerate(cells)]
        path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
        return path

    return write


def with_marks(*marks):
    """Numbers in quarters, but for the second cell and every tenth one."""
    cells = [f"{n / 4}" for n in NUMBERS]
    for place, mark in enumerate(marks):
        cells[1 + place :: 10] = [mark] * len(cells[1 + place :: 10])
    return cells


@pytest.mark.parametrize(
    ("form", "divisor", "options"),
    [
        ("{:,}", 1, {"thousands": ","}),
        ("{:,.2f}", 4, {"thousands": ","}),
        ("{: }", 1, {"thousands": " "}),
        ("{:'}", 1, {"thousands": "'"}),
        ("{:.}", 4, {"decimal": ","}),
        ("{:.,}", 4, {"decimal": ",", "thousands": "."}),
    ],
)
@pytest.mark.parametrize("read", [load_table, infer_table_schema])
def test_marks_in_numbers_are_named_and_read(put, form, divisor, options, read):
    path = put([in_form(form, n / divisor) for n in NUMBERS.tolist()])
    with pytest.raises(ValueError, match="or name the columns in `text`") as e:
        read(path, "y")
    # The advice is what reads them, and nothing else.
    advice = " and ".join(f'`{key}="{one}"`' for key, one in options.items())
    assert f"give {advice}, or" in str(e.value)
    assert f"path={str(path)!r}, columns=['x']" in str(e.value)
    data = load_table(path, "y", **options).whole_train()
    np.testing.assert_array_equal(data.inputs["x"], NUMBERS / divisor)


def in_form(form, number):
    """As Python writes it, or with other marks than it has."""
    if form in ("{:,}", "{:,.2f}"):
        return form.format(int(number) if form == "{:,}" else number)
    if form == "{:.}":
        return f"{number:.2f}".replace(".", ",")
    if form == "{:.,}":
        return f"{number:,.2f}".translate({44: ".", 46: ","})
    return f"{int(number):,}".replace(",", form[2])


@pytest.mark.parametrize(
    ("marks", "shown", "remedy"),
    [
        (["-"], "54 of 60 values are numbers, but not '-' (6 times", "missing"),
        (
            ["#DIV/0!", "n.a."],
            "'#DIV/0!' (6 times, first in row 2 (line 3)), "
            "'n.a.' (6 times, first in row 3 (line 4))",
            "missing",
        ),
        (["$1,200"], "'$1,200' (6 times", "take the signs of money"),
        (["4.2%"], "'4.2%' (6 times", "take the signs of money"),
    ],
)
def test_cells_that_are_no_numbers_are_shown(put, marks, shown, remedy):
    path = put(with_marks(*marks))
    with pytest.raises(ValueError, match="or name the column in `text`") as e:
        infer_table_schema(path, "y")
    assert shown in str(e.value)
    assert remedy in str(e.value)
    assert str(e.value).endswith(f"path={str(path)!r}, column='x'")
    found = infer_table_schema(path, "y", text=["x"])
    assert {*marks} < {*found.categorical[0].levels}
    if remedy == "missing":
        data = load_table(path, "y", missing=marks).whole_train()
        assert np.isnan(data.inputs["x"]).sum() == 6 * len(marks)
    # A frame has no such options.
    with pytest.raises(ValueError, match="name the column in `text`") as e:
        infer_schema({"x": with_marks(*marks), "y": NUMBERS % 2}, "y")
    assert "missing`" not in str(e.value)
    assert shown.replace(" (line 3)", "").replace(" (line 4)", "") in str(
        e.value
    )


@pytest.mark.parametrize("mark", ["#N/A", "None", "<NA>", "n/a", "?", " "])
def test_what_pandas_takes_for_missing_is_missing(put, mark):
    found = infer_table_schema(put(with_marks(mark)), "y")
    assert [one.name for one in found.numeric] == ["x"]


def test_signs_throughout(put):
    for cell in ("${}", "{}%", "\u20ac {}", "EUR {}"):
        path = put([cell.format(n) for n in NUMBERS])
        with pytest.raises(ValueError, match="0 of 60 values are numbers"):
            infer_table_schema(path, "y")


def test_few_different_ones_are_a_category_and_a_warning(put):
    cells = np.resize(["0", "1", "2", "3+"], COUNT)
    message = "taken for a category: 45 of 60 values are numbers, but not '3.'"
    with pytest.warns(UserWarning, match=message):
        found = infer_table_schema(put(cells), "y")
    assert found.categorical[0].levels == ["0", "1", "2", "3+"]
    # Who has said it is not told; nor are codes that are numbers seldom.
    assert infer_table_schema(put(cells), "y", text=["x"]) == found
    codes = np.resize(["A1", "7", "B2", "X"], COUNT)
    infer_table_schema(put(codes), "y")


def test_true_and_false_among_numbers(put):
    words = [*np.resize(["True", "FALSE", ""], COUNT)]
    found = infer_table_schema(put(words), "y")
    assert found.categorical[0].levels == [0, 1]
    assert load_table(put(words), "y").schema[0].dtype == "float64"
    mixed = infer_table_schema(put(["5", *words]), "y", text=["x"])
    assert mixed.categorical[0].levels == ["5", "FALSE", "True"]


def test_lines_are_those_of_the_file(put):
    """After quotes over lines and blank lines; of the schema's errors too."""
    rows = ['"a\nb";0', "", "c;1", "d;0"] * 12
    path = put(["1"])
    path.write_text("\n".join(["k;y", *rows]) + "\n1;9\n")
    plain = path.with_name("train.csv")
    plain.write_text("k;y\nc;0\nd;1\n")
    with pytest.raises(ValueError, match="is not one of the classes") as e:
        load_table(plain, "y", test_path=path)
    assert "row='37 (line 62)'" in str(e.value)
    cells = [f"{n / 4}" for n in NUMBERS]
    with pytest.raises(ValueError, match="finite in float32") as e:
        infer_table_schema(put([*cells, "1e300"]), "y")
    assert "column='x', row='61 (line 62)', value=1e+300" in str(e.value)


def test_the_line_of_a_byte_that_is_no_text(tmp_path):
    path = tmp_path / "t.csv"
    rows = b"".join(b"a,%d\n" % (i % 2) for i in range(5000))
    path.write_bytes(b"x,y\n" + rows + b"gr\xf6\xdfe,1\n" + rows)
    with pytest.raises(ValueError, match="not readable as CSV") as e:
        load_table(path, "y")
    assert str(e.value).endswith("line=5002")
    with pytest.raises(ValueError, match=r"no such encoding.*'utf-9'"):
        load_table(path, "y", encoding="utf-9")


# --- an index that was written as a column without a name ---


@pytest.mark.parametrize("drop", [[], [""], ["Unnamed: 0"]])
def test_a_first_column_without_a_name_is_an_index(tmp_path, drop, recwarn):
    frame = pd.DataFrame({"x": NUMBERS / 4, "y": NUMBERS % 2})
    path = tmp_path / "t.csv"
    frame.to_csv(path)
    found = infer_table_schema(path, "y", drop=drop)
    assert [one.name for one in found.numeric] == ["x"]
    told = [str(one.message) for one in recwarn]
    assert len(told) == (drop != ["Unnamed: 0"])
    assert all("column 1 of" in one and "no name" in one for one in told)
    assert list(load_table(path, "y", drop=drop).train.inputs) == ["x"]
    # Rows can be named by it, and it can be asked for.
    load_table(path, "y", id_column="Unnamed: 0")
    data = load_table(path, "y", numeric=["Unnamed: 0"])
    assert list(data.train.inputs) == ["Unnamed: 0", "x"]


def test_so_it_is_in_parquet_and_in_a_frame(tmp_path):
    frame = pd.DataFrame(
        {"x": NUMBERS / 4, "y": NUMBERS % 2}, index=NUMBERS.tolist()
    )
    frame.to_parquet(tmp_path / "t.parquet")
    with pytest.warns(UserWarning, match="no name"):
        found = infer_table_schema(tmp_path / "t.parquet", "y")
    frame.to_csv(tmp_path / "t.csv")
    with pytest.warns(UserWarning, match="'Unnamed: 0' is the table's index"):
        again = infer_schema(pd.read_csv(tmp_path / "t.csv"), "y")
    assert found == again
    for header in ("a,,y", "a,b,"):
        (tmp_path / "u.csv").write_text(f"{header}\n1,2,0\n2,3,1\n")
        with pytest.raises(
            ValueError, match="the first one needs a name: give"
        ):
            load_table(tmp_path / "u.csv", "a")


# --- a schema that is known ---


def test_a_schema_says_what_the_columns_hold(put, tmp_path):
    schema = infer_table_schema(put(with_marks("NA")), "y")
    strict = schema.numeric[0].model_copy(update={"maximum": 3000.0})
    schema = schema.model_copy(update={"numeric": [strict]})
    schema.to_yaml(tmp_path / "s.yaml")
    path = put(["NA", "-1.5", "7"])
    for given in (schema, tmp_path / "s.yaml", str(tmp_path / "s.yaml")):
        rows = load_table(path, "y", schema=given).whole_train().inputs["x"]
        np.testing.assert_array_equal(rows, [np.nan, -1.5, 7])
    # With the row of the file, not of what is left for training.
    path = put([*range(40), 4000, *range(40)])
    with pytest.raises(ValueError, match="beyond the maximum 3000") as e:
        load_table(path, "y", schema=schema)
    assert "column='x', row='41 (line 42)', value=4000.0" in str(e.value)
    assert f"path={str(path)!r}" in str(e.value)
