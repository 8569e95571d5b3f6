"""The commands `list` and `predict`."""

import csv
import json

import numpy as np
import pytest
from typer.testing import CliRunner

from moe_keras.cli import app
from moe_keras.zoo.presets import packaged
from tests.tools import draw
from tests.zoo.presets.tiny import save_tiny, tiny_model

runner = CliRunner(env={"COLUMNS": "200", "NO_COLOR": "1", "TERM": "dumb"})


@pytest.fixture(autouse=True)
def _zoo(tmp_path, monkeypatch):
    save_tiny(tmp_path / "zoo" / "image" / "toy_moe")
    monkeypatch.setattr(packaged, "zoo_root", lambda: tmp_path / "zoo")
    np.save(tmp_path / "many.npy", draw(2, 8, 8))
    monkeypatch.chdir(tmp_path)


def run(*arguments, code=0):
    result = runner.invoke(app, arguments)
    assert result.exit_code == code, result.output
    return result.output


def test_list():
    text = run("list")
    assert "image/toy_moe" in text
    assert "0.91 ± 0.01 (3 seeds)" in text
    assert run("list", "--task", "text") == "no presets for text\n"


def test_list_as_json():
    (row,) = json.loads(run("list", "--json"))
    assert row["handle"] == "image/toy_moe"
    assert len(row["sha256"]) == 64


def test_predict():
    text = run("predict", "image/toy_moe", "many.npy", "--top", "2")
    assert "many.npy [1]" in text
    assert "moe_0_0_gate: " in text


def test_predict_as_json():
    found = json.loads(run("predict", "image/toy_moe", "many.npy", "--json"))
    assert [one["row"] for one in found["predictions"]] == [0, 1]


@pytest.mark.parametrize("name", ["out.csv", "out.json"])
def test_predict_into_a_file(tmp_path, name):
    text = run("predict", "image/toy_moe", "many.npy", "--out", name)
    assert text == f"wrote {name}\n"
    written = (tmp_path / name).read_text()
    if name == "out.csv":
        rows = list(csv.DictReader(written.splitlines()))
    else:
        rows = json.loads(written)["predictions"]
    assert [int(row["row"]) for row in rows] == [0, 1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["no/such", "many.npy"], "error: load_preset: neither a preset"),
        (["image/toy_moe", "x.png"], "error: predict_files: there is no such"),
        (["image/toy_moe", "many.npy", "--out", "a.txt"], "error: --out must"),
        (["image/toy_moe"], "error: name a FILE, or give a --text"),
        (
            ["image/toy_moe", "--text", "a"],
            "error: predict_texts: the model must",
        ),
        (["image/toy_moe", "many.npy", "--top", "0"], "--top"),
    ],
)
def test_what_is_wrong_is_said_in_a_sentence(arguments, message):
    text = run("predict", *arguments, code=2)
    assert message in text
    assert "Traceback" not in text


def test_names_of_classes_may_be_given(tmp_path):
    tiny_model().save(tmp_path / "my.keras")
    (tmp_path / "names.txt").write_text("\ufeffmug\n\n cup \nplate\n")
    for given in ("mug,cup,plate", "names.txt"):
        asked = ("predict", "my.keras", "many.npy", "--json", "--classes")
        found = json.loads(run(*asked, given))
        for one in found["predictions"]:
            names = {score["name"] for score in one["classes"]}
            assert names == {"mug", "cup", "plate"}
    asked = ("predict", "my.keras", "many.npy", "--classes")
    text = run(*asked, "mug,cup", code=2)
    assert "error: predict: `classes` must have one name for each" in text
    (tmp_path / "bad.txt").write_bytes(b"\xff")
    assert "error: --classes bad.txt: " in run(*asked, "bad.txt", code=2)
