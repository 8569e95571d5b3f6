"""Stages, calibration and tasks in a recipe."""

from typing import get_args

import pytest

from moe_keras.data import load_dataset
from moe_keras.training import Recipe, RecipeError, load_recipe
from moe_keras.training.recipe import DATA_TASKS
from tests.training.test_recipe import MINIMAL

STAGED = {
    **MINIMAL,
    "stages": [
        {"name": "experts", "train": "experts", "loss": "experts"},
        {"name": "rest", "train": ["gate", "head"], "data": "validation"},
    ],
    "calibrate": True,
    "baselines": [
        {"name": "active_twin", "bank": "conv"},
        {"name": "joint", "staged": False},
    ],
}


def test_stages_are_read_and_written(tmp_path):
    recipe = Recipe.model_validate(STAGED)
    assert [stage.name for stage in recipe.stages] == ["experts", "rest"]
    assert recipe.stages[1].parts == ("gate", "head")
    assert recipe.stages[1].data == "validation"
    twin, joint = recipe.baselines
    assert (twin.twin, twin.bank, twin.staged) == ("active", "conv", True)
    assert (joint.twin, joint.bank, joint.staged) == (None, 0, False)
    file = tmp_path / "again.yaml"
    file.write_text(recipe.to_yaml())
    assert load_recipe(file) == recipe
    # There are none unless they are asked for.
    plain = Recipe.model_validate(MINIMAL)
    assert (plain.stages, plain.calibrate) == ((), False)


def test_stages_belong_to_a_training():
    facts = Recipe.model_validate(STAGED).training_facts()
    assert facts["stages"][0]["train"] == "experts"
    for changes in ({"calibrate": False}, {"stages": STAGED["stages"][::-1]}):
        other = Recipe.model_validate({**STAGED, **changes})
        assert other.training_facts() != facts


def test_a_fault_in_a_stage_has_a_line(tmp_path):
    file = tmp_path / "recipe.yaml"
    file.write_text(
        "name: tiny\ntask: image\ndata: {name: digits}\n"
        "builder: {name: image}\nepochs: 1\n"
        "stages:\n- {name: a}\n- {name: b, epoch: 2}\n"
    )
    message = "recipe.yaml:8: stages.1.epoch: unknown key; did you mean epochs"
    with pytest.raises(RecipeError, match=message):
        load_recipe(file)


def test_every_task_has_its_data():
    # Which the digits come with.
    pytest.importorskip("sklearn")
    tasks = get_args(Recipe.model_fields["task"].annotation)
    assert set(DATA_TASKS) == set(tasks)
    found = {
        task: load_dataset(name, **options).task
        for task, (name, options) in {
            "image": ("digits", {}),
            "sentiment": ("synthetic_reviews", {"size": 20, "test_size": 5}),
            "risk": ("synthetic_credit", {"size": 50, "test_size": 5}),
        }.items()
    }
    assert found == DATA_TASKS
