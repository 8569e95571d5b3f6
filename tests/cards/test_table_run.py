"""A file in, a report and a SavedModel out."""

import io
import json
import shlex
from unittest.mock import MagicMock

import numpy as np
import pytest
import tensorflow as tf
from rich.console import Console

from moe_keras.cards import table_run, train_table
from moe_keras.runner.data import load_data
from moe_keras.training.table_recipe import make_table_recipe
from tests.runner.folds import make_table
from tests.tools import only_tensorflow

pytestmark = only_tensorflow


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    folder = tmp_path_factory.mktemp("table")
    make_table().to_csv(folder / "My loans (1).csv", index=False)
    return train_table(
        *(folder / "My loans (1).csv", "risk", "bad", folder / "out"),
        drop=["age"],
        folds=2,
        epochs=1,
        console=Console(quiet=True),
    )


def test_the_folder_holds_all(done):
    assert done.recipe.name == "my_loans_1"
    text = (done.folder / "card.md").read_text()
    assert "![P(bad) against the share of bad rows]" in text
    for name in done.comparison.contestants():
        assert f"| {name} | 2 |" in text
    assert {"uniform", "logistic_bins", "random_forest"} <= set(
        done.comparison.contestants()
    )
    # It is no preset of the zoo, and says how it was made.
    assert text.startswith("# my_loans_1\n")
    for word in ("zoo/", "make cards", "test split", "shipped"):
        assert word not in text
    told = shlex.split(text.split("```bash\n")[1].split("\n```")[0])
    assert told[:2] == ["moe-keras", "train"]
    assert told[told.index("--csv") + 1].endswith("My loans (1).csv")
    assert told[told.index("--drop") + 1] == "age"
    results = json.loads((done.folder / "results.json").read_text())
    assert results["data"]["rows"] == {
        "train": 120,
        "validation": 0,
        "test": 120,
    }


def test_the_saved_model_is_the_model_of_all_rows(done):
    frame = make_table()
    columns = {
        "income": frame["income"].to_numpy(),
        "late": frame["late"].to_numpy(),
        "home": frame["home"].to_numpy(dtype=object),
    }
    said = done.load().predict(columns, verbose=0)
    served = tf.saved_model.load(str(done.folder / "saved_model"))
    serve = served.signatures["serving_default"]
    specs = serve.structured_input_signature[1]
    (found,) = serve(
        **{
            name: tf.cast(tf.constant(columns[name]), spec.dtype)
            for name, spec in specs.items()
        }
    ).values()
    np.testing.assert_allclose(found, said, atol=1e-5)
    result = json.loads(
        (done.folder / "runs/all_rows/0/result.json").read_text()
    )
    assert result["rows"] == 240
    # It has learned: who is late is worse.
    late = columns["late"]
    assert said[late >= 4, 1].mean() > said[late <= 1, 1].mean() + 0.1


def test_what_takes_long_is_said_before(tmp_path, monkeypatch):
    def publish(*_, **__):
        raise InterruptedError

    monkeypatch.setattr(table_run, "train_recipe", MagicMock())
    monkeypatch.setattr(
        table_run, "export_saved_model", lambda _, folder: folder.mkdir()
    )
    monkeypatch.setattr(table_run, "publish_compared", publish)
    make_table().to_csv(tmp_path / "a.csv", index=False)
    console = Console(width=200, record=True, file=io.StringIO())
    with pytest.raises(InterruptedError):
        train_table(
            *(tmp_path / "a.csv", "risk", "bad", tmp_path / "out"),
            console=console,
        )
    training, exporting, comparing = console.export_text().splitlines()
    assert "training on all rows" in training
    assert "exporting the model" in exporting
    assert "comparing with other models" in comparing


@pytest.mark.parametrize(
    ("bad", "positive"), [("bad", "bad"), ("good", "good")]
)
def test_which_value_is_bad(tmp_path, bad, positive):
    make_table().to_csv(tmp_path / "a.csv", index=False)
    recipe = make_table_recipe(tmp_path / "a.csv", "risk", bad)
    assert recipe.data.options["positive"] == positive
    assert recipe.epochs == 40
    # As a file that another command reads.
    assert "csv:" in recipe.to_yaml()
    same = make_table_recipe(tmp_path / "a.csv", "risk", positive=bad)
    assert same == recipe


def test_a_value_is_given_once(tmp_path):
    arguments = (tmp_path / "a.csv", "risk", "bad", tmp_path / "out")
    message = (
        "^train_table: `bad` and `positive` are two names of one argument: "
        "give one of them. Received: bad='bad', positive='good'$"
    )
    with pytest.raises(ValueError, match=message):
        train_table(*arguments, positive="good")


@pytest.mark.parametrize(("bad", "positive"), [("True", "1"), ("False", "0")])
def test_booleans_of_parquet_as_classes(tmp_path, bad, positive):
    frame = make_table()
    frame["risk"] = frame["risk"] == "bad"
    frame.to_parquet(tmp_path / "a.parquet")
    recipe = make_table_recipe(tmp_path / "a.parquet", "risk", bad)
    assert recipe.data.options["positive"] == positive
    data = load_data(recipe, None)
    expected = frame["risk"] == (bad == "True")
    assert data.whole_train().labels.tolist() == expected.tolist()


def test_numbers_as_classes(tmp_path):
    frame = make_table()
    frame["risk"] = (frame["risk"] == "bad").astype(int) + 1
    frame.to_csv(tmp_path / "a.csv", index=False)
    recipe = make_table_recipe(tmp_path / "a.csv", "risk")
    assert recipe.data.options["positive"] == "2"
    frame["risk"] = np.arange(len(frame)) % 3
    frame.to_csv(tmp_path / "a.csv", index=False)
    with pytest.raises(ValueError, match="must have two classes"):
        make_table_recipe(tmp_path / "a.csv", "risk", "2")
