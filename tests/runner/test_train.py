"""A run: its files, its scores, and what it does not read."""

import hashlib
import io
import json
import shutil
import subprocess
import sys

import keras
import numpy as np
import pytest
from rich.console import Console

import moe_keras.runner.train as runner_train
from moe_keras import one_writer
from moe_keras.data import load_dataset
from moe_keras.insight import classification_scores
from moe_keras.ops.cost import count_multiply_adds
from moe_keras.runner import data as runner_data
from moe_keras.runner import evaluate_run, train_recipe
from moe_keras.runner.plan import digest
from moe_keras.training import Recipe
from tests.training.recipes import small
from tests.training.trainings import Interrupt, Interruption, Refuse


def quiet():
    return Console(file=io.StringIO(), width=80)


def recipe(**changes):
    return Recipe.model_validate(
        small(
            epochs=2,
            baselines=[
                "active_twin",
                {"name": "tiny", "arguments": {"stem_filters": 1}},
            ],
            **changes,
        )
    )


def train(out, *callbacks, **options):
    options = {"recipe": recipe(), "seed": 3, **options}
    return train_recipe(
        out=out, console=quiet(), callbacks=callbacks, **options
    )


class Blind:
    """A data set without a test split."""

    def __init__(self, data):
        self._data = data

    def __getattr__(self, name):
        assert name != "test"
        return getattr(self._data, name)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run that was killed between its last epoch and its result."""

    def interrupt(*arguments):
        raise Interruption

    def load_blind(*arguments, **options):
        return Blind(load_dataset(*arguments, **options))

    folder = tmp_path_factory.mktemp("run")
    with pytest.MonkeyPatch.context() as patch:
        # Neither for training nor for the result is the test split read.
        patch.setattr(runner_data, "load_dataset", load_blind)
        with pytest.MonkeyPatch.context() as kill:
            kill.setattr(runner_train, "finish", interrupt)
            with pytest.raises(Interruption):
                train(folder)
        assert not (folder / "3" / "result.json").exists()
        # Nothing is left to train.
        return train(folder, Refuse())


def test_it_leaves_these_files(run):
    assert run.folder.name == "3"
    assert {path.name for path in run.folder.iterdir()} >= {
        "model.keras",
        "history.json",
        "result.json",
    }
    assert not (run.folder / "checkpoints").exists()
    assert json.loads((run.folder / "result.json").read_text()) == run.result
    assert json.loads((run.folder / "history.json").read_text()) == run.history
    assert set(map(len, run.history.values())) == {2}


def test_scores_are_those_of_the_saved_model(run):
    rows = load_dataset("digits").validation
    model = run.load()
    expected = classification_scores(
        rows.labels, model.predict(rows.inputs, verbose=0)
    )
    for name, value in expected.items():
        assert run.result[name] == pytest.approx(value, abs=1e-6)
    best = run.result["best_epoch"]
    accuracies = run.history["val_accuracy"]
    assert best == int(np.argmax(accuracies))
    assert run.result["accuracy"] == pytest.approx(accuracies[best], abs=1e-6)
    assert run.result["rows"] == len(rows)
    assert run.result["classes"] == list("0123456789")


def test_the_model_is_loaded_with_the_layers_alone(run):
    program = (
        "import sys, keras, moe_keras.layers\n"
        "model = keras.saving.load_model(sys.argv[1])\n"
        "assert 'moe_keras.training' not in sys.modules\n"
        "assert model.loss == 'sparse_categorical_crossentropy'\n"
    )
    file = str(run.folder / "model.keras")
    subprocess.run([sys.executable, "-c", program, file], check=True)


def test_cost_counts_the_chosen_experts(run):
    """By hand: the share of rows that reach each expert, times its cost."""
    model, rows = run.load(), load_dataset("digits").validation
    moe = model.get_layer("moe")
    maps = keras.Model(model.input, moe.input).predict(rows.inputs, verbose=0)
    gates = moe.gate(maps, training=False)
    load = np.mean(keras.ops.convert_to_numpy(gates) > 0, axis=0)
    found = count_multiply_adds(model, expert_load={moe.name: load})
    assert run.result["active_multiply_adds"] == pytest.approx(found.active)
    assert run.result["total_multiply_adds"] == found.total
    assert run.result["parameters"] == model.count_params()
    assert sum(load) == pytest.approx(2)


def test_the_result_says_what_it_came_from(run):
    result = run.result
    assert result["training"]["recipe"] == recipe().training_facts()
    assert result["training"]["seed"] == result["seed"] == 3
    assert result["versions"]["keras"] == keras.__version__
    assert result["backend"] == "tensorflow"
    assert 0 < result["train_seconds"]
    assert 0 < result["cpu_seconds"]
    assert result["restarts"] == []


def test_interrupted_and_gone_on(run, tmp_path):
    with pytest.raises(Interruption):
        train(tmp_path, Interrupt(1, 4))
    again = train(tmp_path)
    assert again.result["restarts"] == [1]
    assert again.history == run.history
    for name in ("accuracy", "log_loss", "ece", "best_epoch"):
        assert again.result[name] == run.result[name]
    pairs = zip(
        run.load().get_weights(), again.load().get_weights(), strict=True
    )
    for left, right in pairs:
        np.testing.assert_array_equal(left, right)


def test_what_is_done_is_not_done_again(run):
    again = train(run.folder.parent, Refuse())
    assert again.result == run.result
    assert again.history == run.history


def test_afresh(tmp_path):
    with pytest.raises(Interruption):
        train(tmp_path, Interrupt(1, 0))
    with pytest.raises(Interruption):
        train(tmp_path, Refuse(), resume=False)
    assert not list((tmp_path / "3").rglob("*.npz"))


def test_another_training_in_the_folder_is_refused(run):
    other = recipe(batch_size=32)
    with pytest.raises(ValueError, match=r"another.*'recipe.batch_size'"):
        train(run.folder.parent, recipe=other)


def test_baselines_go_beside_it(tmp_path):
    stop = Refuse()
    with pytest.raises(Interruption):
        train(tmp_path, stop, baseline="active_twin")
    assert stop.model.name == "small_active_twin"
    with pytest.raises(Interruption):
        train(tmp_path, stop, baseline="tiny")
    assert stop.model.get_layer("stem_conv").filters == 1
    with pytest.raises(ValueError, match=r"\['active_twin', 'tiny'\].*'big'"):
        train(tmp_path, baseline="big")


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_the_policy_is_put_back(tmp_path, policy):
    stop = Refuse()
    with pytest.raises(Interruption):
        train(tmp_path, stop, recipe=recipe(dtype_policy=policy))
    assert stop.model.get_layer("stem_conv").dtype_policy.name == policy
    assert keras.config.dtype_policy().name == "float32"


def test_another_task_is_refused(tmp_path):
    table = recipe(data={"name": "breast_cancer"})
    with pytest.raises(ValueError, match=r"tabular\. Received: task='image'"):
        train(tmp_path, recipe=table)


def test_a_seed_out_of_range(tmp_path):
    with pytest.raises(ValueError, match="Received: seed=-1"):
        train(tmp_path, seed=-1)


def test_a_digest_tells_rows_apart():
    one, two = load_dataset("digits"), load_dataset("breast_cancer")
    assert digest(one.train) == digest(load_dataset("digits").train)
    splits = (one.train, one.validation, two.train, two.validation)
    assert len({digest(split) for split in splits}) == 4
    changed = one.train.inputs.copy()
    changed[5, 0, 0, 0] += 1
    other = type(one.train)(changed, one.train.labels)
    assert digest(other) != digest(one.train)
    texts = load_dataset("synthetic_reviews", size=20, test_size=5).train
    assert digest(texts) != digest(texts.take(slice(1, None)))


def test_evaluate_reads_the_test_split(run):
    (evaluation,) = evaluate_run(run.folder.parent)
    rows = load_dataset("digits").test
    expected = classification_scores(
        rows.labels, run.load().predict(rows.inputs, verbose=0)
    )
    for name, value in expected.items():
        assert evaluation.result[name] == pytest.approx(value, abs=1e-6)
    assert evaluation.result["rows"] == 360
    assert evaluation.file == run.folder / "evaluation_test.json"
    assert json.loads(evaluation.file.read_text()) == evaluation.result


@pytest.mark.parametrize("name", ["model.keras", "history.json", "result.json"])
def test_a_damaged_file_is_refused_by_name(run, tmp_path, name):
    """Each bit counts: a score that reads 0.91 for 0.81 is JSON too."""
    shutil.copytree(run.folder, tmp_path / "3")
    file = tmp_path / "3" / name
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    with pytest.raises(ValueError, match="is not what the training has") as e:
        train(tmp_path, Refuse()).load()
    assert str(file) in str(e.value)
    # As it says: without the folder, it is trained again.
    shutil.rmtree(tmp_path / "3")
    with pytest.raises(Interruption):
        train(tmp_path, Refuse())


def test_a_run_of_an_earlier_version_has_no_sums(run, tmp_path):
    shutil.copytree(run.folder, tmp_path / "3")
    (tmp_path / "3" / "SHA256SUMS").unlink()
    assert train(tmp_path, Refuse()).result == run.result


def test_the_sums_are_those_of_other_programs(run):
    lines = (run.folder / "SHA256SUMS").read_text().splitlines()
    for line in lines:
        value, name = line.split("  ")
        content = (run.folder / name).read_bytes()
        assert value == hashlib.sha256(content).hexdigest()
    assert len(lines) == 3


def test_two_trainings_in_one_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(one_writer, "PATIENCE_SECONDS", 0.01)
    with one_writer.one_writer(tmp_path / "3", "another"):
        with pytest.raises(OSError, match="train_recipe: another process"):
            train(tmp_path, Refuse())
        # Another seed has a folder of its own.
        with pytest.raises(Interruption):
            train(tmp_path, Refuse(), seed=4)
    with pytest.raises(Interruption):
        train(tmp_path, Refuse())
