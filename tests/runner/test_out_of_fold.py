"""Runs of a cross-validation: their rows, their scores, their going on."""

import shutil

import numpy as np
import pytest
from rich.console import Console
from sklearn.model_selection import StratifiedKFold

from moe_keras.insight import risk_scores
from moe_keras.ops.cost import count_multiply_adds
from moe_keras.runner import evaluate_run, out_of_fold, train_recipe
from moe_keras.runner import train as train_module
from moe_keras.runner.data import data_at, load_data
from moe_keras.runner.files import (
    OPINIONS,
    RESULT,
    read_arrays,
    read_result,
)
from moe_keras.runner.out_of_fold import make_plan
from moe_keras.runner.plan import plan_run
from moe_keras.training import Recipe
from moe_keras.training.builders import build_from_data
from moe_keras.zoo.risk.twins import twin_arguments
from tests.runner.folds import NETWORKS, make_recipe, make_table
from tests.tools import only_tensorflow

pytestmark = only_tensorflow


def train(recipe, folder, **options):
    return train_recipe(
        recipe,
        out=folder / "runs",
        data_dir=folder,
        console=Console(quiet=True),
        **options,
    )


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("loans")
    recipe = make_recipe(folder)
    return folder, recipe, train(recipe, folder, seed=1)


def test_a_seed_is_a_fold_of_scikit_learn(trained):
    folder, recipe, _ = trained
    frame = make_table()
    labels = (frame["risk"] == "bad").to_numpy(int)
    data = load_data(recipe, folder)
    for seed in (1, 5):
        found = data_at(recipe, data, seed)
        parts = StratifiedKFold(3, shuffle=True, random_state=seed // 3)
        learned, held_out = list(parts.split(labels, labels))[seed % 3]
        for split, rows in ((found.train, learned), (found.test, held_out)):
            np.testing.assert_array_equal(split.labels, labels[rows])
            np.testing.assert_array_equal(
                split.inputs["income"], frame["income"].to_numpy()[rows]
            )
        assert len(found.validation) == 0


def test_the_result_is_of_what_was_said_out_of_fold(trained):
    folder, recipe, run = trained
    kept = read_arrays(run.folder / OPINIONS)
    data = data_at(recipe, load_data(recipe, folder), 1)
    np.testing.assert_array_equal(kept["labels"], data.train.labels)
    assert kept["expert_logits"].shape == (160, 2, 2)
    expected = risk_scores(kept["labels"], kept["probabilities"])
    for key, value in expected.items():
        assert run.result[key] == pytest.approx(value, abs=1e-6)
    assert run.result["split"] == "out of fold"
    assert run.history["stage"] == ["gate"]
    assert not (run.folder / "checkpoints").exists()


def test_evaluation_is_of_the_held_out_rows(trained):
    folder, recipe, run = trained
    (found,) = evaluate_run(run.folder, data_dir=folder)
    data = data_at(recipe, load_data(recipe, folder), 1)
    said = run.load().predict(data.test.inputs, verbose=0)
    expected = risk_scores(data.test.labels, said)
    for key, value in expected.items():
        assert found.result[key] == pytest.approx(value, abs=1e-6)
    assert found.result["rows"] == 80


def test_it_goes_on_after_the_parts_that_are_done(trained, tmp_path):
    _, recipe, run = trained
    make_recipe(tmp_path)
    seen = []

    def stop(step):
        seen.append(step)
        if "all rows" in step:
            raise KeyboardInterrupt

    from moe_keras.runner import out_of_fold

    whole = out_of_fold.train_out_of_fold

    def broken(*arguments):
        return whole(*arguments[:-1], stop)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train_module, "train_out_of_fold", broken)
        with pytest.raises(KeyboardInterrupt):
            train(recipe, tmp_path, seed=1)
    assert len(seen) == 3
    again = train(recipe, tmp_path, seed=1)
    assert again.result["restarts"] == [2]
    for key in ("auc", "log_loss"):
        assert again.result[key] == pytest.approx(run.result[key], abs=1e-6)
    done = (tmp_path / "runs" / "1" / RESULT).read_text()
    assert train(recipe, tmp_path, seed=1).result == again.result
    assert (tmp_path / "runs" / "1" / RESULT).read_text() == done


def test_the_plan_is_what_the_recipe_says(tmp_path):
    recipe = make_recipe(tmp_path, NETWORKS, calibrate=False)
    arguments = {**recipe.builder.arguments, "top_k": 2}
    plan = make_plan(recipe, recipe.out_of_fold, arguments)
    assert plan.experts == NETWORKS
    assert [type(one).__name__ for one in plan.forests] == [
        "ExtraTreesClassifier",
        "HistGradientBoostingClassifier",
    ]
    assert plan.builder == {"top_k": 2, "name": "loans"}
    found = {
        name: getattr(plan, name)
        for name in (
            *("folds", "epochs", "learning_rate", "weight_decay"),
            *("batch_size", "gate_epochs", "gate_learning_rate", "calibrate"),
        )
    }
    assert found == {
        "folds": 2,
        "epochs": 2,
        "learning_rate": 0.01,
        "weight_decay": 0.01,
        "batch_size": 64,
        "gate_epochs": 1,
        "gate_learning_rate": 1e-3,
        "calibrate": False,
    }


@pytest.mark.parametrize("match", ["active", "parameters"])
@pytest.mark.parametrize("bank", ["low_rank_0", 0])
def test_a_twin_is_one_network_of_the_size(tmp_path, match, bank):
    recipe = make_recipe(tmp_path, NETWORKS)
    data = data_at(recipe, load_data(recipe, tmp_path), 0)
    arguments = recipe.builder.arguments
    model = build_from_data("risk", arguments, data, "loans")
    found = twin_arguments(model, arguments, match, bank)
    ((kind, (expert,)),) = found["experts"].items()
    assert (kind, expert["num_experts"]) == ("low_rank", 1)
    assert "forests" not in found
    twin = build_from_data("risk", found, data, "twin")

    def size(one):
        if match == "parameters":
            return one.get_layer("moe").count_params()
        return count_multiply_adds(one).active

    # Within what one hidden unit more or less would change.
    assert size(twin) == pytest.approx(size(model), rel=0.15)


def test_a_twin_of_what_is_not_there(tmp_path):
    recipe = make_recipe(tmp_path, NETWORKS)
    for bank in ("dense_0", 1, "low_rank_7"):
        with pytest.raises(ValueError, match="`bank` must be"):
            twin_arguments(None, recipe.builder.arguments, "active", bank)


def test_other_than_two_classes_are_refused(tmp_path):
    """Before anything is trained: scores and cards are of the second one."""
    recipe = make_recipe(tmp_path)
    frame = make_table()
    frame.loc[::3, "risk"] = "unknown"
    frame.to_csv(tmp_path / "loans.csv", index=False)
    values = recipe.model_dump(mode="json")
    values["data"]["options"] = {"target": "risk"}
    recipe = Recipe.model_validate(values)
    message = r"must have two classes.*classes=3, first=\('bad', 'good', 'unk"
    with pytest.raises(ValueError, match=message):
        train(recipe, tmp_path, seed=0)
    assert not (tmp_path / "runs").exists()


def test_afresh_forgets_the_parts_that_are_done(tmp_path):
    recipe = make_recipe(tmp_path)
    run = plan_run(recipe, 0, tmp_path / "runs", tmp_path, None)
    asked = []

    def ask():
        asked.append(1)
        return np.zeros((1, 1, 2))

    for resume, expected in ((True, 1), (True, 1), (False, 2), (True, 2)):
        out_of_fold._Kept(run, resume)(0, ask)
        assert len(asked) == expected


def test_a_table_that_has_changed_is_not_evaluated(trained, tmp_path):
    """What is held out of it now, may have been trained on."""
    _, _, run = trained
    make_table()[5:].to_csv(tmp_path / "loans.csv", index=False)
    with pytest.raises(ValueError, match="have changed since the training"):
        evaluate_run(run.folder, data_dir=tmp_path)


def test_a_damaged_part_is_computed_anew(trained, tmp_path):
    folder, recipe, _ = trained
    run = plan_run(recipe, 1, tmp_path / "runs", folder, None)
    asked = []

    def ask():
        asked.append(1)
        return np.ones((2, 1, 2))

    for count in (1, 1):
        np.testing.assert_array_equal(out_of_fold._Kept(run, True)(0, ask), 1)
        assert len(asked) == count
    (file,) = (tmp_path / "runs").rglob("*.npz")
    content = bytearray(file.read_bytes())
    content[len(content) // 3] ^= 4
    file.write_bytes(content)
    with pytest.warns(UserWarning, match="is damaged: .* it is computed anew"):
        out_of_fold._Kept(run, True)(0, ask)
    assert len(asked) == 2
    out_of_fold._Kept(run, True)(0, ask)
    assert len(asked) == 2


@pytest.mark.parametrize("name", [OPINIONS, RESULT])
def test_a_damaged_file_of_a_run_is_refused(trained, tmp_path, name):
    _, _, run = trained
    folder = shutil.copytree(run.folder, tmp_path / "1")
    content = bytearray((folder / name).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / name).write_bytes(content)
    with pytest.raises(ValueError, match="is not what the training has writ"):
        read_result(folder) if name == RESULT else read_arrays(folder / name)
