"""`moe-keras train` and `moe-keras evaluate`: options in, sentences out."""

import json
import resource

import pytest
from typer.testing import CliRunner

import moe_keras.cards
import moe_keras.runner
from moe_keras.cli import app
from tests.runner.test_evaluate import save
from tests.training.recipes import SMALL

runner = CliRunner(env={"COLUMNS": "80", "NO_COLOR": "1", "TERM": "dumb"})


@pytest.fixture
def recipe(tmp_path):
    file = tmp_path / "recipe.yaml"
    file.write_text(SMALL.lstrip().replace("epochs: 3", "epochs: 1"))
    return file


@pytest.fixture
def calls(monkeypatch, tmp_path):
    """Trainings that were asked for; none is done."""
    asked = []

    def remember(recipe, seed, out, data_dir, **options):
        options.pop("console")
        asked.append((recipe.name, seed, out, data_dir, options))
        result = {
            "seed": seed,
            "accuracy": 0.5 + 0.1 * seed,
            "log_loss": 1.0,
            "ece": 0.25,
            "parameters": 1234,
            "active_multiply_adds": 5.6e6,
            "total_multiply_adds": None,
            "train_seconds": 7.0,
        }
        return moe_keras.runner.TrainedModel(tmp_path / str(seed), result, {})

    monkeypatch.setattr(moe_keras.runner, "train_recipe", remember)
    return asked


def run(*arguments):
    return runner.invoke(app, list(map(str, arguments)))


def error_of(*arguments):
    result = run(*arguments)
    assert result.exit_code == 2, result.output
    # Nothing but the one line, and no traceback.
    assert isinstance(result.exception, SystemExit)
    assert result.stderr.startswith("error: ")
    assert "Traceback" not in result.output
    return result.stderr


def test_all_seeds_of_the_recipe(recipe, calls):
    result = run("train", recipe)
    assert result.exit_code == 0, result.output
    options = {"resume": True, "baseline": None}
    assert calls == [
        ("small", 3, None, None, options),
        ("small", 5, None, None, options),
    ]
    # 80 and 100 %: mean 90, SD 14.14.
    assert "90.00 ± 14.14" in result.output
    assert "1.23k" in result.output
    assert "5.6M" in result.output


def test_options_arrive(recipe, calls, tmp_path):
    result = run(
        *("train", recipe.parent, "--seed", 1, "--seed", 2, "--fresh"),
        *("--out", tmp_path / "o", "--data-dir", tmp_path, "--baseline", "b"),
    )
    assert result.exit_code == 0, result.output
    options = {"resume": False, "baseline": "b"}
    assert calls == [
        ("small", seed, tmp_path / "o", tmp_path, options) for seed in (1, 2)
    ]


def test_threads_are_set_before_tensorflow_starts(recipe, calls, monkeypatch):
    import os

    for name in ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"):
        monkeypatch.setenv(name, "7")
    run("train", recipe, "--threads", 2)
    assert os.environ["TF_NUM_INTRAOP_THREADS"] == "2"
    assert os.environ["TF_NUM_INTEROP_THREADS"] == "2"


def test_a_bad_recipe(recipe):
    recipe.write_text(recipe.read_text().replace("crop: 1", "crop: -1"))
    assert error_of("train", recipe) == (
        f"error: {recipe}:12: augmentation.crop: Input should be greater than "
        "or equal to 0. Received: crop=-1\n"
    )


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("name: digits", "name: digitz", "Received: name='digitz'"),
        ("name: digits", "name: 'csv:none.csv?target=y'", "none.csv"),
        ("digits}", "digits, options: {size: 3}}", "no such option"),
        ("top_k: 2", "top_k: 5", "top_k=5"),
    ],
)
def test_bad_values_behind_a_good_recipe(recipe, tmp_path, old, new, message):
    text = recipe.read_text()
    assert old in text
    recipe.write_text(text.replace(old, new))
    assert message in error_of("train", recipe, "--out", tmp_path / "out")


def test_no_such_baseline(recipe, tmp_path):
    found = error_of("train", recipe, "--out", tmp_path, "--baseline", "b")
    assert "the recipe's baselines are []. Received: baseline='b'" in found


def test_a_traceback_for_those_who_want_it(recipe, monkeypatch):
    monkeypatch.setenv("MOE_KERAS_TRACEBACK", "1")
    recipe.write_text("name: [")
    result = run("train", recipe)
    assert isinstance(result.exception, ValueError)


def test_stopped_by_hand(recipe, monkeypatch):
    def stop(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(moe_keras.runner, "train_recipe", stop)
    result = run("train", recipe)
    assert result.exit_code == 130
    assert "goes on from its last checkpoint" in result.stderr


def test_a_full_disk_is_one_error(recipe, tmp_path):
    """The second checkpoint does not fit, and the first one stays."""
    recipe.write_text(recipe.read_text().replace("epochs: 1", "epochs: 2"))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    arguments = ("train", recipe, "--seed", "3", "--out", tmp_path / "out")
    folder = tmp_path / "out" / "3" / "checkpoints"
    write = moe_keras.training.checkpoint.write_file

    def write_to_a_small_disk(path, content):
        if "000002" in path.name:
            size = len(content) // 2
            resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
        write(path, content)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            moe_keras.training.checkpoint, "write_file", write_to_a_small_disk
        )
        try:
            found = error_of(*arguments)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert "cannot write the checkpoint" in found
    assert "epoch-000001.npz is intact" in found
    assert [path.name for path in folder.iterdir()] == ["epoch-000001.npz"]
    # With room again, it goes on from there.
    result = run(*arguments)
    assert result.exit_code == 0, result.output
    assert "goes on from its last checkpoint" in result.output.replace("\n", "")


def test_evaluate(tmp_path):
    save(tmp_path / "model.keras")
    result = run("evaluate", tmp_path, "--data", "digits")
    assert result.exit_code == 0, result.output
    found = json.loads((tmp_path / "evaluation_test.json").read_text())
    assert f"{100 * found['accuracy']:.2f}" in result.output
    assert "digits, test split, 360 rows" in result.output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "there is no trained model"),
        (["--split", "train"], "Received: split='train'"),
    ],
)
def test_evaluate_says_what_is_wrong(tmp_path, arguments, message):
    assert message in error_of("evaluate", tmp_path, *arguments)


def test_evaluate_on_data_that_are_not_there(tmp_path):
    save(tmp_path / "model.keras")
    name = "tfds:fashion_mnist"
    found = error_of(
        *("evaluate", tmp_path, "--data", name, "--data-dir", tmp_path)
    )
    assert "fashion_mnist" in found


def test_a_broken_file(tmp_path):
    (tmp_path / "model.keras").write_bytes(b"half a mod")
    found = error_of("evaluate", tmp_path, "--data", "digits")
    assert "cannot be read as a Keras model" in found


@pytest.mark.parametrize("option", ["--positive", "--bad"])
def test_a_table_instead_of_a_recipe(option, monkeypatch, tmp_path):
    asked = []

    def stop(*arguments, console, **options):
        asked.append((arguments, options))
        raise ValueError("stop here")

    monkeypatch.setattr(moe_keras.cards, "train_table", stop)
    file = tmp_path / "loans.csv"
    error_of(
        *("train", "--csv", file, "--target", "risk", option, "bad"),
        *("--drop", "id", "--drop", "date", "--folds", 3, "--out", tmp_path),
    )
    given = (file, "risk", "bad", tmp_path, ["id", "date"], 3)
    assert asked == [(given, {"reading": {}})]


@pytest.mark.parametrize(
    "arguments",
    [
        ("--csv", "a.csv"),
        ("--target", "a"),
        ("r", "--csv", "a", "--target", "b"),
    ],
)
def test_a_table_and_its_target_go_together(arguments):
    assert "go together" in error_of("train", *arguments)


@pytest.mark.parametrize(
    "option", [("--seed", 1), ("--fresh",), ("--baseline", "a")]
)
def test_what_a_table_does_not_take(option, tmp_path):
    arguments = ("--csv", tmp_path / "a.csv", "--target", "b", *option)
    assert "are for recipes" in error_of("train", *arguments)


def test_nothing_to_train():
    assert "name a recipe, or a table" in error_of("train")
