"""A folder of `train_table` belongs to one request, and says when it is done.

Nothing is trained here: what takes long is put aside.
"""

import io
import json
import shutil

import pytest
from rich.console import Console

from moe_keras import one_writer
from moe_keras.cards import publish, table_run, train_table
from moe_keras.cards.table_folder import default_folder
from moe_keras.one_writer import FolderInUse
from moe_keras.prediction import load_trained
from moe_keras.runner import TrainedModel
from moe_keras.runner.files import MODEL, finish
from moe_keras.storage import write_file, write_model
from moe_keras.training import load_recipe
from moe_keras.training.recipe_file import RecipeError
from tests.runner.folds import make_table
from tests.tools import only_tensorflow
from tests.zoo.presets.tiny import METADATA, save_preset, tiny_model

pytestmark = only_tensorflow


class Steps:
    """Stands for training, publishing and export; stops before one of them."""

    def __init__(self, patch):
        self.stop = None
        self.recipes = []
        self.model = tiny_model()
        patch.setattr(table_run, "train_recipe", self.train)
        patch.setattr(table_run, "publish_compared", self.publish)
        patch.setattr(table_run, "export_saved_model", self.export)
        patch.setattr(table_run, "write_file", self.write)

    def begin(self, step):
        if self.stop == step:
            raise KeyboardInterrupt

    def train(self, recipe, seed, out, console):
        self.begin("all rows" if recipe.folds is None else "fold")
        self.recipes.append(recipe)
        folder = out / str(seed)
        write_model(folder / MODEL, self.model)
        finish(folder, {"training": {}})
        return TrainedModel(folder, {}, {})

    def publish(self, recipe, folder, runs, command, served):
        self.begin("publish")
        # What the card's latency is of.
        assert (served / "half").is_file()
        save_preset(self.model, folder, METADATA)
        return {}, None

    def export(self, model, folder):
        folder.mkdir()
        (folder / "half").write_text("")
        self.begin("export")

    def write(self, path, content):
        self.begin("write")
        write_file(path, content)


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tables")
    make_table().to_csv(folder / "loans.csv", index=False)
    return folder / "loans.csv"


@pytest.fixture
def steps(monkeypatch):
    return Steps(monkeypatch)


def train(table, out, bad="bad", **options):
    given = {"folds": 2, "epochs": 1, "target": "risk", **options}
    return train_table(
        table, bad=bad, out=out, console=Console(file=io.StringIO()), **given
    )


def interrupt(steps, table, out, **options):
    steps.stop = "fold"
    with pytest.raises(KeyboardInterrupt):
        train(table, out, **options)
    steps.stop = None


@pytest.mark.parametrize(
    ("other", "named"),
    [
        ({"bad": "good"}, "['data.positive'], there=['bad'], asked=['good']"),
        ({"folds": 3}, "['folds'], there=[2], asked=[3]"),
        ({"epochs": 2}, "['epochs'], there=[1], asked=[2]"),
        ({"drop": ["age"]}, "['data.drop'], there=[[]], asked=[['age']]"),
        ({"target": "home", "bad": "own"}, "['data.target', 'data.positive']"),
    ],
)
def test_another_request_is_refused_with_what_differs(
    steps, table, tmp_path, other, named
):
    interrupt(steps, table, tmp_path / "out")
    before = (tmp_path / "out" / "recipe.yaml").read_text()
    if other.get("target") == "home":
        frame = make_table()
        frame["home"] = frame["home"].where(frame["home"] == "own", "rent")
        table = tmp_path / "homes.csv"
        frame.to_csv(table, index=False)
        interrupt(steps, table, tmp_path / "homes")
        out = tmp_path / "homes"
    else:
        out = tmp_path / "out"
    with pytest.raises(ValueError, match="training of another table") as caught:
        train(table, out, **other)
    assert f"different={named}" in str(caught.value)
    assert steps.recipes == []
    assert (tmp_path / "out" / "recipe.yaml").read_text() == before
    # The first one goes on.
    train(table, out)
    assert steps.recipes[0].data.options["positive"] == "bad"


def test_another_table_of_the_same_name_is_refused(
    steps, table, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    for place, frame in (("a", make_table()), ("b", make_table()[::-1])):
        (tmp_path / place).mkdir()
        frame.to_csv(tmp_path / place / "loans.csv", index=False)
    done = train("a/loans.csv", None)
    assert str(done.folder) == "runs/loans"
    with pytest.raises(ValueError, match=r"different=\['data\.sha256'\]"):
        train("b/loans.csv", None)


def test_a_table_that_has_changed_is_refused(steps, tmp_path):
    make_table().to_csv(tmp_path / "a.csv", index=False)
    interrupt(steps, tmp_path / "a.csv", tmp_path / "out")
    make_table()[5:].to_csv(tmp_path / "a.csv", index=False)
    with pytest.raises(ValueError, match=r"different=\['data\.sha256'\]"):
        train(tmp_path / "a.csv", tmp_path / "out")


def test_a_table_that_was_moved_is_the_same(steps, table, tmp_path):
    old, new = tmp_path / "old.csv", tmp_path / "new.csv"
    shutil.copy(table, old)
    interrupt(steps, old, tmp_path / "out")
    old.rename(new)
    done = train(new, tmp_path / "out")
    assert done.recipe.data.name == f"csv:{new}"


@pytest.mark.parametrize("folds", [1, 10**6, 2.5])
def test_folds_that_cannot_be_leave_no_trace(steps, table, tmp_path, folds):
    with pytest.raises(ValueError, match="rows of the rarer class") as caught:
        train(table, tmp_path / "out", folds=folds)
    assert f"folds={folds}" in str(caught.value)
    assert not (tmp_path / "out").exists()
    assert train(table, tmp_path / "out").recipe.folds == 2


def test_too_few_rows_of_a_class_for_the_folds_inside(steps, tmp_path):
    frame = make_table()
    bad = frame.index[frame["risk"] == "bad"]
    frame.drop(bad[4:]).to_csv(tmp_path / "few.csv", index=False)
    with pytest.raises(ValueError, match="of which 3 must be left"):
        train(tmp_path / "few.csv", tmp_path / "out")
    assert train(tmp_path / "few.csv", tmp_path / "out", folds=4)


def test_what_the_reader_has_changed_counts(steps, table, tmp_path):
    interrupt(steps, table, tmp_path)
    file = tmp_path / "recipe.yaml"
    file.write_text(file.read_text().replace("\nepochs: 1\n", "\nepochs: 7\n"))
    done = train(table, tmp_path)
    assert done.recipe.epochs == steps.recipes[0].epochs == 7
    # Another request is another one all the same.
    with pytest.raises(ValueError, match="another table"):
        train(table, tmp_path, bad="good")


def test_a_recipe_of_another_table_is_refused(steps, table, tmp_path):
    interrupt(steps, table, tmp_path)
    make_table()[1:].to_csv(tmp_path / "other.csv", index=False)
    file = tmp_path / "recipe.yaml"
    text = file.read_text()
    file.write_text(text.replace(str(table), str(tmp_path / "other.csv")))
    with pytest.raises(ValueError, match="names a table with other rows"):
        train(table, tmp_path)


@pytest.mark.parametrize("content", ["", "\n"])
def test_an_empty_recipe_is_made_anew(steps, table, tmp_path, content):
    interrupt(steps, table, tmp_path)
    (tmp_path / "recipe.yaml").write_text(content)
    train(table, tmp_path)
    assert load_recipe(tmp_path).folds == 2


def test_half_a_recipe_is_a_sentence(steps, table, tmp_path):
    interrupt(steps, table, tmp_path)
    text = (tmp_path / "recipe.yaml").read_text()
    for size in (len(text) // 3, len(text) // 2):
        (tmp_path / "recipe.yaml").write_text(text[:size])
        with pytest.raises(RecipeError, match="or remove it to have it made"):
            train(table, tmp_path)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"request": {}}'])
def test_a_damaged_request_is_refused(steps, table, tmp_path, text):
    interrupt(steps, table, tmp_path)
    (tmp_path / "run.json").write_text(text)
    with pytest.raises(ValueError, match=r"run\.json|another table"):
        train(table, tmp_path)


def test_a_folder_of_an_earlier_version(steps, table, tmp_path):
    interrupt(steps, table, tmp_path)
    (tmp_path / "run.json").unlink()
    with pytest.raises(ValueError, match=r"different=\['data\.positive'\]"):
        train(table, tmp_path, bad="good")
    with pytest.raises(ValueError, match=r"different=\['folds'\]"):
        train(table, tmp_path, folds=3)
    assert not (tmp_path / "run.json").exists()
    train(table, tmp_path)
    assert (tmp_path / "run.json").exists()


def test_names_of_files_do_not_meet(table, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = [
        *("loans.csv", "Loans.csv", "loans.parquet", "Loans-2023.csv"),
        *("loans 2023.csv", "loans_2023.csv", "贷款.csv", "客户.csv", "Ü.csv"),
        *("table.csv", "credit.csv.gz", "credit.csv"),
    ]
    frame = make_table()
    found = set()
    for name in names:
        if name.endswith(".csv"):
            frame.to_csv(tmp_path / name, index=False)
            recipe = table_run.make_table_recipe(tmp_path / name, "risk", "bad")
            slug = recipe.name
        else:
            slug = name.partition(".")[0]
        found.add(default_folder(tmp_path / name, slug))
    assert len(found) == len(names)
    assert default_folder(tmp_path / "loans.csv", "loans").name == "loans"
    for folder in found:
        assert folder.name.isascii()


def test_an_earlier_versions_folder_is_gone_on_with(
    steps, table, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    shutil.copy(table, "Loans-2023.csv")
    interrupt(steps, "Loans-2023.csv", "runs/loans_2023")
    (tmp_path / "runs/loans_2023/run.json").unlink()
    done = train("Loans-2023.csv", None)
    assert str(done.folder) == "runs/loans_2023"


def test_a_folder_whose_name_no_preset_can_have(steps, table, tmp_path):
    with pytest.raises(ValueError, match="the folder's name, which is the"):
        train(table, tmp_path / "my runs")
    assert not (tmp_path / "my runs").exists()


STOPS = ["fold", "all rows", "export", "publish", "write"]


def test_a_folder_that_is_not_done_has_no_model(steps, table, tmp_path):
    """Stopped at each step: a sentence; and at the end, the model of all."""
    for stop in STOPS:
        steps.stop = stop
        with pytest.raises(KeyboardInterrupt):
            train(table, tmp_path)
        with pytest.raises(ValueError, match="is not done, and the model of"):
            load_trained(tmp_path)
        done = stop in ("publish", "write")
        assert (tmp_path / "saved_model").exists() == done
    steps.stop = None
    train(table, tmp_path)
    assert load_trained(tmp_path).classes == ("bag", "coat", "dress")
    assert [one for one in tmp_path.glob(".*.part")] == []


def test_nor_has_one_of_an_earlier_version(steps, table, tmp_path):
    steps.stop = "all rows"
    with pytest.raises(KeyboardInterrupt):
        train(table, tmp_path)
    (tmp_path / "run.json").unlink()
    with pytest.raises(ValueError, match="is not done, and the model of"):
        load_trained(tmp_path)


def test_the_model_before_a_change_is_no_model(steps, table, tmp_path):
    """What its reader has changed is trained anew, and stopped on the way."""
    train(table, tmp_path)
    shutil.rmtree(tmp_path / "runs")
    steps.stop = "publish"
    with pytest.raises(KeyboardInterrupt):
        train(table, tmp_path)
    with pytest.raises(ValueError, match="is not done, and the model of"):
        load_trained(tmp_path)


def test_two_at_once(steps, table, tmp_path, monkeypatch):
    monkeypatch.setattr(one_writer, "PATIENCE_SECONDS", 0.01)
    first = steps.publish

    def second(*arguments, **options):
        with pytest.raises(FolderInUse, match="train_table: another process"):
            train(table, tmp_path)
        return first(*arguments, **options)

    monkeypatch.setattr(table_run, "publish_compared", second)
    assert train(table, tmp_path).load()


def test_a_preset_is_held_while_it_is_published(table, tmp_path, monkeypatch):
    monkeypatch.setattr(one_writer, "PATIENCE_SECONDS", 0.01)
    with one_writer.one_writer(tmp_path, "another"):
        with pytest.raises(FolderInUse, match="publish_recipe: another"):
            publish.publish_recipe(None, tmp_path)


def test_the_request_is_written_down_first(steps, table, tmp_path):
    interrupt(steps, table, tmp_path)
    found = json.loads((tmp_path / "run.json").read_text())
    assert found["request"]["data"]["positive"] == "bad"
    assert found["request"]["folds"] == 2
