"""How a table was written in training is how it is read in service."""

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

import moe_keras.cards
from moe_keras.cards.table_run import _as_options
from moe_keras.cli import app
from moe_keras.prediction import load_trained, score_rows, score_table
from moe_keras.runner.data import load_data
from moe_keras.schema import Categorical
from moe_keras.training import load_recipe
from moe_keras.training.table_recipe import make_table_recipe
from moe_keras.zoo import build_risk_moe
from tests.tools import only_tensorflow

ROWS = 40
RNG = np.random.default_rng(0)
FRAME = pd.DataFrame(
    {
        "größe": RNG.integers(1000, 9_000_000, ROWS) / 4,
        "code": RNG.choice(["01", "02", "10"], ROWS),
        "y": np.resize(["good", "bad"], ROWS),
    }
)
READING = {
    "decimal": ",",
    "thousands": ".",
    "encoding": "cp1252",
    "separator": "|",
    "missing": ["-"],
    "text": ["code"],
}


@pytest.fixture
def path(tmp_path):
    marks = {ord(","): ".", ord("."): ","}
    written = FRAME.assign(
        größe=[f"{one:,.2f}".translate(marks) for one in FRAME["größe"]]
    )
    written.loc[3, "größe"] = "-"
    written.to_csv(tmp_path / "t.csv", index=False, sep="|", encoding="cp1252")
    return tmp_path / "t.csv"


def expected():
    return FRAME["größe"].where(np.arange(ROWS) != 3).to_numpy()


def test_the_recipe_says_how_a_table_is_read(path, tmp_path):
    recipe = make_table_recipe(path, "y", "bad", reading=READING)
    (tmp_path / "recipe.yaml").write_text(recipe.to_yaml(), encoding="utf-8")
    again = load_recipe(tmp_path)
    assert again == recipe
    assert {*READING} < {*again.data.options}
    rows = load_data(again, None).whole_train().inputs
    np.testing.assert_array_equal(rows["größe"], expected())
    assert rows["code"].tolist() == FRAME["code"].tolist()
    with pytest.raises(ValueError, match="`reading` must have some of"):
        make_table_recipe(path, "y", "bad", reading={"sep": ","})


def test_a_level_of_the_recipe_stays_one(tmp_path):
    """A schema of an older version may have `NA` or `None` as a level."""
    frame = FRAME.assign(code=np.resize(["None", "NA", "x"], ROWS))
    frame.to_csv(tmp_path / "t.csv", index=False)
    recipe = make_table_recipe(tmp_path / "t.csv", "y", "bad")
    schema = recipe.builder.arguments["schema"]
    levels = ["None", "x"]
    schema["categorical"] = [
        Categorical(name="code", levels=levels).model_dump()
    ]
    rows = load_data(recipe, None).whole_train().inputs
    assert rows["code"][:4].tolist() == ["None", "", "x", "None"]


@only_tensorflow
def test_a_run_reads_other_tables_alike(path, tmp_path):
    recipe = make_table_recipe(path, "y", "bad", reading=READING)
    (tmp_path / "recipe.yaml").write_text(recipe.to_yaml(), encoding="utf-8")
    data = load_data(recipe, None).whole_train()
    schema = recipe.builder.arguments["schema"]
    from moe_keras.schema import RiskSchema

    model = build_risk_moe(
        RiskSchema.model_validate(schema), data.inputs, experts={"linear": 1}
    )
    for weight in model.trainable_weights:
        weight.assign(weight + 0.3 * RNG.normal(size=weight.shape))
    model.save(tmp_path / "model.keras")
    said = np.array(model(data.inputs))
    for name in (tmp_path, tmp_path / "model.keras"):
        assert load_trained(name).reading == {
            key: READING[key] for key in READING if key != "text"
        }
    (rows,) = score_rows(tmp_path, path)
    np.testing.assert_allclose(rows.probabilities, said, atol=1e-6)
    # What is given counts.
    FRAME.to_csv(tmp_path / "plain.csv", index=False)
    plain = {
        "decimal": ".",
        "thousands": None,
        "encoding": "utf-8",
        "separator": ",",
    }
    (rows,) = score_rows(tmp_path, tmp_path / "plain.csv", **plain)
    others = np.arange(ROWS) != 3
    np.testing.assert_allclose(
        rows.probabilities[others], said[others], atol=1e-6
    )
    with pytest.raises(ValueError, match="lacks columns"):
        score_table(tmp_path, tmp_path / "plain.csv", tmp_path / "o.csv")


def test_the_command_hands_them_on(monkeypatch):
    seen = {}

    def train(*arguments, reading, **_):
        seen.update(reading)
        raise ValueError("enough")

    monkeypatch.setattr(moe_keras.cards, "train_table", train)
    options = [*_as_options(READING)]
    assert options[:4] == ["--decimal", ",", "--thousands", "."]
    result = CliRunner().invoke(
        app, ["train", "--csv", "t.csv", "--target", "y", *options]
    )
    assert "enough" in result.output
    assert seen == READING
