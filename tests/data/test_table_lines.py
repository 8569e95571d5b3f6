"""Plain lines at once: the same as cell by cell, or left to that."""

import io

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from moe_keras.data import table_csv
from moe_keras.data.table_file import open_table
from moe_keras.data.table_lines import Lines, parse_lines
from moe_keras.data.table_values import read_numbers, read_texts

CELLS = st.one_of(
    st.sampled_from(
        "1 -2.5 1e3 NA nan NaN inf -inf Infinity True 0x1F 1_0 1,5 .5 5. +7 "
        "1e400 1e-400 9007199254740993 3.14159265358979323846 -9 -9.0 12abc "
        "- e5 None 1;5 null".split()
    ),
    st.sampled_from(["", " ", " 4", "4 ", "\u00a05", "\t6", 'a"b', '"7"']),
    st.floats(allow_nan=False).map(repr),
    st.integers().map(str),
)


def read(path, decimal, hint, missing):
    """All of a file, or the text of the error."""
    source = open_table(path, ";", missing=missing)
    try:
        chunks = list(
            source.chunks(["a", "b"], ["a"] if hint else [], (), decimal)
        )
        return (
            [line for chunk in chunks for line in chunk.lines],
            [read_numbers(source, c, "a", decimal, must=True) for c in chunks],
            [text for c in chunks for text in read_texts(c, "b")],
        )
    except ValueError as error:
        return str(error)


@settings(max_examples=150, deadline=None)
@given(
    rows=st.lists(st.tuples(CELLS, CELLS), min_size=1, max_size=6),
    decimal=st.sampled_from(".,"),
    end=st.sampled_from(["\n", "\r\n"]),
    missing=st.sampled_from([["NA"], ["-9"], ["", "nan", "null"]]),
)
@example([("-9.0", "x"), ("-9", "y")], ".", "\n", ["-9"])
@example([("True", "x")], ".", "\n", ["NA"])
@example([("1_0", "x"), ("nan", "y")], ".", "\n", ["NA"])
@example([("1", "x"), ('"1', 'y"')], ".", "\n", ["NA"])
def test_quick_and_slow_reading_agree(
    tmp_path_factory, rows, decimal, end, missing
):
    path = tmp_path_factory.getbasetemp() / "agree.csv"
    text = end.join(["a;b;c", *(f"{a};{b};z" for a, b in rows)])
    path.write_bytes(text.encode())
    quick, slow = (read(path, decimal, hint, missing) for hint in (True, False))
    if isinstance(slow, str):
        assert quick == slow
        return
    assert quick[0] == slow[0]
    assert quick[2] == slow[2]
    np.testing.assert_allclose(
        np.concatenate(quick[1]), np.concatenate(slow[1]), rtol=1e-15
    )


def parse(text, decimal="."):
    lines = io.StringIO(text, newline="").readlines()
    return parse_lines(lines, ",", [1], [0], 2, ["NA"], decimal)


def test_plain_lines_are_read_at_once():
    found = parse("1.5,x\r\nNA, y \r\n,\r\n-2e1,z")
    np.testing.assert_array_equal(found[0], [1.5, np.nan, np.nan, -20])
    assert found[1].tolist() == ["x", " y ", "", "z"]


@pytest.mark.parametrize(
    "text",
    [
        '1,"x"\n',
        "1,x\n\n2,y\n",
        "1,x\n2\n",
        "1,x\n2,y,z\n",
        "1,x\nmuch,y\n",
        "1,x\n2,\0\n",
    ],
)
def test_anything_else_is_left_to_the_other_reader(text):
    assert parse(text) is None


def test_lines_can_be_given_back():
    lines = Lines(io.StringIO("a\nb\nc\n"))
    assert lines.take(2) == ["a\n", "b\n"]
    lines.give_back(["b\n"])
    assert lines.count == 1
    assert list(lines) == ["b\n", "c\n"]
    assert (lines.count, lines.take(2)) == (3, [])


def test_few_long_lines_are_taken_at_once(tmp_path, monkeypatch):
    monkeypatch.setattr("moe_keras.data.table_lines.MOST_CHARACTERS", 20)
    lines = Lines(io.StringIO("12345678\n" * 5))
    assert [len(lines.take(4)) for _ in range(3)] == [3, 2, 0]
    # A line that is longer than all that is taken comes alone.
    (tmp_path / "wide.csv").write_text("a,b\n" + f"1,{'x' * 30}\n" * 3)
    source = open_table(tmp_path / "wide.csv")
    chunks = list(source.chunks(numbers=["a"]))
    assert [chunk.start for chunk in chunks] == [0, 1, 2]
    assert [chunk.columns["a"].tolist() for chunk in chunks] == [[1.0]] * 3


def test_places_hold_through_plain_and_other_pieces(tmp_path, monkeypatch):
    """Plain, quoted over two lines, with a blank line, and plain again."""
    monkeypatch.setattr(table_csv, "CHUNK_ROWS", 2)
    path = tmp_path / "t.csv"
    path.write_text('a,b\n1,x\n2,y\n3,"z\nz"\n4,u\n\n5,v\n6,w\n7,x\nno,y\n')
    source = open_table(path)
    found = []

    def read_all():
        for chunk in source.chunks(None, ["a"]):
            numbers = read_numbers(source, chunk, "a", ".", must=True)
            found.extend(zip(chunk.lines, numbers.tolist(), strict=True))

    with pytest.raises(ValueError, match=r"where 'no' stands.*'8 \(line 11\)'"):
        read_all()
    assert found == [(2, 1), (3, 2), (5, 3), (6, 4), (8, 5), (9, 6)]
