"""Runs of a cross-validation: their rows, their scores, their going on."""

import numpy as np
import pytest
from rich.console import Console
from sklearn.model_selection import StratifiedKFold

from moe_keras.insight import risk_scores
from moe_keras.runner import evaluate_run, train_recipe
from moe_keras.runner.data import data_at, load_data
from moe_keras.runner.files import OPINIONS, RESULT, read_arrays
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
    recipe = make_recipe(folder, NETWORKS)
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
    assert kept["expert_logits"].shape == (160, 5, 2)
    expected = risk_scores(kept["labels"], kept["probabilities"])
    for key, value in expected.items():
        assert run.result[key] == pytest.approx(value, abs=1e-6)
    assert run.result["split"] == "out of fold"
    assert run.history["stage"] == ["experts", "experts", "gate"]
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
    from moe_keras.runner import train as module

    whole = out_of_fold.train_out_of_fold

    def broken(*arguments):
        return whole(*arguments[:-1], stop)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "train_out_of_fold", broken)
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
