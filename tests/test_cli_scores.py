"""The command `predict` for models of tables."""

import errno
import json
import os
import re
import resource
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

import moe_keras.prediction
from moe_keras.cli import app
from moe_keras.zoo import save_preset
from tests.prediction.tiny_tables import SCHEMA, expect, make_model, make_rows
from tests.tools import only_tensorflow
from tests.zoo.presets.tiny import METADATA, save_tiny

pytestmark = only_tensorflow
runner = CliRunner(env={"COLUMNS": "200", "NO_COLOR": "1", "TERM": "dumb"})
RISK = {**METADATA, "task": "risk", "classes": ["good", "bad"]}


@pytest.fixture(scope="module")
def model():
    return make_model()


@pytest.fixture(autouse=True)
def _folder(model, tmp_path, monkeypatch):
    save_preset(model, tmp_path / "risk", RISK)
    make_rows().to_csv(tmp_path / "t.csv", index=False)
    monkeypatch.chdir(tmp_path)


def run(*arguments, code=0):
    result = runner.invoke(app, ["predict", *arguments])
    assert result.exit_code == code, result.output
    assert "Traceback" not in result.output
    return result


def test_scores_into_a_file(tmp_path):
    result = run("risk", "t.csv", "--out", "s.csv", "--id", "name")
    assert result.stdout.endswith("wrote s.csv\n")
    assert re.search(r"p bad +│ 0\.\d{4} in the mean", result.stdout)
    found = pd.read_csv("s.csv")
    said = expect(moe_keras.prediction.load_trained("risk").model, make_rows())
    np.testing.assert_allclose(found["p_bad"], said[:, 1], atol=1e-6)
    assert found["name"][0] == "client 0"
    assert "60 rows" in result.stderr


def test_what_is_not_read_and_not_known_is_said_once():
    frame = make_rows().assign(home="caravan")
    frame = pd.concat(
        [frame, pd.DataFrame(0, frame.index, list("jklmnopq"))], axis=1
    )
    frame.to_csv("t.csv", index=False)
    text = run("risk", "t.csv", "--out", "s.csv").stdout
    assert text.count("name, j, k, l, m, n, o, p and 1 others") == 1
    assert "60 rows with a level that the model has not got" in text


def test_the_first_rows_are_shown():
    text = run("risk", "t.csv").stdout
    assert len(re.findall("gating: (?:linear|low_rank)", text)) == 20
    assert "the first 20 rows; --out SCORES.csv writes them all" in text
    make_rows(20).to_csv("t.csv", index=False)
    assert "the first 20 rows" not in run("risk", "t.csv").stdout


def test_json():
    found = json.loads(run("risk", "t.csv", "--json", "--top", "1").stdout)
    assert found["model"] == "risk"
    assert [one["row"] for one in found["predictions"]] == [*range(2, 62)]
    assert all(len(one["classes"]) == 1 for one in found["predictions"])
    result = run("risk", "t.csv", "--json", "--out", "s.json")
    assert json.loads(result.stdout)["rows"] == 60
    with open("s.json") as file:
        assert len(json.load(file)["predictions"]) == 60


def test_options_of_csv(tmp_path):
    frame = make_rows()
    frame.to_csv(
        "t.csv",
        index=False,
        sep="|",
        decimal=",",
        encoding="utf-16",
        na_rep="-",
    )
    options = ["--separator", "|", "--decimal", ",", "--encoding", "utf-16"]
    run("risk", "t.csv", "--out", "s.csv", *options, "--missing", "-")
    said = expect(moe_keras.prediction.load_trained("risk").model, frame)
    np.testing.assert_allclose(
        pd.read_csv("s.csv")["p_bad"], said[:, 1], atol=1e-6
    )


def test_the_model_of_all_rows_comes_before_the_preset(tmp_path):
    """As in the folder of a table's training, which has both."""
    other = make_model(experts={"linear": 1})
    other.save(tmp_path / "risk" / "model.keras")
    run("risk", "t.csv", "--out", "s.csv")
    said = expect(other, make_rows())
    found = pd.read_csv("s.csv")
    np.testing.assert_allclose(found["p_bad"], said[:, 1], atol=1e-6)


def test_stopped_by_hand(monkeypatch, tmp_path):
    def stop(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(moe_keras.prediction, "score_table", stop)
    result = run("risk", "t.csv", "--out", "s.csv", code=130)
    assert result.stderr == "stopped; no file was written\n"


def test_what_is_wrong_is_said_in_a_sentence(tmp_path):
    SCHEMA.to_yaml("schema.yaml")
    frame = make_rows()
    frame.loc[0, "limit"] = -1
    frame.to_csv("low.csv", index=False)
    save_tiny(tmp_path / "toy")
    for arguments, message in (
        (["risk", "t.csv", "t.csv"], "risk reads tables: name one of them"),
        (["risk", "t.csv", "--text", "a"], "risk reads tables: name one"),
        (["risk", "none.csv"], "score_table: no such file: none.csv"),
        (["risk", "low.csv", "--schema", "schema.yaml"], "beyond the minimum"),
        (["risk", "t.csv", "--out", "t.csv"], "another file than the table"),
        (["toy", "t.csv", "--id", "name"], "takes no --id"),
        (["toy", "t.csv"], "must end in .png"),
    ):
        found = run(*arguments, code=2).stderr
        assert found.startswith("error: ")
        assert message in found


def test_files_of_other_kinds_are_not_for_it(model):
    with pytest.raises(ValueError, match="asked with `score_table`"):
        moe_keras.prediction.predict_files(model, ["t.csv"])


def test_a_full_disk_names_the_file_and_leaves_what_was_there():
    (Path("s.csv")).write_text("before")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        found = run("risk", "t.csv", "--out", "s.csv", code=2)
        printed = run("risk", "t.csv", "--out", "s.json", "--json", code=2)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    for name, result in (("s.csv", found), ("s.json", printed)):
        assert f"error: cannot write {name}: File too large" in result.stderr
        assert "[Errno" not in result.stderr
    assert Path("s.csv").read_text() == "before"
    assert not Path("s.json").exists()
    assert list(Path().glob(".*.part")) == []


def test_a_full_disk_behind_the_output_is_a_sentence(monkeypatch):
    def fail(*_, **__):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(moe_keras.prediction, "score_rows", fail)
    result = run("risk", "t.csv", "--json", code=2)
    text = "error: cannot write the output: No space left on device\n"
    # A machine that is busy may have shown a bar before.
    assert result.stderr.endswith(text)
