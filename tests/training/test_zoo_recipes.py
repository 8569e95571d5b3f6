"""The recipes of the zoo can be read, and stand where they belong."""

from pathlib import Path

import pytest

from moe_keras.training import load_recipe

ZOO = Path(__file__).resolve().parents[2] / "zoo"
RECIPES = sorted(ZOO.rglob("recipe.yaml"))


def test_there_are_some():
    assert RECIPES


@pytest.mark.parametrize(
    "file", RECIPES, ids=lambda file: str(file.parent.relative_to(ZOO))
)
def test_recipe(file):
    recipe = load_recipe(file)
    assert file.relative_to(ZOO).parts == (
        recipe.task,
        recipe.name,
        "recipe.yaml",
    )
    # A score of the zoo is the mean of at least three.
    assert len(recipe.seeds) >= 3
