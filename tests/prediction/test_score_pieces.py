"""Scores of tables in pieces: few rows in memory, and no half a file."""

import json
import os
import resource
import weakref

import numpy as np
import pytest
from rich.console import Console

from moe_keras.prediction import score_rows, score_table
from moe_keras.tables import csv_source as table_csv
from tests.prediction.tiny_tables import expect, make_model, make_rows
from tests.tools import only_tensorflow

pytestmark = only_tensorflow
NAMES = ["good", "bad"]


@pytest.fixture(scope="module")
def model():
    return make_model()


@pytest.fixture
def many(tmp_path, monkeypatch):
    """A table of several pieces, and older scores."""
    monkeypatch.setattr(table_csv, "CHUNK_ROWS", 50)
    make_rows(400).to_csv(tmp_path / "t.csv", index=False)
    (tmp_path / "out.csv").write_text("old")
    return tmp_path


def left(folder):
    assert sorted(os.listdir(folder)) == ["out.csv", "t.csv"]
    return (folder / "out.csv").read_text()


def test_an_error_in_the_last_rows_leaves_what_was_there(model, many):
    with (many / "t.csv").open("a") as file:
        file.write("x,much,2,3,own\n")
    with pytest.raises(ValueError, match=r"line 402"):
        score_table(model, many / "t.csv", many / "out.csv")
    assert left(many) == "old"


def test_so_does_a_full_disk(model, many):
    score_table(model, many / "t.csv", many / "full.csv")
    size = (many / "full.csv").stat().st_size
    (many / "full.csv").unlink()
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size // 2, before[1]))
    try:
        with pytest.raises(OSError, match="large"):
            score_table(model, many / "t.csv", many / "out.csv")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert left(many) == "old"


def test_so_does_who_stops_it(model, many, monkeypatch):
    plain = table_csv.CsvSource.chunks

    def stop(self, *arguments):
        for number, chunk in enumerate(plain(self, *arguments)):
            if number == 5:
                raise KeyboardInterrupt
            yield chunk

    monkeypatch.setattr(table_csv.CsvSource, "chunks", stop)
    with pytest.raises(KeyboardInterrupt):
        score_table(model, many / "t.csv", many / "out.csv")
    assert left(many) == "old"


# --- a piece at a time ---


def test_no_more_than_two_pieces_are_held(model, many, monkeypatch):
    plain = table_csv.CsvSource.chunks
    held, most = [], []

    def watch(self, *arguments):
        for chunk in plain(self, *arguments):
            held.append(weakref.ref(chunk))
            most.append(sum(one() is not None for one in held))
            yield chunk
            del chunk

    monkeypatch.setattr(table_csv.CsvSource, "chunks", watch)
    done = score_table(model, many / "t.csv", many / "out.csv")
    assert (done.rows, len(most)) == (400, 8)
    assert max(most) <= 2


def test_rows_can_be_had_without_a_file(model, many):
    pieces = list(score_rows(model, many / "t.csv", max_rows=70))
    assert [len(one) for one in pieces] == [50, 20]
    said = expect(model, make_rows(400).head(70))
    found = np.concatenate([one.probabilities for one in pieces])
    np.testing.assert_allclose(found, said, atol=1e-6)
    assert [one.share > 0 for one in pieces] == [True, True]
    with pytest.raises(ValueError, match="`max_rows` must be"):
        score_rows(model, many / "t.csv", max_rows=0)
    # Before the first row is asked for.
    with pytest.raises(ValueError, match="no such column"):
        score_rows(model, many / "t.csv", id_column="nope")


def test_json_is_as_of_other_files(model, many):
    frame = make_rows(400)
    out = many / "out.json"
    score_table(model, many / "t.csv", out, classes=NAMES, top=1)
    found = json.loads(out.read_text())
    assert set(found) == {"model", "predictions"}
    assert len(found["predictions"]) == 400
    said = expect(model, frame)[7]
    one = found["predictions"][7]
    assert (one["file"], one["row"]) == (str(many / "t.csv"), 9)
    (best,) = one["classes"]
    assert best["name"] == NAMES[said.argmax()]
    assert best["probability"] == pytest.approx(said.max(), abs=1e-6)
    assert [e["layer"] for e in one["experts"]] == ["gating"]


def test_progress_counts_rows(model, many):
    console = Console(record=True, width=100, file=open(os.devnull, "w"))
    score_table(model, many / "t.csv", many / "out.csv", console=console)
    console.file.close()
    text = console.export_text()
    assert "t.csv" in text
    assert "100% 400 rows" in text
